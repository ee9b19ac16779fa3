//! What is granted, made ready.
//!
//! In: the grants of a configuration. Out: the same by destination, with numbers for who they name.

use super::{Gone, PrincipalId};
use std::collections::HashMap;
use weft_contract::{Grant, HttpMatch, PodPort, Principal, Transport};

/// All grants.
#[derive(Debug, Default)]
pub(super) struct Grants {
    principals: HashMap<Principal, PrincipalId>,
    by_destination: HashMap<PrincipalId, Vec<usize>>,
    grants: Vec<Granted>,
    /// The lists of conditions that they name; equal ones stand here once.
    lists: Vec<Vec<HttpMatch>>,
}

/// One grant.
#[derive(Debug)]
pub(super) struct Granted {
    /// Who may call.
    pub(super) sources: Vec<PrincipalId>,
    /// Who may be called.
    pub(super) destination: PrincipalId,
    /// On TCP ports.
    pub(super) claim: Option<Claim>,
    port: Option<PodPort>,
    tcp: Ports,
    udp: Option<Ports>,
}

/// What is granted on TCP ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Claim {
    /// Whatever is spoken there.
    Everything,
    /// Requests of which one of the conditions of this list holds. Of what is no HTTP that cannot be known.
    Matching(usize),
}

/// Ports of pods, sorted; none are all.
type Ports = Vec<u16>;

// === impl Grants ===

impl Grants {
    pub(super) fn new(grants: &[Grant]) -> Self {
        let (mut made, mut places) = (Self::default(), HashMap::new());
        for grant in grants {
            let granted = made.granted(grant, &mut places);
            made.by_destination.entry(granted.destination).or_default().push(made.grants.len());
            made.grants.push(granted);
        }
        made
    }

    fn granted<'a>(&mut self, grant: &'a Grant, places: &mut HashMap<&'a [HttpMatch], usize>) -> Granted {
        let Grant { namespace: _, name: _, destination, sources, port, tcp, udp, http } = grant;
        let claim = match (http, tcp) {
            (None, None) => None,
            (None, Some(_)) => Some(Claim::Everything),
            (Some(list), _) => Some(Claim::Matching(*places.entry(list).or_insert_with(|| {
                self.lists.push(list.clone());
                self.lists.len() - 1
            }))),
        };
        Granted {
            sources: sources.iter().map(|source| self.number(source)).collect(),
            destination: self.number(destination),
            claim,
            port: port.clone(),
            tcp: tcp.clone().unwrap_or_default(),
            udp: udp.clone(),
        }
    }

    fn number(&mut self, principal: &Principal) -> PrincipalId {
        if let Some(id) = self.principals.get(principal) {
            return *id;
        }
        let id = PrincipalId::try_from(self.principals.len()).unwrap_or(PrincipalId::MAX);
        self.principals.insert(principal.clone(), id);
        id
    }

    /// The number of a principal that some grant names.
    pub(super) fn principal(&self, principal: &Principal) -> Option<PrincipalId> {
        self.principals.get(principal).copied()
    }

    /// The places of the grants with one of these destinations, sorted.
    pub(super) fn at(&self, destinations: &[PrincipalId]) -> Vec<usize> {
        let lists = destinations.iter().filter_map(|id| self.by_destination.get(id));
        let mut places: Vec<usize> = lists.flatten().copied().collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    pub(super) fn get(&self, place: usize) -> &Granted {
        &self.grants[place]
    }

    /// The conditions of a list.
    pub(super) fn list(&self, place: usize) -> &[HttpMatch] {
        &self.lists[place]
    }

    /// Whether one of these sources may call one of these destinations there at all.
    pub(super) fn is_granted(
        &self,
        sources: &[PrincipalId],
        destinations: &[PrincipalId],
        port: u16,
        gone: &Gone,
    ) -> bool {
        let Gone { target_name, transport, request } = gone;
        self.at(destinations).into_iter().map(|place| self.get(place)).any(|granted| {
            granted.sources.iter().any(|source| sources.contains(source))
                && granted.opens(port, target_name.as_deref(), *transport)
                && (*request || *transport == Transport::Udp || granted.claim == Some(Claim::Everything))
        })
    }
}

// === impl Granted ===

impl Granted {
    /// Whether anything is granted at this port of a pod.
    pub(super) fn opens(&self, port: u16, target_name: Option<&str>, transport: Transport) -> bool {
        let meant = match &self.port {
            None => true,
            Some(PodPort::Number(number)) => *number == port,
            Some(PodPort::Name(name)) => Some(name.as_str()) == target_name,
        };
        let among = |ports: &Ports| ports.is_empty() || ports.contains(&port);
        meant
            && match transport {
                Transport::Tcp => self.claim.is_some() && among(&self.tcp),
                Transport::Udp => self.udp.as_ref().is_some_and(among),
                Transport::Sctp => false,
            }
    }
}
