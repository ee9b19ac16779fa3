//! Who gets which side.

use super::*;
use crate::matching::Compiling;
use http::{HeaderMap, Method};
use proptest::prelude::*;
use std::collections::BTreeMap;
use weft_contract::HttpMatch;

fn backend(name: &str, weight: u32) -> SplitBackend {
    SplitBackend { service: ServiceKey::new("shop", name), weight, ports: vec![80] }
}

fn split(backends: Vec<SplitBackend>) -> weft_contract::Split {
    weft_contract::Split { name: "web".into(), matches: None, backends, sticky: None }
}

fn compiled(split: &weft_contract::Split, before: Option<&Split>) -> Split {
    let matcher = split.matches.as_ref().map(|list| Compiling::after(None).matcher(list));
    Split::new(&ServiceKey::new("shop", "web"), 80, split, matcher, before, 7)
}

/// Everything can be gone to.
fn everywhere(service: &ServiceKey) -> Option<String> {
    Some(service.name.clone())
}

fn name(choice: Choice<String>) -> String {
    match choice {
        Choice::Root => "root".into(),
        Choice::Side { route, .. } => route,
        Choice::Nowhere => "nowhere".into(),
    }
}

fn asked(split: &Split, path: &str, fields: &[(&'static str, &str)]) -> (String, Option<HeaderValue>) {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    let choice = split.request(&Subject::new(&Method::GET, path.as_bytes(), &map), everywhere);
    match choice {
        Choice::Side { route, cookie, .. } => (route, cookie),
        other => (name(other), None),
    }
}

fn counts(split: &Split, times: u32) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    (0..times).for_each(|_| *counts.entry(asked(split, "/", &[]).0).or_default() += 1);
    counts
}

#[test]
fn weights_are_kept_over_requests_and_connections_alike() {
    let split = compiled(&split(vec![backend("a", 70), backend("b", 30), backend("c", 0)]), None);
    let counted = counts(&split, 10_000);
    assert!((6_990..=7_010).contains(&counted["a"]) && counted["b"] == 10_000 - counted["a"], "{counted:?}");
    let a = (0..10_000).filter(|_| name(split.raw(everywhere)) == "a").count();
    assert!((6_990..=7_010).contains(&a), "{a}");
}

#[test]
fn threads_share_the_turns() {
    let split = Arc::new(compiled(&split(vec![backend("a", 1), backend("b", 3)]), None));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let split = Arc::clone(&split);
            std::thread::spawn(move || counts(&split, 2_500).get("a").copied().unwrap_or(0))
        })
        .collect();
    let a: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!((2_490..=2_510).contains(&a), "{a}");
}

#[test]
fn without_a_weight_or_a_side_there_is_nowhere_to_go() {
    for backends in [vec![], vec![backend("a", 0), backend("b", 0)]] {
        assert_eq!(counts(&compiled(&split(backends), None), 10), BTreeMap::from([("nowhere".into(), 10)]));
    }
    let other_port = SplitBackend { ports: vec![8080], ..backend("a", 1) };
    assert_eq!(
        counts(&compiled(&split(vec![other_port]), None), 10),
        BTreeMap::from([("nowhere".into(), 10)])
    );
}

#[test]
fn a_side_that_went_is_made_up_for_by_the_others() {
    let split = compiled(&split(vec![backend("a", 1), backend("gone", 8), backend("b", 1)]), None);
    let there = |service: &ServiceKey| everywhere(service).filter(|name| name != "gone");
    let a = (0..1_000).filter(|_| name(split.raw(there)) == "a").count();
    let b = (0..1_000).filter(|_| name(split.raw(there)) == "b").count();
    assert!((450..550).contains(&a) && (450..550).contains(&b), "{a} {b}");
    assert_eq!(name(split.raw(|_| None)), "nowhere");
}

#[test]
fn turns_and_counters_go_on_with_the_next_plan() {
    let first = compiled(&split(vec![backend("a", 1), backend("b", 1)]), None);
    let mut next = Vec::new();
    let mut alike = Vec::new();
    let whole = compiled(&split(vec![backend("a", 1), backend("b", 1)]), None);
    let mut last: Option<Split> = None;
    for _ in 0..20 {
        let made =
            compiled(&split(vec![backend("b", 1), backend("a", 1)]), Some(last.as_ref().unwrap_or(&first)));
        next.push(asked(&made, "/", &[]).0 == "a");
        alike.push(asked(&whole, "/", &[]).0 == "b");
        last = Some(made);
    }
    assert_eq!(next, alike, "the same sequence, with the sides the other way round");
    let (one, other) = (first.traffic().next().unwrap(), last.as_ref().unwrap().traffic().nth(1).unwrap());
    assert!(one.0 == "a" && other.0 == "a" && Arc::ptr_eq(one.1, other.1));
}

