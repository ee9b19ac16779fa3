//! Any annotations give settings that can be used, and the good ones of them again.
//!
//! Each line is an annotation, `KEY=VALUE`; those after an empty line are the values that were good last.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{collections::BTreeSet, net::IpAddr};
use weft_contract::Protocol;
use weft_operator::{
    annotation::{Mistake, Parsed, ServiceSettings, Values, fit, parse},
    settings::TrafficType,
};

fuzz_target!(|text: &str| {
    let (annotations, last_good) = text.split_once("\n\n").unwrap_or((text, ""));
    let (annotations, last_good) = (values(annotations), values(last_good));
    let defaults = ServiceSettings::new(TrafficType::Http);
    let parsed = parse(&annotations, &last_good, &defaults);
    assert!(parsed.mistakes.is_sorted_by_key(|mistake| mistake.annotation().to_owned()));
    assert!(parsed.mistakes.iter().all(|mistake| !mistake.note().is_empty()));
    let again = parse(&annotations, &parsed.good, &defaults);
    assert_eq!(again, parsed, "the same annotations mean the same again");
    server_names(&parsed);
    for spoken in
        [&[][..], &[Protocol::Http], &[Protocol::Tcp], &[Protocol::Udp], &[Protocol::Http, Protocol::Udp]]
    {
        fitted(parsed.clone(), &spoken.iter().copied().collect());
    }
});

/// What a client can ask for, each name once.
fn server_names(parsed: &Parsed) {
    let hosts: BTreeSet<_> = parsed.settings.sni_routes.iter().map(|target| &target.host).collect();
    assert_eq!(hosts.len(), parsed.settings.sni_routes.len());
    for host in hosts {
        assert!(host.is_ascii() && !host.bytes().any(|byte| byte.is_ascii_uppercase()) && host.len() <= 255);
        assert!(host == "*" || !host.trim_start_matches("*.").contains('*'), "{host}");
        assert!(host.parse::<IpAddr>().is_err() && !host.ends_with('.'), "{host}");
    }
}

/// Nothing is told twice, also of annotations that make no sense on these ports.
fn fitted(mut parsed: Parsed, spoken: &BTreeSet<Protocol>) {
    fit(&mut parsed, spoken);
    assert!(parsed.mistakes.is_sorted_by_key(|mistake| mistake.annotation().to_owned()));
    let unused = parsed.mistakes.iter().filter(|mistake| matches!(mistake, Mistake::Unused { .. }));
    let unused: Vec<_> = unused.map(Mistake::annotation).collect();
    assert_eq!(unused.iter().collect::<BTreeSet<_>>().len(), unused.len());
    assert!(spoken.is_empty() || spoken.contains(&Protocol::Tcp) || parsed.settings.sni_routes.is_empty());
    let again = parsed.clone();
    fit(&mut parsed, spoken);
    assert_eq!(parsed, again);
}

fn values(lines: &str) -> Values {
    let pairs = lines.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
