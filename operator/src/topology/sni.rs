//! Finds the Services that server names lead to.
//!
//! In: a Service's ports, what its annotation says of server names, and the Services of its namespace. Out: the ports with
//! their routes; a route to what is not there leads nowhere and is told.

use super::member::{Member, MemberPort, Members, listed, unused};
use crate::{annotation::SniTarget, finding::Finding};
use std::collections::BTreeMap;
use weft_contract::{Port, Protocol, ServiceKey, SniRoute, Transport};

/// What no port has: the port of a route that leads nowhere.
const NOWHERE: u16 = 0;

/// The ports of `member`, each that speaks TCP with its routes.
pub(super) fn routed(
    mut ports: Vec<Port>,
    member: &Member<'_>,
    members: &Members<'_>,
    findings: &mut Vec<Finding>,
) -> Vec<Port> {
    let mut wrong = BTreeMap::new();
    let tcp = member.ports.iter().zip(&mut ports).filter(|(of, _)| of.protocol == Some(Protocol::Tcp));
    for (own, port) in tcp {
        for target in &member.settings.sni_routes {
            let service = ServiceKey::new(&member.key.namespace, &target.service);
            let found = target_port(target, &service, own.port, members);
            // One that was left out would give way to a wider one, or to none at all: to Services that were not meant.
            let to = found.unwrap_or_else(|why| {
                wrong.insert(target, format!("leads {} to {service}, {why}", target.host));
                NOWHERE
            });
            port.sni_routes.push(SniRoute { host: target.host.clone(), service, port: to });
        }
        port.sni_routes.sort_by(|one, other| one.host.cmp(&other.host));
    }
    let wrong: Vec<_> = wrong.into_values().collect();
    let refused = listed(&wrong).map(|wrong| format!("{wrong}; connections for these are refused"));
    findings.extend(refused.map(|why| unused(member, "sni-routes", &why)));
    ports
}

