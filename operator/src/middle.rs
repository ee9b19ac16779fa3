//! Runs the middle of the operator: each time the cluster has settled, what the mesh should be.
//!
//! In: what is observed. Out: the topology in force, findings, and what else must be observed for it.

use crate::{
    finding::Finding,
    observe::{Changes, Observed, settle::settled},
    publish::{history::served, node::Current, recall},
    report::{Reporter, Source},
    settings::Settings,
    topology::{Topology, resolve},
};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// What the middle works with.
pub struct Middle {
    /// The settings.
    pub settings: Settings,
    /// What is observed.
    pub observed: Observed,
    /// Told when something changes.
    pub changes: Changes,
    /// Where the topology in force is kept.
    pub current: watch::Sender<Option<Current>>,
    /// Told when every node must be looked at.
    pub nodes: mpsc::Sender<()>,
    /// Who is told of findings.
    pub reporter: Reporter,
}

impl Middle {
    /// Resolves for ever.
    pub async fn run(self) {
        let mut told: Option<Vec<Finding>> = None;
        let mut authorities = Arc::new(recall::authorities(&self.observed.stores.configmaps.state()));
        loop {
            settled(&self.changes.topology).await;
            let (mut topology, mut findings) = resolve(&self.observed.snapshot(&authorities), &self.settings);
            if topology.wants_callers && self.observed.callers.want().await {
                (topology, findings) = resolve(&self.observed.snapshot(&authorities), &self.settings);
            }
            self.observed.wanted.send_if_modified(|wanted| {
                let changed = *wanted != topology.authorities;
                wanted.clone_from(&topology.authorities);
                changed
            });
            let in_force = topology.authorities_in_force();
            if *authorities != in_force {
                authorities = Arc::new(in_force);
            }
            if told.as_ref() != Some(&findings) {
                self.reporter.state(Source::Mesh, findings.clone());
                told = Some(findings);
            }
            if self.put_in_force(topology) {
                let _ = self.nodes.try_send(()); // full: every node will be looked at anyway
            }
        }
    }

    /// Puts a topology in force; false where it is in force already.
    fn put_in_force(&self, topology: Topology) -> bool {
        self.current.send_if_modified(|current| {
            if current.as_ref().is_some_and(|current| *current.topology == topology) {
                return false;
            }
            let before = current.take().map(|current| current.served);
            let served = served(&topology);
            // Endpoints change more often than what is served, which then is kept but once.
            let served = before.filter(|before| **before == served).unwrap_or_else(|| Arc::new(served));
            *current = Some(Current { topology: Arc::new(topology), served });
            true
        })
    }
}

#[cfg(test)]
#[path = "middle_tests.rs"]
mod tests;
