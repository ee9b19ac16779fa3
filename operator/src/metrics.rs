//! The operator's metrics.
//!
//! In: the state that stations share. Out: text in the OpenMetrics format, made at each scrape.

use crate::{
    publish::node::Current,
    report::{SharedTeller, lock},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};
use tokio::{sync::watch, time::Instant};

/// The state that metrics, probes and debug pages show.
#[derive(Clone)]
pub struct Shown {
    /// Whether this replica leads.
    pub leads: Arc<AtomicBool>,
    /// What is told by Events.
    pub teller: SharedTeller,
    /// The topology; none before the first, and on a replica that does not lead.
    pub current: watch::Receiver<Option<Current>>,
    /// How many proxies serve the newest revision of their node.
    pub confirmed: Arc<AtomicI64>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ServedLabel {
    served: &'static str,
}

impl Shown {
    /// All metrics, as text.
    ///
    /// # Errors
    /// Only where formatting into memory fails.
    pub fn metrics(&self) -> Result<String, fmt::Error> {
        let Self { leads, teller, current, confirmed } = self;
        let mut registry = Registry::with_prefix("weft");
        let leader: Gauge = Gauge::default();
        leader.set(i64::from(leads.load(Ordering::Relaxed)));
        registry.register("leader", "1 on the replica that leads", leader);

        let findings = Family::<ReasonLabel, Gauge>::default();
        for (reason, count) in lock(teller).count(Instant::now()) {
            findings.get_or_create(&ReasonLabel { reason: reason.name() }).set(count);
        }
        registry.register("findings", "Objects that the reason of an Event holds for now", findings);

        let services = Family::<ServedLabel, Gauge>::default();
        let (all, served) = current
            .borrow()
            .as_ref()
            .map_or((0, 0), |current| (current.topology.services.len(), current.topology.served.len()));
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        services.get_or_create(&ServedLabel { served: "true" }).set(number(served));
        services.get_or_create(&ServedLabel { served: "false" }).set(number(all.saturating_sub(served)));
        registry.register("services", "Services with a mesh name, by whether the mesh serves them", services);

        let proxies: Gauge = Gauge::default();
        proxies.set(confirmed.load(Ordering::Relaxed));
        registry.register(
            "proxies_confirmed",
            "Proxies that serve the newest revision of their node",
            proxies,
        );

        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_metrics_has_them_all() {
        let shown = Shown {
            leads: Arc::default(),
            teller: SharedTeller::default(),
            current: watch::channel(None).1,
            confirmed: Arc::default(),
        };
        let text = shown.metrics().unwrap();
        let types: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert!(types.contains(&"weft_leader gauge"), "{text}");
        let (_, page) = include_str!("../../docs/metrics.md").split_once("## The operator\n").unwrap();
        let told = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let told: Vec<_> = told.map(|(name, rest)| format!("{name} {}", &rest[.."gauge".len()])).collect();
        assert_eq!(told, types);
    }
}