#[test]
fn what_does_not_match_goes_to_the_root() {
    let condition = HttpMatch { path: Some("/new".into()), ..HttpMatch::default() };
    let matches = Some(vec![condition]);
    let split = weft_contract::Split { matches, ..split(vec![backend("a", 1)]) };
    let split = compiled(&split, None);
    assert_eq!(asked(&split, "/new/1?x=1", &[]).0, "a");
    assert_eq!(asked(&split, "/old", &[]).0, "root");
    assert_eq!(name(split.raw(everywhere)), "root", "of a connection nothing can be known");
}

#[test]
fn a_cookie_keeps_its_user_until_its_side_has_no_weight() {
    let sticky = Some(SplitSticky::Cookie("side".into()));
    let made = |a, b, before: Option<&Split>| {
        let backends = vec![backend("a", a), backend("b", b)];
        compiled(&weft_contract::Split { sticky: sticky.clone(), ..split(backends) }, before)
    };
    let first = made(1, 0, None);
    let (side, cookie) = asked(&first, "/", &[]);
    assert_eq!(side, "a");
    let cookie = cookie.unwrap();
    let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
    assert!(cookie.starts_with("side=") && cookie.len() == "side=".len() + 16, "it says nothing: {cookie}");
    let second = made(1, 999, Some(&first));
    for _ in 0..100 {
        assert_eq!(asked(&second, "/", &[("cookie", cookie)]), ("a".into(), None));
    }
    let third = made(0, 1, Some(&second));
    let (side, moved) = asked(&third, "/", &[("cookie", cookie)]);
    assert_eq!((side.as_str(), moved.is_some()), ("b", true));
    for wrong in ["side=0123456789abcdef", "side=", "side=a", "other=1"] {
        assert!(asked(&second, "/", &[("cookie", wrong)]).1.is_some(), "{wrong}");
    }
}

#[test]
fn a_header_keeps_its_user_and_weights_move_only_whom_they_must() {
    let sticky = Some(SplitSticky::Header("x-user".into()));
    let made = |a, b, c| {
        let backends = vec![backend("a", a), backend("b", b), backend("c", c)];
        compiled(&weft_contract::Split { sticky: sticky.clone(), ..split(backends) }, None)
    };
    let sides = |split: &Split| -> Vec<String> {
        (0..10_000).map(|user| asked(split, "/", &[("x-user", &user.to_string())]).0).collect()
    };
    let (before, after) = (sides(&made(80, 20, 0)), sides(&made(60, 40, 0)));
    assert_eq!(before, sides(&made(80, 20, 0)), "in every proxy alike");
    let count = |sides: &[String], name| sides.iter().filter(|side| *side == name).count();
    assert!((1_850..2_150).contains(&count(&before, "b")), "{}", count(&before, "b"));
    assert!((3_850..4_150).contains(&count(&after, "b")), "{}", count(&after, "b"));
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || before == "a"));
    assert_eq!(count(&before, "c"), 0);
    let without: BTreeMap<String, u32> = counts(&made(50, 50, 0), 1_000);
    assert!((490..=510).contains(&without["a"]), "{without:?}");
}

proptest! {
    #[test]
    fn nothing_without_a_weight_is_chosen(
        weights in prop::collection::vec(prop_oneof![Just(0_u32), 0_u32..100], 1..5),
        values in prop::collection::vec(".{0,8}", 1..20),
        header: bool,
    ) {
        let names = ["a", "b", "c", "d"];
        let backends = weights.iter().zip(names).map(|(weight, name)| backend(name, *weight)).collect();
        let sticky = header.then(|| SplitSticky::Header("x-user".into()));
        let split = compiled(&weft_contract::Split { sticky, ..split(backends) }, None);
        for value in values {
            let value: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
            let (side, _) = asked(&split, "/", &[("x-user", &value)]);
            match names.iter().position(|name| *name == side) {
                Some(place) => prop_assert!(weights[place] > 0),
                None => prop_assert!(weights.iter().all(|weight| *weight == 0)),
            }
        }
    }
}
