//! Some endpoints of a Service, where a request may not go to all.
//!
//! In: of which kind each endpoint is, and the kinds that are open. Out: whether an endpoint may be picked.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

/// Of which kind each endpoint is.
#[derive(Debug, Default)]
pub struct Kinds(HashMap<SocketAddr, usize>);

/// The only endpoints that may be picked: those of some kinds.
#[derive(Clone, Debug)]
pub struct Only {
    kinds: Arc<Kinds>,
    /// A bit for each kind.
    open: Arc<[u64]>,
}

// === impl Kinds ===

impl FromIterator<(SocketAddr, usize)> for Kinds {
    fn from_iter<T: IntoIterator<Item = (SocketAddr, usize)>>(endpoints: T) -> Self {
        Self(endpoints.into_iter().collect())
    }
}

// === impl Only ===

impl Only {
    /// Those whose kind has its bit set in `open`.
    #[must_use]
    pub fn new(kinds: Arc<Kinds>, open: Arc<[u64]>) -> Self {
        Self { kinds, open }
    }

    /// Whether this endpoint may be picked. One that nobody knows may not.
    #[must_use]
    pub fn admits(&self, address: SocketAddr) -> bool {
        let Some(kind) = self.kinds.0.get(&address) else { return false };
        self.open.get(kind / 64).is_some_and(|bits| bits & (1 << (kind % 64)) != 0)
    }
}