/// The port of `service` for connections that come to the port `own`, or why there is none.
fn target_port(
    target: &SniTarget,
    service: &ServiceKey,
    own: u16,
    members: &Members<'_>,
) -> Result<u16, String> {
    let known = members.get(service).ok_or("which is no Service with a mesh name")?;
    // What the Service speaks there by its own name does not matter: TLS is bytes here.
    let is_tcp = |port: &&MemberPort| port.transport == Transport::Tcp;
    let tcp: Vec<_> = known.ports.iter().filter(is_tcp).map(|port| port.port).collect();
    match (target.port, &tcp[..]) {
        (Some(port), _) if tcp.contains(&port) => Ok(port),
        (Some(port), _) => Err(format!("which has no TCP port {port}")),
        (None, _) if tcp.contains(&own) => Ok(own),
        (None, [only]) => Ok(*only),
        (None, []) => Err("which has no TCP port".into()),
        (None, _) => Err("which has several TCP ports, and does not say which".into()),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        finding::{Finding, Reason},
        testing::settings,
        topology::{
            resolve,
            tests::{service, snapshot},
        },
    };
    use serde_json::{Value, json};
    use weft_contract::Service;

    /// A Service of `shop` with these ports, as `(NUMBER, TRANSPORT)`, and annotations.
    fn with_ports(
        name: &str,
        ports: &[(u16, &str)],
        annotations: Value,
    ) -> std::sync::Arc<k8s_openapi::api::core::v1::Service> {
        let ports: Vec<_> = ports
            .iter()
            .map(|(port, transport)| json!({"name": format!("p{port}"), "port": port, "protocol": transport}))
            .collect();
        service("shop", name, json!({"metadata": {"annotations": annotations}, "spec": {"ports": ports}}))
    }

    /// The Service `entry` with these routes and traffic types, beside some others, and what is found about it.
    fn entry(ports: &[(u16, &str)], types: &str, routes: &str) -> (Service, Vec<Finding>) {
        let asked = json!({"weft.mesh/traffic-type": types, "weft.mesh/sni-routes": routes});
        let services = [
            with_ports("entry", ports, asked),
            with_ports("one", &[(443, "TCP"), (443, "UDP"), (80, "TCP")], json!({})),
            with_ports("only", &[(8443, "TCP"), (53, "UDP")], json!({})),
            with_ports("several", &[(1, "TCP"), (2, "TCP")], json!({})),
            with_ports("datagrams", &[(443, "UDP")], json!({})),
            with_ports("streams", &[(443, "TCP"), (9, "SCTP")], json!({})),
            service("bank", "vault", json!({})),
        ];
        let (topology, findings) = resolve(&snapshot(&services, &[]), &settings(&[]));
        let entry = topology.services.iter().find(|service| service.key.name == "entry").unwrap().clone();
        (entry, findings.into_iter().filter(|finding| finding.about.name == "entry").collect())
    }

    fn routes(service: &Service, port: usize) -> Vec<String> {
        let shown =
            |route: &weft_contract::SniRoute| format!("{}={}:{}", route.host, route.service, route.port);
        service.ports[port].sni_routes.iter().map(shown).collect()
    }

    #[test]
    fn the_port_is_the_one_asked_for_or_the_same_or_the_only_one() {
        let all = "b.example=only, *=only:8443, a.example=one, *.c.example=several:2, s.example=streams, e.example=entry";
        let (entry, findings) = entry(&[(443, "TCP")], "tcp", all);
        assert_eq!(findings, []);
        let wanted = [
            "*=shop/only:8443",
            "*.c.example=shop/several:2",
            "a.example=shop/one:443",
            "b.example=shop/only:8443",
            "e.example=shop/entry:443",
            "s.example=shop/streams:443",
        ];
        assert_eq!(routes(&entry, 0), wanted, "sorted");
    }

    #[test]
    fn every_tcp_port_has_routes_of_its_own() {
        let ports = [(443, "TCP"), (80, "TCP"), (443, "UDP"), (8080, "TCP")];
        let (entry, findings) = entry(&ports, "tcp,8080=http", "a.example=one");
        assert_eq!(reasons(&findings), [], "port 8080 is no TCP");
        assert_eq!(
            (routes(&entry, 0), routes(&entry, 1)),
            (vec!["a.example=shop/one:443".into()], vec!["a.example=shop/one:80".into()])
        );
        assert!(entry.ports[2].sni_routes.is_empty() && entry.ports[3].sni_routes.is_empty());
    }

    fn reasons(findings: &[Finding]) -> Vec<Reason> {
        findings.iter().map(|finding| finding.reason).collect()
    }

    #[test]
    fn a_route_to_what_is_not_there_leads_nowhere_and_is_told() {
        for (target, says) in [
            ("gone", "leads a.example to shop/gone, which is no Service with a mesh name"),
            ("vault", "which is no Service with a mesh name"),
            (
                "one:444",
                "leads a.example to shop/one, which has no TCP port 444; connections for these are refused",
            ),
            ("only:53", "which has no TCP port 53"),
            ("datagrams", "which has no TCP port;"),
            ("several", "which has several TCP ports, and does not say which"),
        ] {
            let (entry, findings) =
                entry(&[(443, "TCP"), (444, "TCP")], "tcp", &format!("a.example={target}, *=one:80"));
            let service = target.split(':').next().unwrap();
            let wanted = ["*=shop/one:80".to_owned(), format!("a.example=shop/{service}:0")];
            assert_eq!((routes(&entry, 0), routes(&entry, 1)), (wanted.to_vec(), wanted.to_vec()));
            assert_eq!(reasons(&findings), [Reason::AnnotationUnused], "once for both ports: {findings:?}");
            assert!(
                findings[0].note.starts_with("weft.mesh/sni-routes leads") && findings[0].note.contains(says),
                "{}",
                findings[0].note
            );
        }
        let long = |end: &str| format!("{}{end}", "a.".repeat(126));
        for hosts in [
            (0..200).map(|number| format!("a{number}.example")).collect(),
            vec![long("b"), long("c"), format!("*.{}", long("b"))],
        ] {
            let all: Vec<_> = hosts.iter().map(|host| format!("{host}=gone")).collect();
            let (entry, findings) = entry(&[(443, "TCP")], "tcp", &all.join(","));
            assert_eq!(entry.ports[0].sni_routes.len(), hosts.len(), "not one serves without a route");
            assert!(entry.ports[0].sni_routes.iter().all(|route| route.port == 0));
            assert!(findings.len() == 1 && findings[0].note.len() < 1024, "{findings:?}");
            assert!(findings[0].note.contains("more like these"), "{findings:?}");
        }
    }

    #[test]
    fn routes_on_a_service_without_a_tcp_port_are_told() {
        let (entry, findings) = entry(&[(443, "TCP")], "http", "a.example=gone");
        assert_eq!(reasons(&findings), [Reason::AnnotationUnused]);
        assert!(
            findings[0].note.contains("no port of the Service has the traffic type tcp"),
            "{}",
            findings[0].note
        );
        assert!(entry.ports[0].sni_routes.is_empty());
    }
}
