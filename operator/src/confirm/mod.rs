//! Confirms that proxies serve what was published.
//!
//! In: the proxies' pods, and each one's answer to `GET /revision`. Out: findings: `MeshReady` for the Services that
//! proxies have confirmed, warnings about proxies that refused their configuration, and open circuit breakers; and how
//! many proxies carry the traffic of Services whose limit is divided among them.

mod ask;
mod breakers;
pub mod carriers;
pub mod ready;

use crate::{
    finding::{About, Finding, Kind, Reason},
    observe::Carriers,
    publish::{
        history::{History, Served},
        node::Current,
    },
    report::{Reporter, Source},
};
use ask::Asker;
use carriers::Counter;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, runtime::reflector::Store};
use ready::{Readiness, Serving};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};
use weft_contract::Confirmation;

/// How soon after something was published the proxies are asked first.
const FIRST: Duration = Duration::from_millis(100);
/// How often they are asked while all is as published.
const STEADY: Duration = Duration::from_secs(10);
/// How often while what they count matters: a circuit breaker that trips is open for ten seconds.
const COUNTING: Duration = Duration::from_secs(2);
/// How many proxies are asked at a time.
const CONCURRENCY: usize = 32;

/// What the station works with.
pub struct Confirm {
    /// The proxies' pods.
    pub proxies: Store<Pod>,
    /// Told when a proxy's pod changes.
    pub proxies_changed: Arc<Notify>,
    /// What has been published.
    pub history: Arc<History>,
    /// Told when something is published.
    pub published: Arc<Notify>,
    /// The topology.
    pub current: watch::Receiver<Option<Current>>,
    /// The main zone of the mesh.
    pub zone: String,
    /// Who is told.
    pub reporter: Reporter,
    /// A gauge: how many proxies serve the newest revision of their node.
    pub confirmed: Arc<AtomicI64>,
    /// Where it is kept which proxies carry traffic.
    pub carriers: watch::Sender<Carriers>,
    /// Told when that changes.
    pub topology_changes: Arc<Notify>,
}

/// A proxy's pod that should serve.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Proxy {
    pod: String,
    node: String,
    address: Option<IpAddr>,
}

impl Confirm {
    /// Asks, and reports, for ever.
    pub async fn run(self) {
        let asker = Asker::default();
        let mut readiness = Readiness::default();
        let mut counter = Counter::default();
        let mut pause = FIRST;
        loop {
            let news = async {
                tokio::select! {
                    () = self.published.notified() => {}
                    () = self.proxies_changed.notified() => {}
                }
            };
            let is_news = timeout(pause, news).await.is_ok();
            let current = self.current.borrow().clone();
            let counting = current.as_ref().is_some_and(|current| current.topology.is_counting());
            pause = next(pause, is_news, counting);
            let Some(current) = current else { continue };
            let proxies = proxies(&self.proxies.state());
            let answers = self.ask(&asker, &proxies).await;
            self.count(&mut counter, &current, &proxies, &answers);
            if !self.report(&mut readiness, &current, &proxies, &answers) {
                pause = pause.min(Duration::from_secs(1)); // something is still to come
            }
        }
    }

