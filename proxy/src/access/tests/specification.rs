//! Any configuration opens what the words of the specification say, said here in so many words.

use super::*;
use proptest::prelude::*;

/// What the specification says of one client, one endpoint and one request, in so many words.
fn is_open(
    configuration: &NodeConfiguration,
    client: IpAddr,
    endpoint: &Endpoint,
    request: Option<&str>,
) -> bool {
    let is = |address: IpAddr, principal: &Principal| {
        let mut pods = configuration.sources.iter().filter(|pod| pod.address == address);
        let (Some(pod), None) = (pods.next(), pods.next()) else { return false };
        pod.namespace == principal.namespace
            && match principal.kind {
                PrincipalKind::ServiceAccount => pod.service_account == principal.name,
                PrincipalKind::IdentityBinding => pod.identity_bindings.contains(&principal.name),
            }
    };
    let port = &configuration.services[0].ports[0];
    let grants = &configuration.access.as_ref().unwrap().grants;
    grants.iter().any(|grant| {
        let has = |ports: &Vec<u16>| ports.is_empty() || ports.contains(&endpoint.port);
        let matches = |list: &Vec<HttpMatch>, path: &str| {
            list.iter().any(|wanted| wanted.path.as_deref().is_none_or(|prefix| path.starts_with(prefix)))
        };
        let on_port = match &grant.port {
            None => true,
            Some(PodPort::Number(number)) => *number == endpoint.port,
            Some(PodPort::Name(name)) => port.target_name.as_ref() == Some(name),
        };
        let by_rules = match (port.transport, &grant.tcp, &grant.udp, &grant.http, request) {
            (Transport::Udp, _, udp, _, _) => udp.as_ref().is_some_and(has),
            (_, Some(tcp), _, None, _) => has(tcp),
            (_, tcp, _, Some(list), Some(path)) => tcp.as_ref().is_none_or(has) && matches(list, path),
            (_, _, _, Some(_), None) | (_, None, _, None, _) => false,
        };
        on_port
            && by_rules
            && is(endpoint.address, &grant.destination)
            && grant.sources.iter().any(|source| is(client, source))
    })
}

fn principal() -> impl Strategy<Value = Principal> {
    (any::<bool>(), "[abc]").prop_map(|(bound, name)| if bound { binding(&name) } else { account(&name) })
}

fn any_grant() -> impl Strategy<Value = Grant> {
    let ports = || prop::option::weighted(0.6, prop::collection::vec(1_u16..4, 0..3));
    let pod_port = prop_oneof![
        4 => Just(None),
        1 => (1_u16..4).prop_map(|port| Some(PodPort::Number(port))),
        1 => "http|grpc".prop_map(|name| Some(PodPort::Name(name))),
    ];
    let matches = prop::collection::vec(
        prop::option::of("/[ab]{0,2}").prop_map(|path| HttpMatch { path, ..HttpMatch::default() }),
        0..7,
    );
    let http = prop::option::of(matches);
    (principal(), prop::collection::vec(principal(), 0..4), pod_port, ports(), ports(), http).prop_map(
        |(destination, sources, port, tcp, udp, http)| Grant {
            port,
            tcp,
            udp,
            http,
            ..grant(destination, &sources)
        },
    )
}

fn any_configuration() -> impl Strategy<Value = NodeConfiguration> {
    let pods =
        prop::collection::vec((0_u8..8, "[abc]", prop::sample::subsequence(vec!["a", "b", "c"], 0..3)), 0..9);
    let endpoints = prop::collection::btree_set((0_u8..8, 1_u16..4), 0..6);
    (prop::collection::vec(any_grant(), 0..8), pods, endpoints, any::<bool>()).prop_map(
        |(grants, pods, endpoints, udp)| {
            let mut sources: Vec<Source> =
                pods.iter().map(|(last, account, bindings)| pod(*last, account, bindings)).collect();
            sources.sort();
            let transport = if udp { Transport::Udp } else { Transport::Tcp };
            configuration(grants, sources, port(transport, &endpoints.into_iter().collect::<Vec<_>>()))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn what_is_open_is_what_the_specification_says(
        before in any_configuration(),
        now in any_configuration(),
        same_grants: bool,
        same_sources: bool,
        client in 0_u8..9,
        path in prop::option::of("/[ab]{0,3}"),
    ) {
        let mut now = now;
        if same_grants {
            now.access.clone_from(&before.access);
        }
        if same_sources {
            now.sources.clone_from(&before.sources);
        }
        let endpoints = now.services[0].ports[0].endpoints.clone();
        let open_to: Vec<u8> = endpoints
            .iter()
            .filter(|endpoint| is_open(&now, ip(client), endpoint, path.as_deref()))
            .map(|endpoint| match endpoint.address { IpAddr::V4(address) => address.octets()[3], IpAddr::V6(_) => 0 })
            .collect();
        let expected = (!open_to.is_empty() || endpoints.is_empty()).then_some(open_to);
        let method = Method::GET;
        let request = path.as_deref().map(|path| (&method, path));
        prop_assert_eq!(open(&plan(now.clone(), None), client, request), expected.clone());
        let (first, now) = (plan(before, None), now);
        prop_assert_eq!(open(&plan(now, Some(&first)), client, request), expected);
    }
}
