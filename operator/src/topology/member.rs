//! Half resolves a Service: what it asks for, and what is spoken on each of its ports.
//!
//! In: a Service, its last good annotations and the settings. Out: a [`Member`], and findings; and once it is known which
//! proxy ports it has, its ports as the proxies are told.

use super::{
    endpoints::EndpointIndex,
    policy,
    ports::{PortKey, Record},
    shadow::Shadows,
};
use crate::{
    annotation::{self, Mistake, Parsed, ServiceSettings, Values},
    finding::{About, Finding, Reason},
    settings::{Settings, TrafficType},
};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use std::collections::BTreeMap;
use weft_contract::{self as contract, Listener, Protocol, ServiceKey, Transport, policy::Scheme};

/// A Service in the mesh, half resolved.
pub(super) struct Member<'a> {
    pub(super) key: ServiceKey,
    pub(super) service: &'a Service,
    pub(super) ports: Vec<MemberPort>,
    pub(super) settings: ServiceSettings,
    /// The annotation by which each key is spelled.
    pub(super) spelled: BTreeMap<&'static str, String>,
    pub(super) good: Values,
    /// Whether every port is of a kind that the mesh serves.
    pub(super) servable: bool,
}

/// A port of such a Service.
pub(super) struct MemberPort {
    pub(super) name: Option<String>,
    pub(super) port: u16,
    pub(super) transport: Transport,
    pub(super) protocol: Option<Protocol>,
    pub(super) scheme: Scheme,
}

/// A Service of the mesh with what it asks for, and the findings about that.
pub(super) fn member<'a>(
    service: &'a Service,
    existing: &Shadows<'_>,
    settings: &Settings,
    findings: &mut Vec<Finding>,
) -> Member<'a> {
    let key = ServiceKey::new(service.namespace().unwrap_or_default(), service.name_any());
    let defaults = ServiceSettings::new(settings.default_traffic_type);
    let Parsed { settings, good, spelled, mistakes } =
        annotation::parse(service.annotations(), &existing.last_good(&key), &defaults);
    let about = super::about(service);
    findings.extend(mistakes.iter().map(|mistake| mistaken(&about, mistake)));
    let ports = member_ports(service, &settings);
    for port in ports.iter().filter(|port| port.protocol.is_none()) {
        findings.push(not_served(&about, port, settings.traffic_type));
    }
    let servable = !ports.is_empty() && ports.iter().all(|port| port.protocol.is_some());
    Member { key, service, ports, settings, spelled, good, servable }
}

/// The finding about a mistake in an annotation.
pub(super) fn mistaken(about: &About, mistake: &Mistake) -> Finding {
    Finding {
        about: about.clone(),
        reason: match mistake {
            Mistake::Invalid { .. } => Reason::AnnotationInvalid,
            Mistake::Unknown { .. } => Reason::AnnotationUnknown,
            Mistake::Unused { .. } => Reason::AnnotationUnused,
        },
        detail: mistake.annotation().to_owned(),
        note: mistake.note(),
    }
}

/// The ports of a Service with what is spoken there: none where the mesh does not serve it. The traffic type is the
/// Service's, the protocol the port's.
fn member_ports(service: &Service, settings: &ServiceSettings) -> Vec<MemberPort> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let transport = match port.protocol.as_deref() {
                None | Some("TCP") => Transport::Tcp,
                Some("UDP") => Transport::Udp,
                Some(_) => Transport::Sctp,
            };
            let protocol = match (transport, settings.traffic_type) {
                (Transport::Tcp, TrafficType::Http) => Some(Protocol::Http),
                (Transport::Tcp, TrafficType::Tcp) => Some(Protocol::Tcp),
                (Transport::Tcp, TrafficType::Udp) | (Transport::Udp | Transport::Sctp, _) => None,
            };
            let number = u16::try_from(port.port).ok().filter(|number| *number != 0)?;
            let name = port.name.clone().filter(|name| !name.is_empty());
            let scheme = match protocol {
                Some(Protocol::Http) => policy::scheme(settings.scheme, port.app_protocol.as_deref()),
                Some(Protocol::Tcp | Protocol::Udp) | None => Scheme::default(),
            };
            Some(MemberPort { name, port: number, transport, protocol, scheme })
        })
        .collect()
}

/// Where the proxy listens for a port.
pub(super) fn listener(port: &MemberPort, listeners: &Record) -> Option<Listener> {
    let number = listeners.get(&PortKey { port: port.port, transport: port.transport })?;
    Some(Listener { port: *number, protocol: port.protocol? })
}

/// The ports of a Service as the proxies are told.
pub(super) fn contract_ports(
    member: &Member<'_>,
    listeners: Option<&Record>,
    endpoints: &EndpointIndex<'_>,
) -> Vec<contract::Port> {
    let port = |port: &MemberPort| {
        let listener = listeners.and_then(|listeners| listener(port, listeners));
        let endpoints = match listener {
            Some(_) => endpoints.of_port(&member.key, port.name.as_deref(), port.transport),
            None => Vec::new(),
        };
        contract::Port {
            name: port.name.clone(),
            port: port.port,
            transport: port.transport,
            listener,
            scheme: port.scheme,
            endpoints,
            target_name: None,
            sni_routes: Vec::new(),
        }
    };
    member.ports.iter().map(port).collect()
}

fn not_served(about: &About, port: &MemberPort, traffic_type: TrafficType) -> Finding {
    let number = format!("{}/{}", port.port, port.transport.kubernetes());
    let why = match (port.transport, traffic_type) {
        (Transport::Tcp, _) => "is annotated with traffic-type udp, which is not served yet",
        (Transport::Udp, _) => "is UDP, which is not served yet",
        (Transport::Sctp, _) => "has a protocol that the mesh does not serve",
    };
    Finding {
        about: about.clone(),
        reason: Reason::PortNotServed,
        detail: number.clone(),
        note: format!(
            "Port {number} {why}. Meanwhile the mesh name resolves to the Service's own address, past the mesh. To have \
             the other ports in the mesh, move this one to a Service of its own."
        ),
    }
}
