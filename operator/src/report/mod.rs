//! Tells people: Events on their own objects, each with a twin gauge.
//!
//! In: the findings of each station, through a [`Reporter`]. Out: Events of events.k8s.io/v1 and gauges.

pub mod docs;
pub mod teller;

use crate::finding::{About, Finding, Kind, Severity};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use teller::Teller;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::{info, warn};
use weft_contract::fingerprint;

/// How often findings that are due are looked for.
const TICK: Duration = Duration::from_millis(500);
/// How many Events are published at each tick, so that a first install of thousands of Services is told within
/// minutes and the API server hardly feels it.
const PER_TICK: usize = 20;
/// What an Event's note may hold, in bytes.
const LONGEST_NOTE: usize = 1024;
/// Who publishes the Events.
const CONTROLLER: &str = "weft.mesh/operator";

/// The stations that report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The topology.
    Mesh,
    /// Publishing of shadow Services.
    Shadows,
    /// Publishing of nodes' configurations.
    Nodes,
    /// Confirmation by the proxies.
    Proxies,
    /// The cluster's DNS.
    Dns,
}

/// What a station says.
#[derive(Debug)]
pub enum Message {
    /// All that holds now, in the eyes of one station; what it said before and does not say now is over.
    State(Source, Vec<Finding>),
    /// Something that happened once.
    Once(Finding),
}

/// A station's way to the reporter. Cheap to clone; never waits.
#[derive(Clone, Debug)]
pub struct Reporter {
    messages: mpsc::UnboundedSender<Message>,
}

impl Reporter {
    /// A reporter, and the end where its messages come out.
    #[must_use]
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Message>) {
        let (messages, receiver) = mpsc::unbounded_channel();
        (Self { messages }, receiver)
    }

    /// Says all that holds now in the eyes of `source`; each finding is told as an Event when it is new, and again
    /// while it lasts.
    pub fn state(&self, source: Source, findings: Vec<Finding>) {
        let _ = self.messages.send(Message::State(source, findings)); // the reporter ends only with the process
    }

    /// Tells something that happened once.
    pub fn once(&self, finding: Finding) {
        let _ = self.messages.send(Message::Once(finding)); // the reporter ends only with the process
    }
}

/// What has been told, shared with the metrics and the debug page.
pub type SharedTeller = Arc<Mutex<Teller>>;

/// Publishes Events for ever.
pub async fn run(
    client: Client,
    pod_name: String,
    mut messages: mpsc::UnboundedReceiver<Message>,
    teller: SharedTeller,
) {
    let reporter =
        kube::runtime::events::Reporter { controller: CONTROLLER.into(), instance: Some(pod_name) };
    let recorder = Recorder::new(client, reporter);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = tokio::select! {
            message = messages.recv() => match message {
                Some(message) => lock(&teller).hear(Instant::now(), message).into_iter().collect(),
                None => return,
            },
            _ = ticks.tick() => lock(&teller).due(Instant::now(), PER_TICK),
        };
        for finding in due {
            publish(&recorder, &finding).await;
        }
    }
}

/// Locks the teller; a panic elsewhere does not make what it knows wrong.
pub fn lock(teller: &SharedTeller) -> std::sync::MutexGuard<'_, Teller> {
    teller.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn publish(recorder: &Recorder, finding: &Finding) {
    let Finding { about, reason, detail: _, note } = finding;
    let row = reason.row();
    let type_ = match row.severity {
        Severity::Normal => EventType::Normal,
        Severity::Warning => EventType::Warning,
    };
    info!(kind = ?about.kind, namespace = about.namespace, name = about.name, %reason, note, "event");
    let note = cut(note);
    let event = Event {
        type_,
        reason: row.name.into(),
        // A note can never be changed, and the recorder takes an Event for one that it knows by all but the note. So
        // every note has an action of its own: what several findings of one reason say, and what changes, is told.
        action: format!("{}/{:.8}", row.name, fingerprint(note.as_bytes())),
        note: Some(note),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, &reference(about)).await {
        warn!(%error, %reason, namespace = about.namespace, name = about.name, "an Event could not be published");
    }
}

fn reference(about: &About) -> ObjectReference {
    let About { kind, namespace, name, uid } = about;
    let (api_version, kind) = match kind {
        Kind::Service => ("v1".to_owned(), "Service"),
        Kind::ConfigMap => ("v1".to_owned(), "ConfigMap"),
        Kind::Node => ("v1".to_owned(), "Node"),
        Kind::Smi(kind, version) => (format!("{}/{}", kind.group(), version.kubernetes()), kind.kubernetes()),
    };
    ObjectReference {
        api_version: Some(api_version),
        kind: Some(kind.into()),
        namespace: Some(namespace.clone()).filter(|namespace| !namespace.is_empty()),
        name: Some(name.clone()),
        uid: Some(uid.clone()).filter(|uid| !uid.is_empty()),
        ..ObjectReference::default()
    }
}

/// A note no longer than Kubernetes takes, cut between characters.
fn cut(note: &str) -> String {
    if note.len() <= LONGEST_NOTE {
        return note.to_owned();
    }
    let mut end = LONGEST_NOTE - "...".len();
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &note[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        finding::Reason,
        smi::{SmiKind, SmiVersion},
        testing::FakeApi,
    };

    #[tokio::test]
    async fn what_is_new_is_an_event_and_what_lasts_is_counted() {
        let api = FakeApi::default();
        let recorder = Recorder::new(api.client().await, "test".into());
        let finding = |detail: &str, note: &str| Finding {
            about: About {
                kind: Kind::Smi(SmiKind::TrafficSplit, SmiVersion::V1alpha2),
                namespace: "shop".into(),
                name: "web".into(),
                uid: "u".into(),
            },
            reason: Reason::SplitBackendNotUsed,
            detail: detail.into(),
            note: note.into(),
        };
        for finding in
            [finding("a", "one"), finding("b", "another"), finding("a", "one"), finding("a", "changed")]
        {
            publish(&recorder, &finding).await;
        }
        let writes: Vec<_> = api.writes();
        let verbs: Vec<_> = writes.iter().filter_map(|write| write.split(' ').next()).collect();
        assert_eq!(verbs, ["POST", "POST", "PATCH", "POST"], "{writes:?}");
        let path = writes[0].trim_start_matches("POST ");
        let told = api.get(path).unwrap();
        assert_eq!((told["note"].as_str(), told["series"]["count"].as_i64()), (Some("one"), Some(2)));
        assert_eq!(told["regarding"]["apiVersion"], "split.smi-spec.io/v1alpha2");
        assert_eq!(told["regarding"]["kind"], "TrafficSplit");
    }
}
