//! Decides what is spoken on each port of a Service.
//!
//! In: its ports, and what its annotation says of them. Out: a protocol for each, none where the mesh does not serve it;
//! and what of the annotation has no effect.

use crate::{
    annotation::{PortName, Traffic},
    settings::TrafficType,
};
use std::collections::{BTreeMap, BTreeSet};
use weft_contract::{Protocol, Transport};

/// What a Service says of one of its ports.
pub(super) struct Said<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) number: u16,
    pub(super) transport: Transport,
    pub(super) app_protocol: Option<&'a str>,
}

/// The annotation beside the ports.
pub(super) struct Spoken<'a> {
    traffic: &'a Traffic,
    /// The transports of the ports of which each entry says something: two ports may share a number.
    transports: BTreeMap<&'a PortName, BTreeSet<Transport>>,
}

impl<'a> Spoken<'a> {
    /// Puts the annotation beside the ports.
    pub(super) fn of(ports: &[Said<'_>], traffic: &'a Traffic) -> Self {
        let mut transports: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for port in ports {
            if let Some((name, _)) = entry(port, traffic) {
                transports.entry(name).or_default().insert(port.transport);
            }
        }
        Self { traffic, transports }
    }

    /// What is spoken on a port. Its transport is its own; what a TCP port speaks is what the annotation says of it, else
    /// of the whole Service, else its `appProtocol`, else what is usual.
    pub(super) fn on(&self, port: &Said<'_>) -> Option<Protocol> {
        match port.transport {
            Transport::Sctp => return None,
            Transport::Udp => return Some(Protocol::Udp),
            Transport::Tcp => {}
        }
        let own = entry(port, self.traffic)
            .filter(|(name, of_port)| {
                self.transports.get(name).is_some_and(|transports| serves(*of_port, transports))
            })
            .map(|(_, of_port)| of_port);
        let said = own.or(self.traffic.all).or_else(|| port.app_protocol.and_then(known));
        match said.unwrap_or(self.traffic.usual) {
            TrafficType::Http => Some(Protocol::Http),
            // Where UDP is asked for, what cannot be is carried byte for byte too: DNS, say, which speaks both.
            TrafficType::Tcp | TrafficType::Udp => Some(Protocol::Tcp),
        }
    }

    /// What of the annotation has no effect with these ports, as ends of sentences that begin with it.
    pub(super) fn unused(&self, ports: &[Said<'_>]) -> Vec<String> {
        let names: BTreeSet<_> = ports.iter().filter_map(|port| port.name).collect();
        let of_ports =
            self.traffic.ports.iter().filter_map(|(name, of_port)| match self.transports.get(name) {
                Some(transports) => {
                    misplaced(*of_port, transports).map(|is| format!("says {of_port} of {name}, which {is}"))
                }
                None if matches!(name, PortName::Name(name) if names.contains(&**name)) => {
                    Some(format!("names {name}, of which its number says something else"))
                }
                None => Some(format!("names {name}, which the Service does not have")),
            });
        whole(ports, self.traffic).into_iter().chain(of_ports).collect()
    }
}

/// What is wrong with the type of the whole Service.
fn whole(ports: &[Said<'_>], traffic: &Traffic) -> Option<String> {
    let of_all = traffic.all?;
    misplaced(of_all, &ports.iter().map(|port| port.transport).collect())?;
    Some(match of_all {
        TrafficType::Http | TrafficType::Tcp => format!("says {of_all}, but no port of the Service is TCP"),
        TrafficType::Udp => {
            "says udp, but no port of the Service is UDP; its TCP ports are served as tcp".into()
        }
    })
}

/// What a traffic type finds instead of a transport that it means something for.
fn misplaced(traffic_type: TrafficType, transports: &BTreeSet<Transport>) -> Option<&'static str> {
    if serves(traffic_type, transports) {
        return None;
    }
    let has = |transport| transports.contains(&transport);
    match (has(Transport::Tcp), has(Transport::Udp)) {
        (true, _) => Some("is TCP"),
        (false, true) => Some("is UDP"),
        (false, false) => None, // there is none, or it is told that it is not served
    }
}

/// What the annotation says of this very port; its number goes before its name.
fn entry<'a>(port: &Said<'_>, traffic: &'a Traffic) -> Option<(&'a PortName, TrafficType)> {
    let of = |name| traffic.ports.get_key_value(&name).map(|(name, of_port)| (name, *of_port));
    of(PortName::Number(port.number)).or_else(|| of(PortName::Name(port.name?.to_owned())))
}

/// Whether a traffic type means something for one of these transports.
fn serves(traffic_type: TrafficType, transports: &BTreeSet<Transport>) -> bool {
    transports.contains(match traffic_type {
        TrafficType::Http | TrafficType::Tcp => &Transport::Tcp,
        TrafficType::Udp => &Transport::Udp,
    })
}

/// The traffic type that a port's `appProtocol` means, where it means one here.
fn known(app_protocol: &str) -> Option<TrafficType> {
    match app_protocol {
        "http" | "https" | "grpc" | "kubernetes.io/h2c" | "kubernetes.io/ws" => Some(TrafficType::Http),
        "tcp" | "tls" => Some(TrafficType::Tcp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::{ServiceSettings, Values, parse};
    use proptest::prelude::*;

    fn traffic(annotation: Option<&str>, usual: TrafficType) -> Traffic {
        let pair = annotation.map(|value| ("mesh.traefik.io/traffic-type".to_owned(), value.to_owned()));
        let parsed = parse(&pair.into_iter().collect(), &Values::new(), &ServiceSettings::new(usual));
        assert_eq!(parsed.mistakes, []);
        parsed.settings.traffic
    }

    /// A port as `NAME NUMBER/TRANSPORT APP_PROTOCOL`, the last for those that have one.
    fn said(text: &str) -> Said<'_> {
        let mut words = text.split(' ');
        let (name, port) = (words.next(), words.next().unwrap());
        let (number, transport) = port.split_once('/').unwrap();
        let transport = match transport {
            "TCP" => Transport::Tcp,
            "UDP" => Transport::Udp,
            _ => Transport::Sctp,
        };
        Said { name, number: number.parse().unwrap(), transport, app_protocol: words.next() }
    }

    fn spoken(ports: &[&str], annotation: Option<&str>, usual: TrafficType) -> (Vec<String>, Vec<String>) {
        let (ports, traffic) =
            (ports.iter().copied().map(said).collect::<Vec<_>>(), traffic(annotation, usual));
        let spoken = Spoken::of(&ports, &traffic);
        let shown = |port| spoken.on(port).map_or_else(|| "none".into(), |protocol| protocol.to_string());
        (ports.iter().map(shown).collect(), spoken.unused(&ports))
    }

    /// What is spoken where all of the annotation has an effect.
    fn good(ports: &[&str], annotation: Option<&str>) -> Vec<String> {
        let (spoken, unused) = spoken(ports, annotation, TrafficType::Http);
        assert!(unused.is_empty(), "{annotation:?}: {unused:?}");
        spoken
    }

    const DNS: [&str; 3] = ["dns 53/UDP", "dns-tcp 53/TCP", "metrics 9153/TCP http"];

    #[test]
    fn every_port_is_served_by_its_own_transport() {
        assert_eq!(good(&DNS, None), ["udp", "http", "http"]);
        assert_eq!(good(&DNS, Some("udp")), ["udp", "tcp", "tcp"], "as a Service of Maesh's");
        assert_eq!(good(&DNS, Some("tcp")), ["udp", "tcp", "tcp"]);
        assert_eq!(good(&DNS, Some("udp,9153=http")), ["udp", "tcp", "http"]);
        assert_eq!(good(&DNS, Some("53=udp")), ["udp", "tcp", "http"], "one of both is UDP");
        assert_eq!(good(&DNS, Some("dns-tcp=tcp,dns=udp")), ["udp", "tcp", "http"]);
        assert_eq!(good(&["a 80/TCP", "b 81/SCTP"], None), ["http", "none"]);
        assert_eq!(
            good(&["a 5000/TCP", "b 5353/UDP", "c 8080/TCP"], Some("tcp,5353=udp,8080=http")),
            ["tcp", "udp", "http"]
        );
    }

    #[test]
    fn what_is_nearer_to_the_port_goes_first() {
        let ports = ["a 80/TCP tls", "b 81/TCP http", "c 82/TCP mysql"];
        assert_eq!(good(&ports, None), ["tcp", "http", "http"]);
        assert_eq!(good(&ports, Some("http")), ["http", "http", "http"]);
        assert_eq!(good(&ports, Some("tcp,a=http")), ["http", "tcp", "tcp"]);
        assert_eq!(good(&ports, Some("82=tcp")), ["tcp", "http", "tcp"]);
        let usual = |usual| spoken(&ports, None, usual);
        assert_eq!(usual(TrafficType::Tcp).0, ["tcp", "http", "tcp"]);
        assert_eq!(usual(TrafficType::Udp), (vec!["tcp".into(), "http".into(), "tcp".into()], vec![]));
    }

    #[test]
    fn app_protocols_that_are_http() {
        for protocol in ["http", "https", "grpc", "kubernetes.io/h2c", "kubernetes.io/ws"] {
            let (spoken, _) = spoken(&[&format!("a 80/TCP {protocol}")], None, TrafficType::Tcp);
            assert_eq!(spoken, ["http"], "{protocol}");
        }
    }

    #[test]
    fn what_does_not_fit_the_ports_is_told_and_has_no_effect() {
        for (ports, annotation, speaks, told) in [
            (&["a 80/TCP"][..], "http,81=tcp", "http", "names port 81, which the Service does not have"),
            (&["a 80/TCP"], "http,b=tcp", "http", "names port b, which the Service does not have"),
            (&["a 80/TCP"], "80=udp", "http", "says udp of port 80, which is TCP"),
            (&["a 80/TCP"], "tcp,a=udp", "tcp", "says udp of port a, which is TCP"),
            (&["a 80/UDP"], "80=http", "udp", "says http of port 80, which is UDP"),
            (&["a 80/TCP"], "80=tcp,a=http", "tcp", "names port a, of which its number says something else"),
            (
                &["a 80/TCP"],
                "udp",
                "tcp",
                "says udp, but no port of the Service is UDP; its TCP ports are served as tcp",
            ),
            (&["a 80/UDP"], "http", "udp", "says http, but no port of the Service is TCP"),
            (&["a 80/SCTP"], "b=http", "none", "names port b, which the Service does not have"),
        ] {
            let (spoken, unused) = spoken(ports, Some(annotation), TrafficType::Http);
            assert_eq!((&*spoken[0], &unused[..]), (speaks, &[told.to_owned()][..]), "{annotation}");
        }
        assert_eq!(good(&["a 80/SCTP"], Some("tcp,80=udp")), ["none"], "it is told that it is not served");
    }

    proptest! {
        #[test]
        fn no_annotation_changes_a_transport(
            ports in prop::collection::vec((1_u16..5, 0_u8..3, 0_usize..4), 1..6),
            all in 0_usize..4,
            types in prop::collection::btree_map(1_u16..6, 0_usize..3, 0..4),
        ) {
            const TYPES: [TrafficType; 3] = [TrafficType::Http, TrafficType::Tcp, TrafficType::Udp];
            const PROTOCOLS: [&str; 4] = ["http", "tls", "tcp", "other"];
            let traffic = Traffic {
                usual: TrafficType::Http,
                all: TYPES.get(all).copied(),
                ports: types.iter().map(|(port, index)| (PortName::Number(*port), TYPES[*index])).collect(),
            };
            let transport = |kind| match kind { 0 => Transport::Tcp, 1 => Transport::Udp, _ => Transport::Sctp };
            let ports: Vec<_> = ports.iter().map(|(number, kind, protocol)| Said {
                name: None, number: *number, transport: transport(*kind), app_protocol: PROTOCOLS.get(*protocol).copied(),
            }).collect();
            let spoken = Spoken::of(&ports, &traffic);
            for port in &ports {
                let fits = match spoken.on(port) {
                    Some(Protocol::Http | Protocol::Tcp) => port.transport == Transport::Tcp,
                    Some(Protocol::Udp) => port.transport == Transport::Udp,
                    None => port.transport == Transport::Sctp,
                };
                prop_assert!(fits);
            }
        }
    }
}
