//! Remembers which revision of a node's configuration serves which Services.
//!
//! In: each revision when it is published. Out: what a proxy serves that confirms a revision, also one that has been
//! superseded meanwhile: endpoints may change faster than proxies are asked.

use crate::topology::Topology;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};
use weft_contract::ServiceKey;

/// How many revisions of a node are remembered. A proxy that is further behind counts as not serving.
const REMEMBERED: usize = 32;

/// The Services that a configuration serves, each with a hash of how: name, ports, listeners and addresses, not its
/// endpoints.
pub type Served = BTreeMap<ServiceKey, u64>;

/// A node's revisions, the oldest first, with what each serves.
type Revisions = VecDeque<(String, Arc<Served>)>;

/// What has been published, by node.
#[derive(Default)]
pub struct History {
    nodes: Mutex<HashMap<String, Revisions>>,
}

/// The Services that a topology serves.
#[must_use]
pub fn served(topology: &Topology) -> Served {
    let services = topology.services.iter().filter(|service| topology.served.contains(&service.key));
    let hash = |service: &weft_contract::Service| {
        let mut hasher = DefaultHasher::new();
        service.addresses.hash(&mut hasher);
        for port in &service.ports {
            let listener = port.listener.as_ref().map(|listener| (listener.port, listener.protocol));
            (&port.name, port.port, port.transport, listener).hash(&mut hasher);
        }
        hasher.finish()
    };
    services.map(|service| (service.key.clone(), hash(service))).collect()
}

impl History {
    /// Remembers what `revision` of `node` serves.
    pub fn published(&self, node: &str, revision: &str, served: &Arc<Served>) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let revisions = nodes.entry(node.to_owned()).or_default();
        revisions.retain(|(known, _)| known != revision);
        revisions.push_back((revision.to_owned(), Arc::clone(served)));
        if revisions.len() > REMEMBERED {
            revisions.pop_front();
        }
    }

    /// What `revision` of `node` serves, while that is remembered.
    #[must_use]
    pub fn serves(&self, node: &str, revision: &str) -> Option<Arc<Served>> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let revisions = nodes.get(node)?;
        revisions.iter().find(|(known, _)| known == revision).map(|(_, served)| Arc::clone(served))
    }

    /// The newest revision of each node.
    #[must_use]
    pub fn newest(&self) -> HashMap<String, String> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let newest =
            nodes.iter().filter_map(|(node, revisions)| Some((node.clone(), revisions.back()?.0.clone())));
        newest.collect()
    }

    /// Forgets all nodes but these.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).retain(|node, _| exists(node));
    }
}
