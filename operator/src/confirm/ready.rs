//! Decides when a Service is said to be ready, and by how many proxies.
//!
//! In: what each proxy serves, and the time. Out: the `MeshReady` findings that hold. A proxy that restarts takes every
//! Service with it for a moment; nothing is said about that unless it lasts.

use crate::{
    finding::{Finding, Reason},
    publish::{history::Served, node::Current},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;
use weft_contract::{self as contract, ServiceKey};

/// How long fewer proxies than all must be serving before that is said.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What proxies serve, at one moment.
pub struct Serving<'a> {
    /// The main zone of the mesh.
    pub zone: &'a str,
    /// What they should serve.
    pub current: &'a Current,
    /// What each serves; none for one that has not confirmed anything known.
    pub proxies: &'a [Option<Arc<Served>>],
}

/// What is said of each Service.
#[derive(Default)]
pub struct Readiness {
    services: BTreeMap<ServiceKey, State>,
}

struct State {
    /// What is said now; none before the first proxy confirmed.
    said: Option<Said>,
    /// Since when something else would have to be said.
    otherwise_since: Option<Instant>,
}

#[derive(Clone, PartialEq)]
struct Said {
    /// How the Service is served.
    how: u64,
    /// By how many proxies.
    by: usize,
    /// Of how many.
    of: usize,
}

impl Readiness {
    /// Takes note of what proxies serve now, and returns what is to be said.
    pub fn observe(&mut self, now: Instant, serving: &Serving<'_>) -> Vec<Finding> {
        let Serving { zone, current, proxies } = serving;
        self.services.retain(|key, _| current.served.contains_key(key));
        let of = proxies.len();
        for (key, how) in current.served.iter() {
            let by = proxies.iter().flatten().filter(|served| served.get(key) == Some(how)).count();
            let state =
                self.services.entry(key.clone()).or_insert(State { said: None, otherwise_since: None });
            state.observe(now, Said { how: *how, by, of });
        }
        let services = current.topology.services.iter();
        let findings = services.filter_map(|service| {
            let said = self.services.get(&service.key)?.said.as_ref()?;
            let about = current.topology.about.get(&service.key)?.clone();
            Some(Finding {
                about,
                reason: Reason::MeshReady,
                detail: String::new(),
                note: note(zone, service, said),
            })
        });
        findings.collect()
    }

    /// Whether something would have to be said otherwise soon.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.services.values().any(|state| state.otherwise_since.is_some())
    }
}

impl State {
    fn observe(&mut self, now: Instant, seen: Said) {
        if self.said.as_ref() == Some(&seen) {
            self.otherwise_since = None;
            return;
        }
        // All proxies serve it: said at once. Fewer: only when that lasts, and never before the first.
        let since = *self.otherwise_since.get_or_insert(now);
        let lasts = now.duration_since(since) >= PATIENCE;
        if seen.by > 0 && (seen.by == seen.of || lasts) || (lasts && self.said.is_some()) {
            self.said = (seen.by > 0).then_some(seen);
            self.otherwise_since = None;
        }
    }
}

fn note(zone: &str, service: &contract::Service, said: &Said) -> String {
    let ServiceKey { namespace, name } = &service.key;
    let port = |port: &contract::Port| {
        let protocol = port.listener.as_ref()?.protocol;
        Some(format!("{} ({protocol})", port.port))
    };
    let ports: Vec<_> = service.ports.iter().filter_map(port).collect();
    let word = if ports.len() == 1 { "port" } else { "ports" };
    let ports = ports.join(", ");
    format!("{name}.{namespace}.{zone}, {word} {ports}: served by {} of {} node proxies.", said.by, said.of)
}

#[cfg(test)]
#[path = "ready_tests.rs"]
mod tests;
