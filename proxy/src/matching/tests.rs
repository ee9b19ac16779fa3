//! What matches is what the slow matcher says, and it is found without a walk.

use super::{fuzz, *};
use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;
use std::{fmt::Write as _, sync::Arc};
use weft_contract::{HeaderRegex, HttpMatch};

fn path(regex: &str) -> HttpMatch {
    HttpMatch { path: Some(regex.into()), ..HttpMatch::default() }
}

fn header(name: &str, regex: &str) -> HeaderRegex {
    HeaderRegex { name: name.into(), regex: regex.into() }
}

fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in pairs {
        fields.append(*name, HeaderValue::from_str(value).unwrap());
    }
    fields
}

fn matches(wanted: &HttpMatch, method: &Method, target: &str, pairs: &[(&'static str, &str)]) -> bool {
    let fields = fields(pairs);
    let subject = Subject::new(method, target.as_bytes(), &fields);
    let fast = fuzz::fast(std::slice::from_ref(wanted), &subject);
    assert_eq!(fast, fuzz::slow(std::slice::from_ref(wanted), &subject), "{wanted:?} {target}");
    !fast.is_empty()
}

fn get(regex: &str, target: &str) -> bool {
    matches(&path(regex), &Method::GET, target, &[])
}

#[test]
fn a_path_matches_from_its_beginning_and_without_its_query() {
    for (regex, target, expected) in [
        ("/api", "/api", true),
        ("/api", "/api/v1?x=1", true),
        ("/api", "/apis", true),
        ("/api", "/v1/api", false),
        ("/api$", "/api?x=1", true),
        ("/api$", "/api/", false),
        ("^/api", "/api", true),
        ("/api/.*", "/api/", true),
        ("/api/.*", "/api", false),
        ("/api/.+", "/api/", false),
        ("/api(/.*)?$", "/api/x", true),
        ("/api(/.*)?$", "/apis", false),
        (".*/users", "/v1/users/7", true),
        (".*\\.png$", "/a/b.png", true),
        (".*\\.png$", "/a/b.png.exe", false),
        ("/a|/b", "/b/c", true),
        ("/a|/b", "/x/b", false),
        ("", "/", true),
        (".*", "/anything", true),
        ("*", "/*", false),
        ("(?i)/API", "/api", true),
        ("/users/[0-9]+/cart$", "/users/4711/cart", true),
        ("/x=1", "/?x=1", false),
        ("/a\\?b", "/a?b", false),
        ("(?x) /api # the API", "/api/1", true),
        ("(?x) /[ac] # the API", "/a", true),
        ("/a)|(?:/b", "/b", false),
        ("/caf\u{e9}", "/caf\u{e9}", true),
    ] {
        assert_eq!(get(regex, target), expected, "{regex} {target}");
    }
}

#[test]
fn dot_segments_are_no_way_around_a_path() {
    for target in ["/public/../secret", "/public/%2e%2e/secret", "/public/..%2fsecret", "/public/..;a/secret"]
    {
        assert!(!get("/public/", target), "{target}");
        assert!(!get("/secret", target), "{target}: as it came it begins otherwise");
    }
    assert!(get("/public/", "/public/a/../b"));
    assert!(get("/public/[^/]+$", "/public/group%2fproject"), "an encoded separator alone is none");
}

#[test]
fn methods_are_compared_to_the_letter() {
    let wanted = HttpMatch { methods: vec!["GET".into(), "PURGE".into()], ..HttpMatch::default() };
    for (method, expected) in
        [("GET", true), ("PURGE", true), ("POST", false), ("get", false), ("PURGES", false)]
    {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(matches(&wanted, &method, "/", &[]), expected, "{method}");
    }
}

#[test]
fn a_header_matches_anywhere_in_any_of_its_lines() {
    let wanted = HttpMatch { headers: vec![header("x-user", "t|True"), header("x-b", "^b$")], ..path("/a") };
    let yes: &[&[(&str, &str)]] = &[
        &[("x-user", "true"), ("x-b", "b")],
        &[("x-user", "no"), ("x-user", "it"), ("x-b", "a"), ("x-b", "b")],
    ];
    let no: &[&[(&str, &str)]] = &[
        &[("x-user", "no"), ("x-b", "b")],
        &[("x-user", "true")],
        &[("x-user", "true"), ("x-b", "bb")],
        &[],
    ];
    assert!(yes.iter().all(|fields| matches(&wanted, &Method::GET, "/a/1", fields)));
    assert!(!no.iter().any(|fields| matches(&wanted, &Method::GET, "/a/1", fields)));
    assert!(!yes.iter().any(|fields| matches(&wanted, &Method::GET, "/b", fields)));
    let any = HttpMatch { headers: vec![header("x-user", ".*")], ..HttpMatch::default() };
    assert!(matches(&any, &Method::GET, "/", &[("x-user", "")]));
    assert!(!matches(&any, &Method::GET, "/", &[("x-other", "a")]), "a field that is not there has no value");
}

#[test]
fn what_cannot_be_compiled_matches_nothing() {
    let large = format!("/({})", "[a-z]{500}{500}");
    for regex in ["/(", "/[", "/(?=a)", "/\\1", large.as_str()] {
        assert!(!get(regex, "/"), "{regex}");
        let in_header = HttpMatch { headers: vec![header("x-a", regex)], ..path("/") };
        assert!(!matches(&in_header, &Method::GET, "/", &[("x-a", "/")]), "{regex}");
    }
}

#[test]
fn a_regular_expression_is_not_run_on_more_than_it_may_be() {
    let long = format!("/a/{}", "b".repeat(LONGEST));
    let fields = HeaderMap::new();
    let subject = Subject::new(&Method::GET, long.as_bytes(), &fields);
    let holding = |list: &[HttpMatch]| fuzz::fast(list, &subject);
    assert_eq!(holding(&[path("/a/b*$"), path("/a/"), path("/[ac]/")]), [1]);
    // Nor where there are so many that they are run in one pass.
    let many: Vec<HttpMatch> = (0..20).map(|number| path(&format!("/[ac]/b{{{number}}}"))).collect();
    assert!(holding(&many).is_empty());
}

#[test]
fn of_a_thousand_conditions_those_that_hold_are_found() {
    let mut list: Vec<HttpMatch> = (0..1000).map(|number| path(&format!("/route-{number:04}/"))).collect();
    list.extend((0..1000).map(|number| path(&format!("/[rR]egex-{number:04}/[0-9]+$"))));
    list.extend((0..1000).map(|number| HttpMatch {
        headers: vec![header("x-user", &format!("^user-{number:04}$"))],
        ..path("/same")
    }));
    list.extend((0..1000).map(|number| path(&format!(".*/end-{number:04}$"))));
    list.extend((0..100).map(|number| path(&format!("/[xy]{{1,{}}}/z", number + 1))));
    let matcher = Compiling::after(None).matcher(&list);
    let fields = fields(&[("x-user", "user-0123")]);
    for (target, expected) in [
        ("/route-0567/a", vec![567]),
        ("/regex-0999/17", vec![1999]),
        ("/same/1", vec![2123]),
        ("/none", vec![]),
    ] {
        let subject = Subject::new(&Method::GET, target.as_bytes(), &fields);
        let mut found = Vec::new();
        matcher.each(&subject, |place| {
            found.push(place);
            std::ops::ControlFlow::Continue(())
        });
        found.sort_unstable();
        assert_eq!(found, expected, "{target}");
    }
}

#[test]
fn equal_lists_have_one_matcher_from_plan_to_plan() {
    let mut first = Compiling::after(None);
    let (one, other) = (vec![path("/a"), path("/[bc]")], vec![path("/[bc]"), path("/c")]);
    let matcher = first.matcher(&one);
    assert!(Arc::ptr_eq(&matcher, &first.matcher(&one.clone())));
    let first = first.finish();
    let mut second = Compiling::after(Some(&first));
    assert!(Arc::ptr_eq(&matcher, &second.matcher(&one)));
    second.matcher(&other);
    let second = second.finish();
    let mut third = Compiling::after(Some(&second));
    assert!(Arc::ptr_eq(&matcher, &third.matcher(&one)));
    let forgotten = Compiling::after(Some(&Compiling::after(Some(&third.finish())).finish())).matcher(&one);
    assert!(!Arc::ptr_eq(&matcher, &forgotten), "what no plan asks for is let go");
}

/// Regular expressions as people write them, and as they do not.
fn regex() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ab/]{1,3}",
        1 => Just("/".to_owned()),
        1 => Just(".*".to_owned()),
        1 => Just(".+".to_owned()),
        1 => Just("[ab]".to_owned()),
        1 => Just("[^/]+".to_owned()),
        1 => Just("a?".to_owned()),
        1 => Just("(a|b)".to_owned()),
        1 => Just("(/a)?".to_owned()),
        1 => Just("(?i)A".to_owned()),
        1 => Just("\\.".to_owned()),
        1 => Just("^".to_owned()),
        1 => Just("$".to_owned()),
        1 => Just("|".to_owned()),
        1 => Just("\\b".to_owned()),
        1 => Just("(?m)^".to_owned()),
        1 => Just("(".to_owned()),
        1 => Just("(?x) #a".to_owned()),
        1 => Just("(?-u:\\xff)".to_owned()),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn condition() -> impl Strategy<Value = HttpMatch> {
    let headers = prop::collection::vec(("x-[ab]", regex()), 0..3);
    let methods = prop::sample::subsequence(vec!["GET", "POST", "X"], 0..3);
    (prop::option::of(regex()), methods, headers).prop_map(|(path, methods, headers)| HttpMatch {
        path,
        methods: methods.into_iter().map(str::to_owned).collect(),
        headers: headers.into_iter().map(|(name, regex)| HeaderRegex { name, regex }).collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_fast_matcher_says_what_the_slow_one_says(
        list in prop::collection::vec(condition(), 0..12),
        method in prop::sample::select(vec!["GET", "POST", "X", "Y"]),
        target in "/[ab/.%?2e]{0,8}",
        values in prop::collection::vec(("x-[ab]", "[aAb./ \u{e9}]{0,4}"), 0..3),
    ) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut fields = HeaderMap::new();
        for (name, value) in &values {
            let name: http::HeaderName = name.parse().unwrap();
            fields.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let subject = Subject::new(&method, target.as_bytes(), &fields);
        let slow = fuzz::slow(&list, &subject);
        let mut told = String::new();
        let _ = write!(told, "{list:?}");
        prop_assert_eq!(fuzz::fast(&list, &subject), slow.clone(), "{}", told);
        let matcher = Compiling::after(None).matcher(&list);
        prop_assert_eq!(matcher.any(&subject), !slow.is_empty());
        for place in 0..list.len() {
            prop_assert_eq!(matcher.holds(place, &subject), slow.contains(&place));
        }
    }
}
