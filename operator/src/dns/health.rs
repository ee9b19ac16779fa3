//! Decides whether the cluster's DNS took a change well.
//!
//! In: what the pods of the DNS server look like, and the time. Out: a verdict. The time is given, so that tests run
//! in virtual time; times of the cluster are only ever compared with one another.

use k8s_openapi::{
    api::core::v1::{ContainerState, ContainerStateTerminated, Pod},
    jiff::Timestamp,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// How long a change is watched: the kubelet brings it to the pod within 90 s, `reload` reads it within 45 s.
pub const WINDOW: Duration = Duration::from_secs(180);
/// How long a pod that was ready may be unready; a probe or two may fail at any time.
pub const UNREADY: Duration = Duration::from_secs(10);
/// How long a new pod may take until it is ready.
pub const STARTING: Duration = Duration::from_secs(60);
/// What ends sooner than this after its start did not like its Corefile; what ends later has other troubles.
const SHORT_LIFE: Duration = Duration::from_secs(30);

/// What one pod of the DNS server looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The pod's uid.
    pub uid: String,
    /// The pod's name.
    pub name: String,
    /// Whether the container runs.
    pub running: bool,
    /// Whether the container is ready.
    pub ready: bool,
    /// How often it was restarted.
    pub restarts: i32,
    /// Whether the kubelet waits with the next restart.
    pub crash_loop: bool,
    /// How it ended last.
    pub ended: Option<Ended>,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When it had started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Whether it failed.
    pub failed: bool,
    /// What the kubelet says of it.
    pub says: String,
}

/// Watches the pods after a change.
#[derive(Clone, Debug)]
pub struct Watch {
    since: Instant,
    before: BTreeMap<String, Before>,
    unready_since: BTreeMap<String, Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Before {
    ready: bool,
    restarts: i32,
}

/// What a watch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well; nothing more needs to be watched closely.
    Well,
    /// Not known yet.
    Watching,
    /// The change did harm; the text says how that shows.
    Failed(String),
}

/// What the pods look like, without those that are on their way out.
#[must_use]
pub fn see(pods: &[Pod], container: &str) -> Vec<Seen> {
    pods.iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .map(|pod| one(pod, container))
        .collect()
}

fn one(pod: &Pod, container: &str) -> Seen {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let status = statuses.into_iter().find(|status| status.name == container);
    let state = status.and_then(|status| status.state.as_ref());
    let waits = |state: &ContainerState| state.waiting.as_ref().and_then(|waiting| waiting.reason.clone());
    let last = status.and_then(|status| status.last_state.as_ref());
    let ended = [state, last].into_iter().flatten().find_map(|state| state.terminated.as_ref());
    Seen {
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        running: state.is_some_and(|state| state.running.is_some()),
        // The container's own word: the pod's condition also turns when its node is lost.
        ready: status.is_some_and(|status| status.ready),
        restarts: status.map_or(0, |status| status.restart_count),
        crash_loop: state.and_then(waits).as_deref() == Some("CrashLoopBackOff"),
        ended: ended.map(Ended::read),
    }
}

impl Ended {
    fn read(state: &ContainerStateTerminated) -> Self {
        let reason = state.reason.as_deref().unwrap_or("ended");
        let message = state.message.as_deref().map(str::trim).filter(|message| !message.is_empty());
        let message = message.map(|message| format!(": {message}")).unwrap_or_default();
        Self {
            started: state.started_at.as_ref().map(|time| time.0),
            finished: state.finished_at.as_ref().map(|time| time.0),
            failed: state.exit_code != 0,
            says: format!("{reason}, exit code {}{message}", state.exit_code),
        }
    }
}

/// Whether the DNS server is well enough to be changed; else what it lacks.
///
/// # Errors
/// Says what is not ready.
pub fn fit_for_change(pods: &[Seen]) -> Result<(), String> {
    let ill = pods.iter().find(|pod| pod.crash_loop || (pod.running && !pod.ready));
    match ill {
        Some(pod) => Err(format!("pod {} is not ready", pod.name)),
        // A pod that does not run yet, for want of a node, does not count while another one answers.
        None if pods.iter().any(|pod| pod.ready) => Ok(()),
        None => Err("no pod is ready".to_owned()),
    }
}

/// Whether some pod fails that began with a Corefile of after `written`, which no [`Watch`] has seen written.
#[must_use]
pub fn failing_since(pods: &[Seen], written: Timestamp) -> Option<String> {
    pods.iter().filter(|pod| pod.crash_loop).find_map(|pod| {
        let ended = pod.ended.as_ref().filter(|ended| ended.failed)?;
        let (started, finished) = (ended.started?, ended.finished?);
        let lived = finished.duration_since(started).unsigned_abs();
        let ours = started > written && lived < SHORT_LIFE;
        ours.then(|| format!("pod {} fails again and again ({})", pod.name, ended.says))
    })
}

impl Watch {
    /// Begins to watch at the time of a change.
    #[must_use]
    pub fn begin(pods: &[Seen], now: Instant) -> Self {
        let before = pods
            .iter()
            .map(|pod| (pod.uid.clone(), Before { ready: pod.ready, restarts: pod.restarts }))
            .collect();
        Self { since: now, before, unready_since: BTreeMap::new() }
    }

    /// Judges what the pods look like now.
    pub fn judge(&mut self, pods: &[Seen], now: Instant) -> Verdict {
        self.unready_since.retain(|uid, _| pods.iter().any(|pod| pod.uid == *uid));
        for pod in pods {
            if let Some(reason) = self.harm(pod, now) {
                return Verdict::Failed(reason);
            }
        }
        let over = now.duration_since(self.since) >= WINDOW && self.unready_since.is_empty();
        if over { Verdict::Well } else { Verdict::Watching }
    }

    fn harm(&mut self, pod: &Seen, now: Instant) -> Option<String> {
        let before = self.before.get(&pod.uid).copied().unwrap_or(Before { ready: false, restarts: 0 });
        let failed = pod.ended.as_ref().filter(|ended| ended.failed);
        if (pod.restarts > before.restarts || pod.crash_loop)
            && let Some(ended) = failed
        {
            return Some(format!("pod {} failed ({})", pod.name, ended.says));
        }
        // Before it runs, a pod has troubles of its own: no node, no image.
        if pod.ready || !pod.running {
            self.unready_since.remove(&pod.uid);
            return None;
        }
        let since = *self.unready_since.entry(pod.uid.clone()).or_insert(now);
        let patience = if before.ready { UNREADY } else { STARTING };
        let unready = now.duration_since(since);
        (unready >= patience).then(|| format!("pod {} is not ready since {} s", pod.name, unready.as_secs()))
    }
}

#[cfg(test)]
mod tests;
