//! Completes a Service's policy with what takes a look at the cluster.
//!
//! In: what its annotations ask for, its spec, and what is known of certificates, carriers and other Services. Out: the
//! [`Policy`] that proxies are told, and findings about what cannot be.

use super::{
    Topology,
    member::{Member, MemberPort, Members, unused},
};
use crate::{
    annotation::MirrorTarget,
    finding::{Finding, Reason},
    observe::{Snapshot, authorities::AuthorityKey},
};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use weft_contract::{
    Policy, Protocol, ServiceKey,
    policy::{Mirror, Proximity, RateLimitKey, RateLimitScope, Scheme},
};

/// The annotations by which a Service asked for its zone before `trafficDistribution`: the value that does, and which
/// the EndpointSlice controller still answers with hints.
const ZONE_ANNOTATIONS: [&str; 2] =
    ["service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"];

/// The policy of a Service. What else it takes, certificates and pods, is asked for in `topology`.
pub(super) fn complete(
    member: &Member<'_>,
    members: &Members<'_>,
    snapshot: &Snapshot,
    topology: &mut Topology,
    findings: &mut Vec<Finding>,
) -> Policy {
    let mut policy = member.settings.policy.clone();
    policy.balancing.proximity = proximity(member.service);
    if let Some(limit) = &mut policy.rate_limit {
        topology.wants_callers |= limit.key == RateLimitKey::ServiceAccount;
        limit.proxies = match limit.scope {
            RateLimitScope::Node => 1,
            RateLimitScope::Cluster => snapshot.carriers.of(&member.key),
        };
    }
    policy.tls.ca = authority(member, snapshot, topology, findings);
    policy.actions.mirror =
        member.settings.mirror.as_ref().and_then(|target| match mirror(member, target, members) {
            Ok(mirror) => Some(mirror),
            Err(why) => {
                findings.push(unused(member, "mirror", &format!("{why}; nothing is mirrored")));
                None
            }
        });
    policy
}

/// Which endpoints the Service prefers.
fn proximity(service: &Service) -> Proximity {
    let distribution = service.spec.as_ref().and_then(|spec| spec.traffic_distribution.as_deref());
    match distribution {
        Some("PreferClose" | "PreferSameZone") => Proximity::Zone,
        Some("PreferSameNode") => Proximity::Node,
        Some(_) | None => {
            let asks = |name: &str| {
                service.annotations().get(name).is_some_and(|value| value.eq_ignore_ascii_case("auto"))
            };
            if ZONE_ANNOTATIONS.iter().any(|name| asks(name)) { Proximity::Zone } else { Proximity::Any }
        }
    }
}

/// What the endpoints of a port speak: what the Service's annotation says, else the port.
pub(super) fn scheme(annotated: Option<Scheme>, app_protocol: Option<&str>) -> Scheme {
    annotated.unwrap_or(match app_protocol {
        Some("kubernetes.io/h2c" | "grpc") => Scheme::H2c,
        Some("https") => Scheme::Https,
        Some(_) | None => Scheme::Http, // "http", "kubernetes.io/ws", and names that mean nothing here
    })
}

/// The certificates that the Service's endpoints are verified with: the last that could be read.
fn authority(
    member: &Member<'_>,
    snapshot: &Snapshot,
    topology: &mut Topology,
    findings: &mut Vec<Finding>,
) -> Option<String> {
    let settings = &member.settings;
    let is_https = |port: &MemberPort| port.protocol == Some(Protocol::Http) && port.scheme == Scheme::Https;
    if !member.ports.iter().any(is_https) {
        let asked = [
            ("tls-ca", settings.authority.is_some()),
            ("tls-server-name", settings.policy.tls.server_name.is_some()),
        ];
        let http = member.ports.iter().any(|port| port.protocol == Some(Protocol::Http));
        for (name, _) in asked.into_iter().filter(|(_, asked)| *asked && http) {
            findings.push(unused(
                member,
                name,
                "has no effect, for no port of the Service has the scheme https",
            ));
        }
        return None;
    }
    let name = settings.authority.clone().unwrap_or_default();
    let key = AuthorityKey { namespace: member.key.namespace.clone(), name };
    let last = snapshot.last_authorities.get(&member.key).cloned();
    let found = match snapshot.authorities.get(&key) {
        Some(Ok(text)) => Some(text.clone()),
        Some(Err(why)) => {
            findings.push(not_read(member, &key, why, last.is_some()));
            last
        }
        None => last, // not read yet
    };
    topology.authorities.insert(key);
    found
}

fn not_read(member: &Member<'_>, key: &AuthorityKey, why: &str, last: bool) -> Finding {
    let meanwhile = if last {
        "Meanwhile the last good ones are in force."
    } else {
        "Meanwhile no endpoint can be verified, and requests are answered 502."
    };
    Finding {
        about: super::about(member.service),
        reason: Reason::CertificatesNotRead,
        detail: String::new(),
        note: format!(
            "The certificates to verify endpoints with cannot be read from {} in namespace {}: {why}. {meanwhile} Correct \
             it, or name another by weft.mesh/tls-ca.",
            key.name, key.namespace
        ),
    }
}

/// Where copies of requests go.
fn mirror(member: &Member<'_>, target: &MirrorTarget, members: &Members<'_>) -> Result<Mirror, String> {
    let MirrorTarget { name, namespace, port, percent } = target;
    let key = ServiceKey::new(namespace.as_ref().unwrap_or(&member.key.namespace), name);
    let known = members.get(&key).filter(|known| known.servable);
    let known = known.ok_or_else(|| format!("names {key}, which is no Service that the mesh serves"))?;
    let fits = |known: &&MemberPort| known.protocol == Some(Protocol::Http);
    let http: Vec<_> = known.ports.iter().filter(fits).map(|port| port.port).collect();
    let port = match (port, &http[..]) {
        (Some(port), _) if http.contains(port) => *port,
        (Some(port), _) => {
            return Err(format!("names port {port} of {key}, which has no such port with HTTP"));
        }
        (None, [only]) => *only,
        (None, []) => return Err(format!("names {key}, which has no port with HTTP")),
        (None, _) => return Err(format!("names {key}, which has several ports, and does not say which")),
    };
    Ok(Mirror { service: key, port, percent: *percent })
}
