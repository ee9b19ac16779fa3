//! Decides which Event is told when.
//!
//! In: what stations say, and the time. Out: the findings to publish now. New ones at once, changed ones soon, lasting
//! ones again before Kubernetes forgets them, and never more than the API server likes.

use super::{Message, Source};
use crate::finding::{About, Finding, Reason};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use tokio::time::Instant;

/// Kubernetes forgets Events after an hour by default.
pub const REPEAT: Duration = Duration::from_secs(30 * 60);
/// A finding whose note changes is told at most this often.
pub const CHANGE: Duration = Duration::from_secs(10);
/// How long something that happened once shows in the gauges.
pub const ONCE: Duration = Duration::from_secs(10 * 60);

/// What makes two findings the same.
type Identity = (About, Reason, String);

/// Keeps what has been told.
#[derive(Default)]
pub struct Teller {
    current: BTreeMap<Source, Vec<Finding>>,
    once: Vec<(Instant, Finding)>,
    told: HashMap<Identity, (Instant, String)>,
}

fn identity(finding: &Finding) -> Identity {
    (finding.about.clone(), finding.reason, finding.detail.clone())
}

impl Teller {
    /// Takes in what a station says. Something that happened once is due at once.
    pub fn hear(&mut self, now: Instant, message: Message) -> Option<Finding> {
        match message {
            Message::State(source, findings) => {
                self.current.insert(source, findings);
                let holding: std::collections::HashSet<_> =
                    self.current.values().flatten().map(identity).collect();
                self.told.retain(|identity, _| holding.contains(identity));
                None
            }
            Message::Once(finding) => {
                self.once.push((now, finding.clone()));
                Some(finding)
            }
        }
    }

    /// Up to `most` findings that are due; they count as told.
    pub fn due(&mut self, now: Instant, most: usize) -> Vec<Finding> {
        let mut due = Vec::new();
        for finding in self.current.values().flatten() {
            if due.len() == most {
                break;
            }
            let is_due = match self.told.get(&identity(finding)) {
                None => true,
                Some((at, note)) if *note != finding.note => now.duration_since(*at) >= CHANGE,
                Some((at, _)) => now.duration_since(*at) >= REPEAT,
            };
            if is_due {
                self.told.insert(identity(finding), (now, finding.note.clone()));
                due.push(finding.clone());
            }
        }
        due
    }

    /// How many findings of each reason hold.
    pub fn count(&mut self, now: Instant) -> BTreeMap<Reason, i64> {
        self.once.retain(|(at, _)| now.duration_since(*at) < ONCE);
        let mut counts: BTreeMap<Reason, i64> = Reason::ALL.into_iter().map(|reason| (reason, 0)).collect();
        let once = self.once.iter().map(|(_, finding)| finding);
        for finding in self.current.values().flatten().chain(once) {
            *counts.entry(finding.reason).or_default() += 1;
        }
        counts
    }

    /// All that holds.
    pub fn holding(&self) -> impl Iterator<Item = &Finding> {
        self.current.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Kind;
    use tokio::time::advance;

    fn finding(name: &str, note: &str) -> Finding {
        let about =
            About { kind: Kind::Service, namespace: "shop".into(), name: name.into(), uid: name.into() };
        Finding { about, reason: Reason::AnnotationInvalid, detail: String::new(), note: note.into() }
    }

    fn due(teller: &mut Teller) -> Vec<String> {
        teller.due(Instant::now(), 100).into_iter().map(|finding| finding.note).collect()
    }

    fn say(teller: &mut Teller, findings: &[Finding]) {
        teller.hear(Instant::now(), Message::State(Source::Mesh, findings.to_vec()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_finding_is_told_once_and_again_while_it_lasts() {
        let mut teller = Teller::default();
        say(&mut teller, &[finding("web", "a")]);
        assert_eq!(due(&mut teller), ["a"]);
        say(&mut teller, &[finding("web", "a")]);
        assert!(due(&mut teller).is_empty());
        advance(REPEAT).await;
        assert_eq!(due(&mut teller), ["a"]);
        say(&mut teller, &[]);
        say(&mut teller, &[finding("web", "a")]);
        assert_eq!(due(&mut teller), ["a"], "it was over and came back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_note_that_keeps_changing_does_not_flood() {
        let mut teller = Teller::default();
        let mut told = 0;
        for second in 0..60 {
            say(&mut teller, &[finding("web", &second.to_string())]);
            told += due(&mut teller).len();
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(told, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fit_now_is_told_next_time() {
        let mut teller = Teller::default();
        say(&mut teller, &[finding("a", "a"), finding("b", "b"), finding("c", "c")]);
        assert_eq!(teller.due(Instant::now(), 2).len(), 2);
        assert_eq!(due(&mut teller), ["c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn gauges_count_what_holds_and_what_happened_lately() {
        let mut teller = Teller::default();
        say(&mut teller, &[finding("a", "a"), finding("b", "b")]);
        let once = Finding { reason: Reason::DnsReverted, ..finding("coredns", "reverted") };
        assert!(teller.hear(Instant::now(), Message::Once(once)).is_some());
        let counts = teller.count(Instant::now());
        assert_eq!((counts[&Reason::AnnotationInvalid], counts[&Reason::DnsReverted]), (2, 1));
        assert_eq!(counts.len(), Reason::ALL.len());
        advance(ONCE).await;
        assert_eq!(teller.count(Instant::now())[&Reason::DnsReverted], 0);
    }
}
