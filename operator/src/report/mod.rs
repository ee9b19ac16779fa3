//! Tells people: Events on their own objects, each with a twin gauge.
//!
//! In: the findings of each station, through a [`Reporter`]. Out: Events of events.k8s.io/v1 and gauges.

use crate::finding::Finding;
use tokio::sync::mpsc;

/// The stations that report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Topology and publishing.
    Mesh,
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
