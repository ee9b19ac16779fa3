//! The names of the mesh, indexed for look-ups.
//!
//! In: a [`NodeConfiguration`], once per plan. Out: for the labels of a name, what stands there: nothing, a
//! name with nothing but names below it, a Service or one of its ports. A query never rebuilds any of it.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use weft_contract::{NodeConfiguration, Service, Transport};

/// The label below a zone that its NS record names. It exists, so that the record does not point to nowhere,
/// and has no address: which address leads here is the business of whoever forwards the zone.
pub(super) const SERVER_LABEL: &str = "ns";

/// One label of a name, in lower case. Bytes, because a query may hold any.
type Label = Box<[u8]>;

/// Every name that the mesh answers for.
#[derive(Debug, Default)]
pub struct Names {
    /// The labels of each zone, the zone with the most labels first.
    zones: Vec<Vec<Label>>,
    /// The Services by namespace and name, the same below every zone.
    namespaces: HashMap<Label, HashMap<Label, Entry>>,
}

/// What is known of one Service.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) v4: Vec<Ipv4Addr>,
    pub(super) v6: Vec<Ipv6Addr>,
    ports: Vec<NamedPort>,
}

#[derive(Debug)]
struct NamedPort {
    name: Label,
    transport: Transport,
    port: u16,
}

/// Where a name stands.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// In none of the zones.
    Outside,
    /// In a zone, where nothing stands at it or below it.
    Missing {
        /// The number of labels of the zone, which are the last ones of the name.
        zone: usize,
    },
    /// In a zone, where something stands at it or below it.
    Found {
        /// The number of labels of the zone, which are the last ones of the name.
        zone: usize,
        /// What stands there.
        node: Node<'a>,
    },
}

/// What stands at a name that exists.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node<'a> {
    /// The zone itself.
    Apex,
    /// Nothing but names below it.
    Empty,
    /// A Service.
    Service(&'a Entry),
    /// A named port of a Service.
    Port(&'a Entry, u16),
}

// === impl Names ===

impl Names {
    /// Indexes the names of a configuration. What is no legal DNS name is kept and never found.
    #[must_use]
    pub fn new(configuration: &NodeConfiguration) -> Self {
        let NodeConfiguration { schema: _, node: _, zone: _, zones, services, sources: _, access: _ } =
            configuration;
        let mut zones: Vec<Vec<Label>> =
            zones.iter().map(|zone| zone.split('.').map(label).collect()).collect();
        zones.sort_by_key(|labels| std::cmp::Reverse(labels.len()));
        let mut namespaces: HashMap<Label, HashMap<Label, Entry>> = HashMap::new();
        for service in services {
            let namespace = namespaces.entry(label(&service.key.namespace)).or_default();
            namespace.insert(label(&service.key.name), Entry::new(service));
        }
        Self { zones, namespaces }
    }

    /// Finds the place of a name, given as its labels in lower case.
    ///
    /// One zone may lie within another, as `traefik.mesh` within `mesh`, and a namespace may be called
    /// `traefik` then: what holds records wins over what only has names below it, and among equals the
    /// zone with the most labels.
    pub(super) fn find(&self, labels: &[Vec<u8>]) -> Place<'_> {
        let mut best = Place::Outside;
        for zone in self.zones.iter().filter(|zone| encloses(zone, labels)) {
            let below = &labels[..labels.len() - zone.len()];
            let zone = zone.len();
            let place = self.node(below).map_or(Place::Missing { zone }, |node| Place::Found { zone, node });
            if place.rank() > best.rank() {
                best = place;
            }
        }
        best
    }

    fn node(&self, below: &[Vec<u8>]) -> Option<Node<'_>> {
        match below {
            [] => Some(Node::Apex),
            [namespace] => {
                let exists =
                    self.namespaces.contains_key(&**namespace) || namespace == SERVER_LABEL.as_bytes();
                exists.then_some(Node::Empty)
            }
            [service, namespace] => self.entry(service, namespace).map(Node::Service),
            [transport, service, namespace] => {
                let entry = self.entry(service, namespace)?;
                entry.ports_over(transport).next().map(|_| Node::Empty)
            }
            [port, transport, service, namespace] => {
                let entry = self.entry(service, namespace)?;
                let name = port.strip_prefix(b"_")?;
                let found = entry.ports_over(transport).find(|port| *port.name == *name)?;
                Some(Node::Port(entry, found.port))
            }
            _ => None,
        }
    }

    fn entry(&self, service: &[u8], namespace: &[u8]) -> Option<&Entry> {
        self.namespaces.get(namespace)?.get(service)
    }
}

// === impl Place ===

impl Place<'_> {
    fn rank(&self) -> u8 {
        match self {
            Self::Outside => 0,
            Self::Missing { .. } => 1,
            Self::Found { node: Node::Empty, .. } => 2,
            Self::Found { node: Node::Apex | Node::Service(_) | Node::Port(..), .. } => 3,
        }
    }
}

/// Whether the last labels of a name are those of the zone.
fn encloses(zone: &[Label], labels: &[Vec<u8>]) -> bool {
    labels.len() >= zone.len()
        && zone.iter().rev().zip(labels.iter().rev()).all(|(one, other)| **one == **other)
}

fn label(text: impl AsRef<str>) -> Label {
    text.as_ref().to_ascii_lowercase().into_bytes().into_boxed_slice()
}

// === impl Entry ===

impl Entry {
    fn new(service: &Service) -> Self {
        let Service { key: _, addresses, ports, policy: _, split: _ } = service;
        let mut entry = Self::default();
        for address in addresses {
            match address {
                IpAddr::V4(address) => entry.v4.push(*address),
                IpAddr::V6(address) => entry.v6.push(*address),
            }
        }
        // A port without a name has no SRV record, as in the cluster's own zone.
        entry.ports.extend(ports.iter().filter_map(|port| {
            let name = port.name.as_deref().filter(|name| !name.is_empty())?;
            Some(NamedPort { name: label(name), transport: port.transport, port: port.port })
        }));
        entry
    }

    /// The named ports of the transport that a label such as `_tcp` means.
    fn ports_over(&self, transport: &[u8]) -> impl Iterator<Item = &NamedPort> {
        self.ports.iter().filter(move |port| transport == transport_label(port.transport))
    }
}

fn transport_label(transport: Transport) -> &'static [u8] {
    match transport {
        Transport::Tcp => b"_tcp",
        Transport::Udp => b"_udp",
        Transport::Sctp => b"_sctp",
    }
}