    async fn ask(&self, asker: &Asker, proxies: &[Proxy]) -> BTreeMap<String, Confirmation> {
        let asked: Vec<(String, IpAddr)> =
            proxies.iter().filter_map(|proxy| Some((proxy.pod.clone(), proxy.address?))).collect();
        stream::iter(asked)
            .map(|(pod, address)| async move { Some((pod, asker.ask(address).await.ok()?)) })
            .buffer_unordered(CONCURRENCY)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    /// Counts which proxies carry traffic, and tells when that changes a share.
    fn count(
        &self,
        counter: &mut Counter,
        current: &Current,
        proxies: &[Proxy],
        answers: &BTreeMap<String, Confirmation>,
    ) {
        let pods = proxies.iter().map(|proxy| proxy.pod.clone()).collect();
        let carriers = counter.observe(&pods, answers, &current.topology.services);
        let changed = self.carriers.send_if_modified(|before| {
            let changed = *before != carriers;
            *before = carriers;
            changed
        });
        if changed {
            self.topology_changes.notify_one();
        }
    }

    /// Reports what the answers mean; true when every proxy serves the newest revision.
    fn report(
        &self,
        readiness: &mut Readiness,
        current: &Current,
        proxies: &[Proxy],
        answers: &BTreeMap<String, Confirmation>,
    ) -> bool {
        let serving: Vec<Option<Arc<Served>>> =
            proxies.iter().map(|proxy| self.serving(proxy, answers)).collect();
        let newest = self.history.newest();
        let confirmed = proxies.iter().filter(|proxy| {
            let revision = answers.get(&proxy.pod).and_then(|answer| answer.revision.as_ref());
            revision.is_some() && revision == newest.get(&proxy.node)
        });
        let confirmed = confirmed.count();
        self.confirmed
            .store(i64::try_from(confirmed).unwrap_or(i64::MAX), std::sync::atomic::Ordering::Relaxed);
        let serving = Serving { zone: &self.zone, current, proxies: &serving };
        let mut findings = readiness.observe(Instant::now(), &serving);
        findings.extend(proxies.iter().filter_map(|proxy| rejected(proxy, answers.get(&proxy.pod)?)));
        let trips = proxies
            .iter()
            .filter_map(|proxy| Some((proxy.node.as_str(), answers.get(&proxy.pod)?.tripped.as_slice())));
        findings.extend(breakers::open(&current.topology.about, trips));
        findings.sort();
        self.reporter.state(Source::Proxies, findings);
        confirmed == proxies.len() && !readiness.is_waiting()
    }

    /// What a proxy serves, by its answer; a Service with a failed listener is not served.
    fn serving(&self, proxy: &Proxy, answers: &BTreeMap<String, Confirmation>) -> Option<Arc<Served>> {
        let answer = answers.get(&proxy.pod)?;
        if !answer.failed_listeners.is_empty() {
            return None; // told as ProxyRejected; which Services it concerns is in the proxy's answer
        }
        self.history.serves(&proxy.node, answer.revision.as_ref()?)
    }
}

/// How long to wait before the proxies are asked the next time.
fn next(pause: Duration, is_news: bool, counting: bool) -> Duration {
    let steady = if counting { COUNTING } else { STEADY };
    if is_news { FIRST } else { (pause * 2).min(steady) }
}

/// What is known of the traffic that proxies carry before any was asked: that it is among all of them.
#[must_use]
pub fn nothing_counted(pods: &[Arc<Pod>]) -> Carriers {
    let proxies = u32::try_from(proxies(pods).len()).unwrap_or(u32::MAX);
    Carriers { proxies, carrying: BTreeMap::new() }
}

/// The proxies that should serve: one per node, the newest where a rollout has two.
fn proxies(pods: &[Arc<Pod>]) -> Vec<Proxy> {
    let mut newest: BTreeMap<String, &Arc<Pod>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else { continue };
        let age = |pod: &Pod| pod.creation_timestamp().map(|time| time.0);
        let known = newest.entry(node).or_insert(pod);
        if age(pod) > age(known) {
            *known = pod;
        }
    }
    let address = |pod: &Pod| pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok();
    newest.into_iter().map(|(node, pod)| Proxy { pod: pod.name_any(), node, address: address(pod) }).collect()
}

/// The finding about a proxy that could not use what it was given.
fn rejected(proxy: &Proxy, answer: &Confirmation) -> Option<Finding> {
    let Confirmation { revision: _, rejected, failed_listeners, tripped: _, carrying: _, denied: _ } = answer;
    let what = match (rejected, failed_listeners.first()) {
        (Some(rejection), _) => format!("refused its newest configuration: {}", rejection.reason),
        (None, Some(first)) => format!(
            "could not open {} of its ports, the first is {}: {}",
            failed_listeners.len(),
            first.port,
            first.reason
        ),
        (None, None) => return None,
    };
    Some(Finding {
        // Events about a Node carry its name as uid, as the kubelet's do.
        about: About {
            kind: Kind::Node,
            namespace: String::new(),
            name: proxy.node.clone(),
            uid: proxy.node.clone(),
        },
        reason: Reason::ProxyRejected,
        detail: String::new(),
        note: format!(
            "The proxy {} {what}. It serves on with the last good configuration. Check that the operator and the proxies \
             have the same version.",
            proxy.pod
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_asked_more_often_while_what_they_count_matters() {
        let after =
            |rounds: usize, counting| (0..rounds).fold(FIRST, |pause, _| next(pause, false, counting));
        assert_eq!((after(10, false), after(10, true)), (STEADY, COUNTING));
        assert_eq!(next(STEADY, false, true), COUNTING, "also from a long pause");
        assert_eq!(next(STEADY, true, false), FIRST);
    }
}
