//! Precedence of prefixes, last good values, values that need each other, and mistakes that take nothing down.

use super::*;
use proptest::prelude::*;
use std::time::Duration;
use weft_contract::{
    Protocol,
    policy::{Algorithm, Fault, HashKey, RateLimit, RateLimitKey, RateLimitScope},
};

fn defaults() -> ServiceSettings {
    ServiceSettings::new(TrafficType::Http)
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// What came of these keys, spelled with our own prefix.
fn parsed(pairs: &[(&str, &str)]) -> Parsed {
    let pairs = pairs.iter().map(|(key, value)| (format!("weft.mesh/{key}"), (*value).to_owned()));
    parse(&pairs.collect(), &Values::new(), &defaults())
}

/// The policy of these keys, none of which is a mistake.
fn policy(pairs: &[(&str, &str)]) -> Policy {
    let parsed = parsed(pairs);
    assert_eq!(parsed.mistakes, [], "{pairs:?}");
    parsed.settings.policy
}

/// The keys that are told to have no effect.
fn unused(pairs: &[(&str, &str)]) -> Vec<String> {
    let key = |mistake: &Mistake| match mistake {
        Mistake::Unused { annotation, why: _ } => annotation.trim_start_matches("weft.mesh/").to_owned(),
        Mistake::Invalid { .. } | Mistake::Unknown { .. } => panic!("{}", mistake.note()),
    };
    parsed(pairs).mistakes.iter().map(key).collect()
}

fn traffic_type(pairs: &[(&str, &str)]) -> Option<TrafficType> {
    parse(&values(pairs), &Values::new(), &defaults()).settings.traffic.all
}

#[test]
fn each_spelling_is_read_and_the_first_wins() {
    assert_eq!(traffic_type(&[]), None);
    assert_eq!(traffic_type(&[("maesh.containo.us/traffic-type", "tcp")]), Some(TrafficType::Tcp));
    assert_eq!(
        traffic_type(&[("maesh.containo.us/traffic-type", "tcp"), ("mesh.traefik.io/traffic-type", "udp")]),
        Some(TrafficType::Udp)
    );
    assert_eq!(
        traffic_type(&[("mesh.traefik.io/traffic-type", "udp"), ("weft.mesh/traffic-type", "http")]),
        Some(TrafficType::Http)
    );
}

#[test]
fn a_bad_value_leaves_the_last_good_one_in_force() {
    let good = parse(&values(&[("weft.mesh/traffic-type", "tcp")]), &Values::new(), &defaults()).good;
    assert_eq!(good, values(&[("traffic-type", "tcp")]));
    let parsed = parse(&values(&[("weft.mesh/traffic-type", "tpc")]), &good, &defaults());
    assert_eq!(parsed.settings.traffic.all, Some(TrafficType::Tcp));
    assert_eq!(parsed.good, good, "it stays the last good one however long the bad one stays");
    let note = parsed.mistakes[0].note();
    assert!(
        note.contains("weft.mesh/traffic-type: \"tpc\" cannot be read: \"tpc\" is not a traffic type")
            && note.contains("\"tcp\" is in force"),
        "{note}"
    );
}

#[test]
fn each_key_has_a_last_good_value_of_its_own() {
    let last = values(&[("retry-attempts", "5"), ("timeout-request", "3s")]);
    let now = values(&[("weft.mesh/retry-attempts", "many"), ("weft.mesh/timeout-request", "4s")]);
    let parsed = parse(&now, &last, &defaults());
    assert_eq!(parsed.settings.policy.retry.attempts, 5);
    assert_eq!(parsed.settings.policy.timeouts.request, Some(Duration::from_secs(4)));
    assert_eq!(parsed.good, values(&[("retry-attempts", "5"), ("timeout-request", "4s")]));
    assert_eq!(parsed.mistakes.len(), 1);
}

#[test]
fn a_bad_value_without_a_last_good_one_leaves_the_default_in_force() {
    let parsed = parse(&values(&[("weft.mesh/traffic-type", "HTTP")]), &Values::new(), &defaults());
    assert_eq!(parsed.settings, defaults());
    assert!(parsed.good.is_empty());
    assert_eq!(parsed.mistakes.len(), 1);
    // A last value that cannot be read either, as after a downgrade, is none.
    let neither = values(&[("traffic-type", "quic")]);
    assert_eq!(parse(&values(&[("weft.mesh/traffic-type", "HTTP")]), &neither, &defaults()), parsed);
}

#[test]
fn an_annotation_taken_away_brings_the_default_back() {
    let parsed = parse(&Values::new(), &values(&[("traffic-type", "tcp")]), &defaults());
    assert_eq!(parsed.settings, defaults());
    assert!(parsed.good.is_empty() && parsed.mistakes.is_empty());
}

#[test]
fn an_unknown_key_is_told_and_ignored_and_others_annotations_are_left_alone() {
    let parsed = parse(
        &values(&[
            ("weft.mesh/trafic-type", "tcp"),
            ("example.com/traffic-type", "x"),
            ("weft.meshes/a", "b"),
        ]),
        &Values::new(),
        &defaults(),
    );
    assert_eq!(parsed.settings, defaults());
    assert_eq!(parsed.mistakes, [Mistake::Unknown { annotation: "weft.mesh/trafic-type".into() }]);
    assert!(parsed.mistakes[0].note().contains("Did you mean traffic-type?"));
}

#[test]
fn only_known_annotations_select_a_service() {
    assert!(is_annotated(&values(&[("maesh.containo.us/traffic-type", "nonsense")])));
    assert!(!is_annotated(&values(&[("weft.mesh/trafic-type", "tcp")])));
}

#[test]
fn every_key_is_told_apart_and_its_example_is_another_than_the_default() {
    let mut names: Vec<_> = table::rows().map(|row| row.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    for row in table::rows() {
        let mut draft = Draft::new(&defaults());
        assert_eq!(read(&mut draft, row, row.example), Ok(()), "{}", row.name);
        // `outlier` and its like must also come out of the whole, with what they need.
        let needs: &[(&str, &str)] = match row.name {
            "hash-key" => &[("load-balancer", "hash")],
            "ratelimit-burst" | "ratelimit-by" | "ratelimit-scope" => &[("ratelimit-average", "7")],
            "fault-only" => &[("fault-abort", "503")],
            name if name.starts_with("cors-") && name != "cors-origins" => &[("cors-origins", "https://a.b")],
            _ => &[],
        };
        let both: Vec<_> = needs.iter().copied().chain([(row.name, row.example)]).collect();
        let (with, without) = (parsed(&both), parsed(needs));
        assert_eq!(with.mistakes, [], "{}", row.name);
        assert_ne!(with.settings, without.settings, "{} changes nothing", row.name);
    }
}

#[test]
fn maeshs_annotations_mean_what_they_meant() {
    let annotations = values(&[
        ("maesh.containo.us/scheme", "h2c"),
        ("maesh.containo.us/retry-attempts", "2"),
        ("maesh.containo.us/circuit-breaker-expression", "NetworkErrorRatio() > 0.5"),
        ("mesh.traefik.io/ratelimit-average", "100"),
        ("mesh.traefik.io/ratelimit-burst", "200"),
    ]);
    let Parsed { settings, good, spelled: _, mistakes } = parse(&annotations, &Values::new(), &defaults());
    assert_eq!((mistakes, good.len()), (vec![], 5));
    assert_eq!(settings.scheme, Some(Scheme::H2c));
    assert_eq!(settings.policy.retry.attempts, 2);
    assert_eq!(settings.policy.circuit_breaker.as_deref(), Some("NetworkErrorRatio() > 0.5"));
    let limit = RateLimit {
        average: 100,
        burst: 200,
        key: RateLimitKey::SourceAddress,
        scope: RateLimitScope::Node,
        proxies: 1,
    };
    assert_eq!(settings.policy.rate_limit, Some(limit));
}

#[test]
fn values_that_go_together_are_put_together() {
    let hash = policy(&[("load-balancer", "hash"), ("hash-key", "cookie:user")]);
    assert_eq!(hash.balancing.algorithm, Algorithm::Hash(HashKey::Cookie("user".into())));
    let limit = policy(&[("ratelimit-average", "7")]).rate_limit.unwrap();
    assert_eq!((limit.average, limit.burst), (7, 7));
    let retry = policy(&[("retry-backoff", "50ms")]).retry;
    assert_eq!(
        (retry.backoff, retry.longest_backoff),
        (Duration::from_millis(50), Duration::from_millis(500))
    );
    let queue = policy(&[("queue", "5/20ms")]).bulkhead;
    assert_eq!((queue.queue, queue.queue_timeout), (5, Duration::from_millis(20)));
    let off = policy(&[("outlier", "off")]).outlier;
    assert_eq!((off.consecutive, off.success_percent), (0, 0));
    assert_eq!(policy(&[("outlier-pause", "2m")]).outlier.longest_pause, Duration::from_secs(120));
    let fault = policy(&[("fault-abort", "503 10%"), ("fault-only", "header:x-test")]).actions.fault.unwrap();
    assert!(matches!(fault, Fault { only: Some(_), delay: None, abort: Some(_) }));
    let cors =
        policy(&[("cors-origins", "https://a.b"), ("cors-max-age", "10m"), ("cors-credentials", "true")]);
    let cors = cors.actions.cors.unwrap();
    assert_eq!((cors.max_age, cors.credentials), (Some(600), true));
    assert_eq!(policy(&[("timeout-idle", "none")]).timeouts.idle, None);
}

#[test]
fn what_has_no_effect_is_told() {
    for (pairs, told) in [
        (&[("hash-key", "source")][..], &["hash-key"][..]),
        (&[("hash-key", "source"), ("load-balancer", "round-robin")], &["hash-key"]),
        (&[("load-balancer", "hash")], &["load-balancer"]),
        (&[("ratelimit-burst", "5"), ("ratelimit-by", "service")], &["ratelimit-burst", "ratelimit-by"]),
        (&[("ratelimit-scope", "cluster")], &["ratelimit-scope"]),
        (&[("fault-only", "header:a")], &["fault-only"]),
        (&[("cors-methods", "PUT")], &["cors-methods"]),
        (&[("cors-origins", "*"), ("cors-credentials", "true")], &["cors-credentials"]),
        (&[("outlier", "off"), ("outlier-pause", "1s")], &["outlier-pause"]),
        (&[("outlier", "on"), ("outlier-pause", "1s")], &[]),
        (&[("retry-attempts", "1"), ("retry-on", "5xx")], &["retry-on"]),
        (&[("timeout-per-try", "5s"), ("timeout-request", "5s")], &["timeout-per-try"]),
        (&[("timeout-stream", "5s"), ("timeout-request", "10s")], &["timeout-request"]),
        (&[("timeout-per-try", "2s"), ("timeout-request", "5s"), ("timeout-stream", "1m")], &[]),
        (&[("redirect", "301 /a"), ("mirror", "b")], &["mirror"]),
    ] {
        assert_eq!(unused(pairs), told, "{pairs:?}");
    }
    let wild = parsed(&[("cors-origins", "*"), ("cors-credentials", "true")]).settings.policy.actions.cors;
    assert!(!wild.unwrap().credentials);
    let none = parsed(&[("load-balancer", "hash")]).settings.policy.balancing.algorithm;
    assert_eq!(none, Algorithm::P2cEwma);
}

#[test]
fn values_out_of_bounds_say_so_and_change_nothing() {
    for (key, value, says) in [
        ("load-balancer", "random", "not a rule of balancing"),
        ("hash-key", "header:", "not the name of a header"),
        ("sticky-cookie", "a;b", "not the name of a cookie"),
        ("slow-start", "2h", "out of bounds, which are 0s and 1h"),
        ("retry-attempts", "101", "out of bounds, which are 0 and 100"),
        ("retry-buffer", "17Mi", "out of bounds"),
        ("retry-backoff", "1s..10ms", "is longer than"),
        ("timeout-connect", "2m", "out of bounds, which are 1ms and 1m"),
        ("outlier-max-ejected", "51%", "out of bounds, which are 0 and 50"),
        ("outlier", "no", "neither on nor off"),
        ("circuit-breaker-expression", "", "empty"),
        ("ratelimit-average", "0", "out of bounds"),
        ("ratelimit-by", "user", "nothing that can be counted by"),
        ("max-in-flight", "-1", "not a whole number"),
        ("max-in-flight-per-source", "0", "out of bounds, which are 1 and"),
        ("max-body-bytes", "0", "out of bounds"),
        ("queue", "5/2m", "out of bounds"),
        ("max-header-bytes", "512", "out of bounds"),
        ("max-headers", "0", "out of bounds"),
        ("max-body-bytes", "10MB", "not a number of bytes"),
        ("forwarded-headers", "keep", "neither overwrite nor trust"),
        ("tls-ca", "ca.crt", "begins with neither"),
        ("tls-server-name", "a b", "not a name"),
        ("request-headers", "remove upgrade", "belongs to one connection"),
        ("scheme", "H2C", "not a scheme"),
        ("cors-credentials", "yes", "neither true nor false"),
        ("traffic-type", "80=tcp,http", "stands first"),
        ("traffic-type", "80=tcp,80=http", "port 80 stands twice"),
        ("proxy-protocol", "v2", "neither true nor false"),
        ("sni-routes", "a.example=a.bank", "not a name in the Service's own namespace"),
        ("sni-routes", "bücher.example=a", "with xn--"),
        ("sni-routes", "10.0.0.1=a", "an address"),
        ("drain-timeout", "25h", "out of bounds, which are 0s and 24h"),
        ("udp-idle-timeout", "none", "not a time"),
        ("max-connections", "0", "out of bounds, which are 1 and"),
        ("max-sessions", "none", "not a whole number"),
    ] {
        let parsed = parsed(&[(key, value)]);
        assert_eq!(parsed.settings, defaults(), "{key}");
        let note = parsed.mistakes[0].note();
        assert!(note.contains(says), "{note}");
    }
    let endless = parsed(&[("cors-methods", &"x".repeat(4000))]).mistakes[0].note();
    assert!(endless.len() < 1024 && endless.contains("Meanwhile the default"), "{endless}");
    let long = parsed(&[("request-headers", &format!("set a={}", "x".repeat(5000)))]);
    assert!(long.mistakes[0].note().contains("longer than 4096 bytes"));
}

proptest! {
    #[test]
    fn settings_can_always_be_used_and_good_values_parse_to_themselves(
        seeds in prop::collection::vec((any::<prop::sample::Index>(), ".{0,40}", ".{0,10}", 0_u8..4), 0..8),
    ) {
        let rows: Vec<_> = table::rows().collect();
        let (mut annotations, mut last_good) = (Values::new(), Values::new());
        for (index, text, last, kind) in seeds {
            let row = index.get(&rows);
            // Good ones, bad ones, and good ones with something behind them.
            let value = match kind {
                0 => text,
                1 => format!("{}{text}", row.example),
                _ => row.example.to_owned(),
            };
            annotations.insert(format!("weft.mesh/{}", row.name), value);
            last_good.insert(row.name.to_owned(), if kind == 0 { row.example.to_owned() } else { last });
        }
        let parsed = parse(&annotations, &last_good, &defaults());
        prop_assert!(parsed.mistakes.is_sorted_by_key(|mistake| mistake.annotation().to_owned()));
        prop_assert!(parsed.mistakes.iter().all(|mistake| mistake.note().len() < 4096));
        prop_assert_eq!(&parse(&annotations, &parsed.good, &defaults()), &parsed);
        let good = parsed.good.iter().map(|(name, value)| (format!("weft.mesh/{name}"), value.clone())).collect();
        let again = parse(&good, &Values::new(), &defaults());
        prop_assert_eq!(&again.settings, &parsed.settings);
        let is_unused = |mistake: &Mistake| matches!(mistake, Mistake::Unused { .. });
        prop_assert!(again.mistakes.iter().all(is_unused));
        for spoken in [Protocol::Http, Protocol::Tcp, Protocol::Udp].map(|protocol| [protocol].into()) {
            let mut fitted = parsed.clone();
            fit(&mut fitted, &spoken);
            let unused: Vec<_> =
                fitted.mistakes.iter().filter(|mistake| is_unused(mistake)).map(Mistake::annotation).collect();
            prop_assert!(unused.windows(2).all(|pair| pair[0] != pair[1]), "each is told once: {unused:?}");
            let once = fitted.clone();
            fit(&mut fitted, &spoken);
            prop_assert_eq!(fitted, once);
        }
    }

    #[test]
    fn no_text_makes_a_row_panic(text in ".{0,60}", punctuation in "[-a-z0-9 ,;:=/.%\"\\\\*\\[\\]]{0,40}") {
        for row in table::rows() {
            for value in [&text, &punctuation] {
                let mut draft = Draft::new(&defaults());
                if read(&mut draft, row, value).is_err() {
                    let (settings, _) = draft.finish(Asked::new(BTreeMap::new()));
                    prop_assert_eq!(settings, defaults(), "{} took {:?} in part", row.name, value);
                }
            }
        }
    }
}
