//! Tells which circuit breakers are open.
//!
//! In: what each node's proxy says of its own. Out: one finding for each port with an open one.

use crate::finding::{About, Finding, Reason};
use std::collections::BTreeMap;
use weft_contract::{ServiceKey, Trip};

/// How many nodes a note names; it has room for 1 KiB.
const NAMED: usize = 5;

/// The findings about open circuit breakers; `answers` are the trips by node.
pub(super) fn open<'a>(
    about: &BTreeMap<ServiceKey, About>,
    answers: impl Iterator<Item = (&'a str, &'a [Trip])>,
) -> Vec<Finding> {
    let mut open: BTreeMap<(&ServiceKey, u16), BTreeMap<&str, u64>> = BTreeMap::new();
    for (node, trips) in answers {
        for Trip { service, port, times, open: _ } in trips.iter().filter(|trip| trip.open) {
            open.entry((service, *port)).or_default().insert(node, *times);
        }
    }
    let finding = |((service, port), nodes): ((&ServiceKey, u16), BTreeMap<&str, u64>)| {
        let about = about.get(service)?.clone(); // a Service that is gone has no object to tell it on
        Some(Finding {
            about,
            reason: Reason::CircuitBreakerOpen,
            detail: port.to_string(),
            note: note(port, &nodes),
        })
    };
    open.into_iter().filter_map(finding).collect()
}

fn note(port: u16, nodes: &BTreeMap<&str, u64>) -> String {
    let count = |times: u64| if times == 1 { "once".to_owned() } else { format!("{times} times") };
    let mut named: Vec<_> =
        nodes.iter().take(NAMED).map(|(node, times)| format!("{node} ({})", count(*times))).collect();
    if nodes.len() > NAMED {
        named.push(format!("{} more", nodes.len() - NAMED));
    }
    format!(
        "The circuit breaker of port {port} is open in the proxies of {}; in brackets how often since the proxy started. \
         They answer 503 for ten seconds, then let a growing share through, and close when the expression no longer \
         holds. Look after the Service's endpoints.",
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Kind;

    fn trip(name: &str, times: u64, open: bool) -> Trip {
        Trip { service: ServiceKey::new("shop", name), port: 80, times, open }
    }

    fn about() -> BTreeMap<ServiceKey, About> {
        let about =
            About { kind: Kind::Service, namespace: "shop".into(), name: "web".into(), uid: "1".into() };
        [(ServiceKey::new("shop", "web"), about)].into()
    }

    #[test]
    fn it_is_told_while_it_is_open_with_every_node() {
        let (one, two) = ([trip("web", 1, true), trip("gone", 1, true)], [trip("web", 3, true)]);
        let closed = [trip("web", 7, false)];
        let answers = [("node-1", &one[..]), ("node-2", &two[..]), ("node-3", &closed[..])];
        let findings = open(&about(), answers.into_iter());
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!((findings[0].reason, findings[0].detail.as_str()), (Reason::CircuitBreakerOpen, "80"));
        assert!(findings[0].note.contains("node-1 (once), node-2 (3 times);"), "{}", findings[0].note);
        assert!(open(&about(), [("node-3", &closed[..])].into_iter()).is_empty());
    }

    #[test]
    fn many_nodes_fit_into_a_note() {
        let nodes: Vec<_> = (0..500).map(|number| format!("node-{number}-{}", "x".repeat(60))).collect();
        let trips = [trip("web", u64::MAX, true)];
        let findings = open(&about(), nodes.iter().map(|node| (node.as_str(), &trips[..])));
        assert!(findings[0].note.contains("495 more") && findings[0].note.len() < 1024);
    }
}
