//! Half resolves a Service: what it asks for, and what is spoken on each of its ports.
//!
//! In: a Service, its last good annotations and the settings. Out: a [`Member`], and findings; and once it is known which
//! proxy ports it has, its ports as the proxies are told.

use super::{
    endpoints::EndpointIndex,
    policy,
    ports::{PortKey, Record},
    shadow::Shadows,
    spoken::{Said, Spoken},
};
use crate::{
    annotation::{self, Mistake, Parsed, ServiceSettings, Values},
    finding::{About, Finding, Reason},
    settings::Settings,
};
use k8s_openapi::{
    api::core::v1::{Service, ServicePort},
    apimachinery::pkg::util::intstr::IntOrString,
};
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

/// The Services that another may name.
pub(super) type Members<'a> = BTreeMap<&'a ServiceKey, &'a Member<'a>>;

/// A port of such a Service.
pub(super) struct MemberPort {
    pub(super) name: Option<String>,
    pub(super) port: u16,
    pub(super) transport: Transport,
    pub(super) protocol: Option<Protocol>,
    pub(super) scheme: Scheme,
    /// The name of the port at the pods, where the Service has one for it.
    pub(super) target_name: Option<String>,
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
    let mut parsed = annotation::parse(service.annotations(), &existing.last_good(&key), &defaults);
    let (ports, misplaced) = member_ports(service, &parsed.settings);
    annotation::fit(&mut parsed, &ports.iter().filter_map(|port| port.protocol).collect());
    let Parsed { settings, good, spelled, mistakes } = parsed;
    let about = super::about(service);
    findings.extend(mistakes.iter().map(|mistake| mistaken(&about, mistake)));
    findings.extend(ports.iter().filter(|port| port.protocol.is_none()).map(|port| not_served(&about, port)));
    let servable = !ports.is_empty() && ports.iter().all(|port| port.protocol.is_some());
    let member = Member { key, service, ports, settings, spelled, good, servable };
    findings.extend(listed(&misplaced).map(|why| unused(&member, "traffic-type", &why)));
    member
}

/// The finding about an annotation that has no effect; `why` ends a sentence that begins with it.
pub(super) fn unused(member: &Member<'_>, name: &str, why: &str) -> Finding {
    let annotation = member.spelled.get(name).cloned().unwrap_or_else(|| name.to_owned());
    let mistake = Mistake::Unused { annotation, why: why.to_owned() };
    mistaken(&super::about(member.service), &mistake)
}

/// What is wrong with one annotation, in one sentence, where anything is.
pub(super) fn listed(wrong: &[String]) -> Option<String> {
    /// An Event's note has room for 1 KiB, and more than these words in it; names are up to 253 characters long.
    const ROOM: usize = 700;
    let (first, others) = wrong.split_first()?;
    let (mut sentence, mut left) = (first.clone(), others.len());
    for other in others {
        if sentence.len() + other.len() > ROOM {
            break;
        }
        sentence.push_str("; ");
        sentence.push_str(other);
        left -= 1;
    }
    if left > 0 {
        sentence.push_str(&format!("; and {left} more like these"));
    }
    Some(sentence)
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

/// The ports of a Service with what is spoken there, and what of its annotation has no effect on them.
fn member_ports(service: &Service, settings: &ServiceSettings) -> (Vec<MemberPort>, Vec<String>) {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let (all, ports): (Vec<_>, Vec<_>) = ports.filter_map(|port| Some((said(port)?, port))).unzip();
    let spoken = Spoken::of(&all, &settings.traffic);
    let member_port = |(said, port): (&Said<'_>, &ServicePort)| {
        let protocol = spoken.on(said);
        MemberPort {
            name: said.name.map(str::to_owned),
            port: said.number,
            transport: said.transport,
            protocol,
            scheme: match protocol {
                Some(Protocol::Http) => policy::scheme(settings.scheme, said.app_protocol),
                Some(Protocol::Tcp | Protocol::Udp) | None => Scheme::default(),
            },
            target_name: match &port.target_port {
                Some(IntOrString::String(name)) => Some(name.clone()),
                Some(IntOrString::Int(_)) | None => None,
            },
        }
    };
    (all.iter().zip(ports).map(member_port).collect(), spoken.unused(&all))
}

/// What a Service says of a port; none for one without a number, which no API server lets pass.
fn said(port: &ServicePort) -> Option<Said<'_>> {
    Some(Said {
        name: port.name.as_deref().filter(|name| !name.is_empty()),
        number: u16::try_from(port.port).ok().filter(|number| *number != 0)?,
        transport: match port.protocol.as_deref() {
            None | Some("TCP") => Transport::Tcp,
            Some("UDP") => Transport::Udp,
            Some(_) => Transport::Sctp,
        },
        app_protocol: port.app_protocol.as_deref(),
    })
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
    let port = |port: &MemberPort| contract::Port {
        name: port.name.clone(),
        port: port.port,
        transport: port.transport,
        listener: listeners.and_then(|listeners| listener(port, listeners)),
        scheme: port.scheme,
        // Other Services lead here too, also where no proxy listens for this one.
        endpoints: match port.protocol {
            Some(_) => endpoints.of_port(&member.key, port.name.as_deref(), port.transport),
            None => Vec::new(),
        },
        target_name: port.target_name.clone(),
        sni_routes: Vec::new(),
    };
    member.ports.iter().map(port).collect()
}

fn not_served(about: &About, port: &MemberPort) -> Finding {
    let number = format!("{}/{}", port.port, port.transport.kubernetes());
    Finding {
        about: about.clone(),
        reason: Reason::PortNotServed,
        detail: number.clone(),
        note: format!(
            "Port {number} has a transport that the mesh does not serve. Meanwhile the mesh name resolves to the Service's \
             own address, past the mesh. To have the other ports in the mesh, move this one to a Service of its own."
        ),
    }
}
