//! What a rate limit lets through, in explicit time.

use super::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn limit(average: u32, burst: u32, key: RateLimitKey) -> RateLimit {
    RateLimit { average, burst, key, scope: RateLimitScope::Node, proxies: 7 }
}

fn address(last: u8) -> RateKey<'static> {
    RateKey::Address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)))
}

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn a_burst_passes_at_once_and_then_the_average() {
    let limiter = RateLimiter::new(&limit(10, 3, RateLimitKey::SourceAddress), None);
    let now = Instant::now();
    for _ in 0..3 {
        assert_eq!(limiter.check(address(1), now), Ok(()));
    }
    assert_eq!(limiter.check(address(1), now), Err(milliseconds(100)));
    assert_eq!(limiter.check(address(1), now + milliseconds(60)), Err(milliseconds(40)));
    assert_eq!(limiter.check(address(1), now + milliseconds(100)), Ok(()));
    assert_eq!(limiter.check(address(1), now + milliseconds(100)), Err(milliseconds(100)));
    // After a long pause it is full, and no fuller.
    let later = now + Duration::from_secs(3600);
    assert_eq!((0..9).filter(|_| limiter.check(address(1), later).is_ok()).count(), 3);
}

#[test]
fn each_key_has_a_bucket_of_its_own() {
    let now = Instant::now();
    let limiter = RateLimiter::new(&limit(1, 1, RateLimitKey::SourceAddress), None);
    let account = |namespace, name| RateKey::Account { namespace, name };
    let keys = [
        address(1),
        address(2),
        RateKey::Value(b""),
        RateKey::Value(b"a"),
        account("a", "bc"),
        account("ab", "c"),
    ];
    assert!(keys.iter().all(|key| limiter.check(*key, now).is_ok()));
    assert!(keys.iter().all(|key| limiter.check(*key, now).is_err()));
}

#[test]
fn a_service_has_one() {
    let now = Instant::now();
    let limiter = RateLimiter::new(&limit(1, 2, RateLimitKey::Service), None);
    assert_eq!(limiter.key(), &RateLimitKey::Service);
    assert_eq!(limiter.check(RateKey::Service, now), Ok(()));
    assert_eq!(limiter.check(address(1), now), Ok(()));
    assert_eq!(limiter.check(RateKey::Service, now), Err(Duration::from_secs(1)));
}

#[test]
fn in_the_scope_of_the_cluster_proxies_have_equal_shares() {
    let passed = |average, burst, proxies, seconds: u64| {
        let limit = RateLimit {
            scope: RateLimitScope::Cluster,
            proxies,
            ..limit(average, burst, RateLimitKey::SourceAddress)
        };
        let limiter = RateLimiter::new(&limit, None);
        let start = Instant::now();
        let times = (0..=seconds * 1000).map(|offset| start + milliseconds(offset));
        times.filter(|now| limiter.check(address(1), *now).is_ok()).count()
    };
    assert_eq!(passed(100, 40, 4, 10), 10 + 250);
    assert_eq!(passed(100, 40, 0, 1), 40 + 100, "no proxy is one");
    // Even the smallest share is one: of a request a second, each of ten proxies lets one through in ten seconds.
    assert_eq!(passed(1, 1, 10, 100), 1 + 10);
    assert_eq!(passed(3, 1, 7, 71), 1 + 30);
}

#[test]
fn state_stays_while_the_key_is_the_same() {
    let now = Instant::now();
    let before = RateLimiter::new(&limit(1, 1000, RateLimitKey::SourceAddress), None);
    while before.check(address(1), now).is_ok() {}
    let same = RateLimiter::new(&limit(1, 1000, RateLimitKey::SourceAddress), Some(&before));
    assert_eq!(same.check(address(1), now), Err(Duration::from_secs(1)));
    let faster = RateLimiter::new(&limit(100, 100, RateLimitKey::SourceAddress), Some(&before));
    assert_eq!(faster.check(address(1), now), Err(milliseconds(10)), "not the thousand seconds of before");
    let other = RateLimiter::new(&limit(1, 1000, RateLimitKey::ServiceAccount), Some(&before));
    assert_eq!(other.check(address(1), now), Ok(()));
}

#[test]
fn threads_at_once_get_no_more_than_the_burst() {
    let now = Instant::now();
    for key in [RateLimitKey::Service, RateLimitKey::SourceAddress] {
        let limiter = RateLimiter::new(&limit(1, 1000, key), None);
        let passed = std::thread::scope(|scope| {
            let count = || (0..1000).filter(|_| limiter.check(address(1), now).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(passed, 1000);
    }
}

proptest! {
    #[test]
    fn in_any_time_at_most_a_burst_and_the_average_pass(
        average in 1_u32..=u32::MAX, burst in 1_u32..50, proxies in 1_u32..200, steps in prop::collection::vec(0_u64..2_000, 1..100),
    ) {
        let rate = Rate::new(average, burst, proxies);
        prop_assert!(rate.token > 0 && rate.bucket >= rate.token);
        // Steps in tokens' thousandths, so that every rate is exercised.
        let (mut now, mut full_at, mut passed) = (1_u128, 0, 0_u128);
        let start = now;
        for step in steps {
            now += u128::from(rate.token) * u128::from(step) / 1000;
            let Ok(at) = u64::try_from(now) else { break };
            match rate.take(full_at, at) {
                Ok(after) => (full_at, passed) = (after, passed + 1),
                Err(wait) => {
                    prop_assert!(wait <= rate.token);
                    let come_again = at.saturating_add(wait);
                    prop_assert!(rate.take(full_at, come_again).is_ok(), "Retry-After is kept");
                }
            }
        }
        let time = now - start + u128::from(rate.bucket);
        prop_assert!(passed * u128::from(rate.token) <= time);
    }
}
