//! Who may call whom.
//!
//! In: what a configuration grants, the pods that have addresses, and the endpoints of each port. Out: [`Access`], which knows
//! who called, and for each port a [`Gate`], which tells what is open to whom.
//!
//! ```text
//!  sources --callers--> address -> principals, as small numbers
//!  grants  --grants---> destination -> what is granted there, to whom
//!  a port's endpoints --gate--> principal -> all of them, some of them, or none; for some requests, or whatever it is
//! ```
//!
//! Nothing is decided by what a client sends but what a grant names: who calls is known from the connection's address alone,
//! and looked up for each request. An address that is nobody's, or two pods', is nobody's.

mod callers;
mod denied;
mod gate;
mod grants;
mod held;
mod ledger;
mod openings;

pub use denied::Denied;
pub use gate::{Gate, Gates};
pub use held::{Held, Hold};
pub use ledger::Ledger;
pub use openings::Opened;

use crate::matching::Subject;
use callers::Callers;
use grants::Grants;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use weft_contract::{AccessControl, AccessMode, NodeConfiguration, Transport};

/// A number that stands for a principal of the grants.
type PrincipalId = u32;

/// What a way is asked for.
#[derive(Clone, Copy)]
pub enum Asked<'a> {
    /// A request.
    Request(&'a Subject<'a>),
    /// A connection of TCP or a session of UDP: nothing is known of what is spoken there.
    Raw,
}

/// Access control, as one plan has it.
#[derive(Debug)]
pub struct Access {
    /// What becomes of that which nothing grants.
    pub mode: AccessMode,
    /// What would have been refused, where it is only audited.
    pub ledger: Arc<Ledger>,
    grants: Arc<Grants>,
    callers: Arc<Callers>,
}

// === impl Access ===

impl Access {
    /// What a configuration says of access; none where it is not controlled. `before` is the same of the plan before, with
    /// its configuration.
    #[must_use]
    pub fn new(
        configuration: &NodeConfiguration,
        before: Option<(&Self, &NodeConfiguration)>,
    ) -> Option<Self> {
        let AccessControl { mode, grants } = configuration.access.as_ref()?;
        let same_grants = before
            .filter(|(_, before)| before.access.as_ref().is_some_and(|before| before.grants == *grants));
        let same_sources = same_grants.filter(|(_, before)| before.sources == configuration.sources);
        let grants = match same_grants {
            Some((before, _)) => Arc::clone(&before.grants),
            None => Arc::new(Grants::new(grants)),
        };
        let callers = match same_sources {
            Some((before, _)) => Arc::clone(&before.callers),
            None => Arc::new(Callers::new(&configuration.sources, &grants)),
        };
        let ledger = before.map_or_else(Arc::default, |(before, _)| Arc::clone(&before.ledger));
        Some(Self { mode: *mode, ledger, grants, callers })
    }

    /// What `gate`, which must be of the same plan, opens to the pod that has this address.
    #[must_use]
    pub fn opened(&self, gate: &Gate, client: IpAddr, asked: Asked<'_>) -> Opened {
        gate.opened(self.callers.principals(client), asked)
    }

    /// Whether something is granted to a client at an endpoint that no gate knows any more, whatever is asked for there.
    #[must_use]
    pub fn is_granted(&self, client: IpAddr, endpoint: SocketAddr, gone: &Gone) -> bool {
        let (sources, destinations) =
            (self.callers.principals(client), self.callers.principals(endpoint.ip()));
        self.grants.is_granted(sources, destinations, endpoint.port(), gone)
    }
}

/// What was known of an endpoint that is none of a Service's any more.
#[derive(Clone, Debug)]
pub struct Gone {
    /// The Service's name for the pods' port.
    pub target_name: Option<String>,
    /// The port's transport.
    pub transport: Transport,
    /// Whether it is a request of HTTP.
    pub request: bool,
}

#[cfg(test)]
mod tests;
