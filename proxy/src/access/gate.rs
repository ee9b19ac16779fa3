//! What is open at one port of a Service.
//!
//! In: the port's endpoints, who they are, and what is granted. Out: a [`Gate`]. One that would be the same as before is the
//! same, and gates that open the same to the same share what they know.

use super::{
    Access, Asked, Opened, PrincipalId,
    grants::Grants,
    openings::{Openings, Set, Term},
};
use crate::{balance::Kinds, matching::Compiling};
use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use weft_contract::{Port, Transport};

/// What is open at one port, and to whom.
#[derive(Debug)]
pub struct Gate {
    grants: Arc<Grants>,
    identity: Identity,
    kinds: Arc<Kinds>,
    terms: Arc<Terms>,
    openings: Arc<Openings>,
}

/// What grants open, on a port of this transport.
type Terms = (Vec<Term>, Transport);

/// What a gate is made of, besides the grants.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    endpoints: Vec<(SocketAddr, Arc<[PrincipalId]>)>,
    target_name: Option<String>,
    transport: Transport,
}

/// Makes the gates of a plan.
#[derive(Debug)]
pub struct Gates<'a> {
    access: &'a Access,
    /// By what they are made of.
    openings: HashMap<Arc<Terms>, Arc<Openings>>,
    /// All of these, and others that are the same.
    known: HashSet<*const Openings>,
}

// === impl Gates ===

impl<'a> Gates<'a> {
    /// None yet.
    #[must_use]
    pub fn new(access: &'a Access) -> Self {
        Self { access, openings: HashMap::new(), known: HashSet::new() }
    }

    /// The gate of a port; the one before where it would be the same.
    pub fn gate(
        &mut self,
        port: &Port,
        before: Option<&Arc<Gate>>,
        compiling: &mut Compiling<'_>,
    ) -> Arc<Gate> {
        let Access { mode: _, ledger: _, grants, callers } = self.access;
        let endpoint = |address: IpAddr, number| (SocketAddr::new(address, number), callers.shared(address));
        let identity = Identity {
            endpoints: port.endpoints.iter().map(|each| endpoint(each.address, each.port)).collect(),
            target_name: port.target_name.clone(),
            transport: port.transport,
        };
        let same = |gate: &&Arc<Gate>| Arc::ptr_eq(&gate.grants, grants) && gate.identity == identity;
        if let Some(gate) = before.filter(same) {
            self.keep(&gate.terms, &gate.openings, compiling);
            return Arc::clone(gate);
        }
        let (kinds, terms) = identity.terms(grants);
        // Mostly endpoints have changed, and not what is open at them.
        let before = before.filter(|gate| Arc::ptr_eq(&gate.grants, grants) && *gate.terms == terms);
        let (terms, openings) = match before {
            Some(gate) => (Arc::clone(&gate.terms), Arc::clone(&gate.openings)),
            None => match self.openings.get_key_value(&terms) {
                Some((terms, openings)) => (Arc::clone(terms), Arc::clone(openings)),
                None => {
                    let openings = Openings::new(&terms.0, terms.1, grants, compiling);
                    (Arc::new(terms), Arc::new(openings))
                }
            },
        };
        self.keep(&terms, &openings, compiling);
        Arc::new(Gate { grants: Arc::clone(grants), identity, kinds: Arc::new(kinds), terms, openings })
    }

    /// Keeps what is in use, so that others find it.
    fn keep(&mut self, terms: &Arc<Terms>, openings: &Arc<Openings>, compiling: &mut Compiling<'_>) {
        if self.known.insert(Arc::as_ptr(openings)) {
            openings.keep(compiling);
            self.openings.entry(Arc::clone(terms)).or_insert_with(|| Arc::clone(openings));
        }
    }
}

// === impl Identity ===

impl Identity {
    /// Of which kind each endpoint is, and the kinds that each grant opens. Endpoints of one kind are the same to access
    /// control: they are the same principals, and have the same port.
    fn terms(&self, grants: &Grants) -> (Kinds, Terms) {
        let Self { endpoints, target_name, transport } = self;
        let (mut kinds, mut places): (Vec<(&[PrincipalId], u16)>, HashMap<_, usize>) =
            (Vec::new(), HashMap::new());
        let mut kind_of = Vec::with_capacity(endpoints.len());
        for (address, principals) in endpoints {
            let kind = (&**principals, address.port());
            let place = *places.entry(kind).or_insert(kinds.len());
            if place == kinds.len() {
                kinds.push(kind);
            }
            kind_of.push((*address, place));
        }
        let mut destinations: Vec<PrincipalId> =
            kinds.iter().flat_map(|(principals, _)| *principals).copied().collect();
        destinations.sort_unstable();
        destinations.dedup();
        let term = |place| {
            let granted = grants.get(place);
            let is_open = |(principals, port): &(&[PrincipalId], u16)| {
                principals.contains(&granted.destination)
                    && granted.opens(*port, target_name.as_deref(), *transport)
            };
            Set::of(kinds.iter().map(is_open)).map(|opens| Term { grant: place, opens })
        };
        let terms = grants.at(&destinations).into_iter().filter_map(term).collect();
        (kind_of.into_iter().collect(), (terms, *transport))
    }
}

// === impl Gate ===

impl Gate {
    /// What is open to who is these principals.
    pub(super) fn opened(&self, caller: &[PrincipalId], asked: Asked<'_>) -> Opened {
        // There is nothing that could be called: that is what the client is told, whoever it is.
        if self.identity.endpoints.is_empty() {
            return Opened::All;
        }
        self.openings.opened(caller, asked, &self.kinds)
    }

    #[cfg(test)]
    pub(super) fn shares_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.openings, &other.openings)
    }

    /// Whether this knows an endpoint.
    #[must_use]
    pub fn knows(&self, endpoint: SocketAddr) -> bool {
        self.identity.endpoints.iter().any(|(address, _)| *address == endpoint)
    }
}
