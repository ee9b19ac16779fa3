//! Tells what would be denied where access is audited.
//!
//! In: what each proxy says of its own. Out: one finding for each Service that somebody calls whom nothing admits.

use crate::finding::{About, Finding, Reason};
use std::collections::{BTreeMap, BTreeSet};
use weft_contract::{Caller, Denial, ServiceKey};

/// How many callers a note names; it has room for 1 KiB.
const NAMED: usize = 5;

/// What is known of one caller at one Service.
#[derive(Default)]
struct Calls {
    ports: BTreeSet<String>,
    times: u64,
}

/// The findings about what would be denied; `answers` are the proxies' own.
pub(super) fn denied<'a>(
    about: &BTreeMap<ServiceKey, About>,
    answers: impl Iterator<Item = &'a [Denial]>,
) -> Vec<Finding> {
    let mut services: BTreeMap<&ServiceKey, BTreeMap<Option<&Caller>, Calls>> = BTreeMap::new();
    for Denial { service, port, transport, source, times } in answers.flatten() {
        let calls = services.entry(service).or_default().entry(source.as_ref()).or_default();
        calls.ports.insert(format!("{port}/{}", transport.kubernetes()));
        calls.times = calls.times.saturating_add(*times);
    }
    let finding = |(service, callers): (&ServiceKey, BTreeMap<Option<&Caller>, Calls>)| {
        let about = about.get(service)?.clone(); // a Service that is gone has no object to tell it on
        Some(Finding {
            about,
            reason: Reason::AccessWouldBeDenied,
            detail: String::new(),
            note: note(&callers),
        })
    };
    services.into_iter().filter_map(finding).collect()
}

fn note(callers: &BTreeMap<Option<&Caller>, Calls>) -> String {
    let mut named: Vec<_> = callers.iter().take(NAMED).map(|(caller, calls)| shown(*caller, calls)).collect();
    if callers.len() > NAMED {
        named.push(format!("{} more", callers.len() - NAMED));
    }
    format!(
        "No TrafficTarget admits what these callers asked for in the last ten minutes; it passed, for acl.mode is audit: {}. \
         Write a TrafficTarget for those that should pass.",
        named.join("; ")
    )
}

fn shown(caller: Option<&Caller>, calls: &Calls) -> String {
    let Calls { ports, times } = calls;
    let who = match caller {
        Some(Caller { namespace, service_account }) => {
            format!("ServiceAccount {namespace}/{service_account}")
        }
        None => "addresses of no pod".to_owned(),
    };
    // In powers of ten, so that each call is not worth an Event.
    let times = times.checked_ilog10().map_or(1, |power| 10_u64.saturating_pow(power));
    let ports: Vec<_> = ports.iter().take(NAMED).map(String::as_str).collect();
    format!("{who} at {} ({times} times or more)", ports.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Kind;
    use weft_contract::Transport;

    fn about() -> BTreeMap<ServiceKey, About> {
        let about =
            About { kind: Kind::Service, namespace: "shop".into(), name: "web".into(), uid: "1".into() };
        [(ServiceKey::new("shop", "web"), about)].into()
    }

    fn denial(service: &str, source: Option<&str>, port: u16, times: u64) -> Denial {
        let caller = |account: &str| Caller { namespace: "shop".into(), service_account: account.into() };
        Denial {
            service: ServiceKey::new("shop", service),
            port,
            transport: Transport::Tcp,
            source: source.map(caller),
            times,
        }
    }

    #[test]
    fn callers_are_told_once_for_each_service_with_their_ports() {
        let one =
            [denial("web", Some("front"), 80, 60), denial("web", None, 80, 1), denial("gone", None, 80, 1)];
        let two = [denial("web", Some("front"), 81, 60)];
        let findings = denied(&about(), [&one[..], &two[..]].into_iter());
        assert_eq!(findings.len(), 1, "{findings:?}");
        let note = &findings[0].note;
        assert!(note.contains("addresses of no pod at 80/TCP (1 times or more)"), "{note}");
        assert!(note.contains("ServiceAccount shop/front at 80/TCP, 81/TCP (100 times or more)"), "{note}");
        assert_eq!(denied(&about(), [&one[..], &two[..]].into_iter()), findings);
        let more = [denial("web", Some("front"), 81, 70)];
        assert_eq!(denied(&about(), [&one[..], &more[..]].into_iter()), findings, "a few more are no news");
    }

    #[test]
    fn many_callers_fit_into_a_note() {
        let names: Vec<_> = (0..500).map(|number| format!("{}-{number}", "x".repeat(60))).collect();
        let many: Vec<_> = names.iter().map(|name| denial("web", Some(name), 65_535, u64::MAX)).collect();
        let findings = denied(&about(), [&many[..]].into_iter());
        assert!(
            findings[0].note.contains("495 more") && findings[0].note.len() < 1024,
            "{}",
            findings[0].note.len()
        );
    }
}
