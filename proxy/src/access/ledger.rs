//! What would have been refused, where access is only audited.
//!
//! In: each such case. Out: how often it was who at what, for the operator, which tells it in Events.

use super::Denied;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use weft_contract::{Caller, Denial, MOST_DENIALS, ServiceKey, Transport};

/// How long a case is told after it last happened.
const RECENT: Duration = Duration::from_secs(600);
/// So many cases are known at once; of more than these only the metrics know.
const MOST: usize = 4 * MOST_DENIALS;

/// What would have been refused. It lives on from plan to plan.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<HashMap<Case, Seen>>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Case {
    service: ServiceKey,
    port: u16,
    transport: Transport,
    source: Option<Caller>,
}

#[derive(Debug)]
struct Seen {
    times: u64,
    last: Instant,
}

// === impl Ledger ===

impl Ledger {
    /// Enters a case.
    pub fn enter(&self, denied: &Denied, now: Instant) {
        let Denied { address: _, caller, target } = denied;
        let case = Case {
            service: target.service.clone(),
            port: target.port,
            transport: target.transport,
            source: caller.clone(),
        };
        let mut cases = self.lock();
        if cases.len() >= MOST && !cases.contains_key(&case) {
            cases.retain(|_, seen| seen.is_recent(now));
            if cases.len() >= MOST {
                return;
            }
        }
        let seen = cases.entry(case).or_insert(Seen { times: 0, last: now });
        seen.times += 1;
        seen.last = now;
    }

    /// What happened lately, sorted.
    #[must_use]
    pub fn denials(&self, now: Instant) -> Vec<Denial> {
        let cases = self.lock();
        let recent = cases.iter().filter(|(_, seen)| seen.is_recent(now));
        let mut denials: Vec<Denial> = recent
            .map(|(case, seen)| Denial {
                service: case.service.clone(),
                port: case.port,
                transport: case.transport,
                source: case.source.clone(),
                times: seen.times,
            })
            .collect();
        drop(cases);
        if denials.len() > MOST_DENIALS {
            denials.sort_by_key(|denial| std::cmp::Reverse(denial.times));
            denials.truncate(MOST_DENIALS);
        }
        denials.sort();
        denials
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Case, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Seen ===

impl Seen {
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < RECENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Target;
    use std::{net::Ipv4Addr, sync::Arc};

    fn denied(account: Option<u32>) -> Denied {
        let target = Target {
            service: ServiceKey::new("shop", "web"),
            port: 80,
            transport: Transport::Tcp,
            listener: Some(10_000),
        };
        let caller = account
            .map(|account| Caller { namespace: "shop".into(), service_account: format!("{account:04}") });
        Denied { address: Ipv4Addr::LOCALHOST.into(), caller, target: Arc::new(target) }
    }

    #[test]
    fn what_happened_is_told_for_ten_minutes() {
        let (ledger, start) = (Ledger::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        ledger.enter(&denied(None), at(0));
        ledger.enter(&denied(Some(1)), at(1));
        ledger.enter(&denied(Some(1)), at(2));
        let times = |now| ledger.denials(now).iter().map(|denial| denial.times).collect::<Vec<_>>();
        assert_eq!(times(at(3)), [1, 2]);
        assert_eq!(times(at(600)), [2]);
        assert_eq!(times(at(602)), [0_u64; 0]);
    }

    #[test]
    fn it_grows_no_larger_than_it_may() {
        let (ledger, start) = (Ledger::default(), Instant::now());
        for account in 0..2 * u32::try_from(MOST).unwrap() {
            ledger.enter(&denied(Some(account)), start);
        }
        ledger.enter(&denied(Some(7)), start);
        assert_eq!(ledger.lock().len(), MOST);
        let told = ledger.denials(start);
        assert_eq!(told.len(), MOST_DENIALS);
        assert!(told.is_sorted());
        assert!(told.iter().any(|denial| denial.times == 2), "those that happened most often are told");
        // What is old makes room.
        ledger.enter(&denied(None), start + RECENT);
        assert_eq!(ledger.lock().len(), 1);
    }
}
