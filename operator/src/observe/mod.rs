//! Observes the cluster.
//!
//! In: watches of the API server. Out: a [`Snapshot`] of what the mesh needs to know, and a tick whenever it has
//! settled after a change. What few Services need (who calls, certificates) is only looked at when one asks for it.

pub mod authorities;
pub mod callers;
pub mod settle;
pub mod smi;
mod stores;
mod trim;

use crate::smi::Object;
use authorities::{AuthorityKey, Read};
use callers::Callers;
use k8s_openapi::api::{
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use smi::SmiStore;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::watch;
use weft_contract::ServiceKey;

pub use stores::{Changes, Closed, Stores, policies};

/// What the middle of the operator works on: the objects as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Every Service, shadow Services included.
    pub services: Vec<Arc<Service>>,
    /// Every EndpointSlice.
    pub slices: Vec<Arc<EndpointSlice>>,
    /// Every pod, once some Service's policy asks who calls, or access is controlled.
    pub pods: Vec<Arc<Pod>>,
    /// Every SMI object, whether it can be read or not; sorted by kind, namespace and name.
    pub smi: Vec<Arc<Object>>,
    /// What came of reading certificates; those not read yet are absent.
    pub authorities: Arc<Read>,
    /// The certificates that Services were verified with last.
    pub last_authorities: Arc<BTreeMap<ServiceKey, String>>,
    /// Which proxies carry traffic.
    pub carriers: Carriers,
}

/// How many proxies carry a Service's traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carriers {
    /// How many proxies there are.
    pub proxies: u32,
    /// How many of them carry the traffic of these Services; a Service that nothing is known of is absent.
    pub carrying: BTreeMap<ServiceKey, u32>,
}

/// All that a [`Snapshot`] is taken of.
pub struct Observed {
    /// The objects that are always watched.
    pub stores: Stores,
    /// The pods that may call.
    pub callers: Callers,
    /// The SMI objects.
    pub smi: SmiStore,
    /// The certificates to read.
    pub wanted: watch::Sender<BTreeSet<AuthorityKey>>,
    /// What came of reading them.
    pub authorities: watch::Receiver<Arc<Read>>,
    /// What the proxies say of the traffic that they carry.
    pub carriers: watch::Receiver<Carriers>,
}

impl Observed {
    /// The cluster as it is now; `last_authorities` is what came of the snapshot before.
    #[must_use]
    pub fn snapshot(&self, last_authorities: &Arc<BTreeMap<ServiceKey, String>>) -> Snapshot {
        let Self { stores, callers, smi, wanted: _, authorities, carriers } = self;
        let carriers = carriers.borrow().clone();
        Snapshot {
            services: stores.services.state(),
            slices: stores.slices.state(),
            pods: callers.state(),
            smi: smi.state(),
            authorities: Arc::clone(&authorities.borrow()),
            last_authorities: Arc::clone(last_authorities),
            carriers,
        }
    }
}

impl Carriers {
    /// Among how many proxies a limit of the whole cluster is divided: those that carry the Service's traffic, and all
    /// of them before any is known to.
    #[must_use]
    pub fn of(&self, key: &ServiceKey) -> u32 {
        self.carrying.get(key).copied().unwrap_or(self.proxies).max(1)
    }
}
