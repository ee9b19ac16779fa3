//! What is an expression, what it means, and what is said of what is none.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A fixed answer to each question.
struct Measured {
    network_errors: f64,
    statuses: BTreeMap<u16, u32>,
    latency_ms: f64,
}

impl Measures for Measured {
    fn network_error_ratio(&self) -> f64 {
        self.network_errors
    }

    fn response_code_ratio(&self, from: u16, to: u16, by_from: u16, by_to: u16) -> f64 {
        let count = |from, to| {
            let within = self.statuses.iter().filter(|(status, _)| (from..to).contains(*status));
            within.map(|(_, count)| f64::from(*count)).sum::<f64>()
        };
        if count(by_from, by_to) == 0.0 { 0.0 } else { count(from, to) / count(by_from, by_to) }
    }

    fn latency_at_quantile_ms(&self, quantile: f64) -> f64 {
        if quantile >= 50.0 { self.latency_ms } else { 0.0 }
    }
}

fn holds(text: &str) -> bool {
    let statuses = BTreeMap::from([(200, 60), (404, 10), (500, 20), (503, 10)]);
    let measured = Measured { network_errors: 0.3, statuses, latency_ms: 50.9 };
    Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).holds(&measured)
}

#[test]
fn the_examples_of_traefik_mean_what_they_do_there() {
    assert!(!holds("NetworkErrorRatio() > 0.30"));
    assert!(holds("NetworkErrorRatio() > 0.29"));
    assert!(holds("LatencyAtQuantileMS(50.0) >= 50"));
    assert!(holds("ResponseCodeRatio(500, 600, 0, 600) > 0.25"));
    assert!(!holds("ResponseCodeRatio(500, 503, 0, 600) > 0.25"), "the upper bound is not included");
    assert!(holds("ResponseCodeRatio(500, 600, 0, 600) > 0.35 || NetworkErrorRatio() > 0.10"));
    assert!(
        !holds("ResponseCodeRatio(500, 600, 700, 800) > 0.0"),
        "where there is nothing, there is no ratio"
    );
}

#[test]
fn latencies_are_compared_in_whole_milliseconds() {
    assert!(!holds("LatencyAtQuantileMS(50.0) > 50"));
    assert!(holds("LatencyAtQuantileMS(50.0) == 50"));
    assert!(holds("LatencyAtQuantileMS(99.9) > 49.5"));
    assert!(holds("LatencyAtQuantileMS(20) == 0"));
}

#[test]
fn every_comparison_compares() {
    for (operator, below, equal, above) in [
        (">", false, false, true),
        (">=", false, true, true),
        ("<", true, false, false),
        ("<=", true, true, false),
        ("==", false, true, false),
        ("!=", true, false, true),
    ] {
        assert_eq!(holds(&format!("NetworkErrorRatio() {operator} 0.4")), below, "{operator}");
        assert_eq!(holds(&format!("NetworkErrorRatio() {operator} 0.3")), equal, "{operator}");
        assert_eq!(holds(&format!("NetworkErrorRatio() {operator} 0.2")), above, "{operator}");
    }
}

#[test]
fn and_binds_tighter_than_or_and_not_tightest() {
    let (yes, no) = ("NetworkErrorRatio() > 0", "NetworkErrorRatio() > 1");
    assert!(holds(&format!("{yes} || {yes} && {no}")));
    assert!(!holds(&format!("({yes} || {yes}) && {no}")));
    assert!(holds(&format!("{no} && {no} || {yes}")));
    assert!(holds(&format!("!({no}) && {yes}")));
    assert!(!holds(&format!("!({no} || {yes})")));
    assert!(holds(&format!("!!({yes})")));
    assert!(!holds(&format!("!!!({yes})")));
}

#[test]
fn it_is_written_as_traefik_takes_it() {
    for (text, written) in [
        ("NetworkErrorRatio()>1", "NetworkErrorRatio() > 1.0"),
        ("LatencyAtQuantileMS(50)>=1e2", "LatencyAtQuantileMS(50.0) >= 100"),
        ("LatencyAtQuantileMS(.5) < 5.", "LatencyAtQuantileMS(0.5) < 5"),
        (
            "((NetworkErrorRatio()) > (0.5))\n&& ResponseCodeRatio ( 500.0,600,\t0,600, ) != 0",
            "NetworkErrorRatio() > 0.5 && ResponseCodeRatio(500, 600, 0, 600) != 0.0",
        ),
        (
            "(NetworkErrorRatio() > 0.1 || NetworkErrorRatio() == 0) && !!!(NetworkErrorRatio() < 1)",
            "(NetworkErrorRatio() > 0.1 || NetworkErrorRatio() == 0.0) && !(NetworkErrorRatio() < 1.0)",
        ),
        (
            "NetworkErrorRatio() > 1 || (NetworkErrorRatio() > 2 || NetworkErrorRatio() > 3 && NetworkErrorRatio() > 4)",
            "NetworkErrorRatio() > 1.0 || NetworkErrorRatio() > 2.0 || NetworkErrorRatio() > 3.0 && NetworkErrorRatio() > 4.0",
        ),
    ] {
        assert_eq!(Expression::parse(text).unwrap().to_string(), written);
    }
}

#[test]
fn an_error_says_where_and_how_to_mend_it() {
    for (text, column, contains) in [
        ("", 1, "is empty"),
        (" \n ", 1, "is empty"),
        ("NetworkErrorRatio()", 1, "NetworkErrorRatio() alone is no condition"),
        ("0.5", 1, "a number alone is no condition"),
        ("NetworkErrorRatio() > 0.5 && LatencyAtQuantileMS(50)", 30, "alone is no condition"),
        ("0.5 < NetworkErrorRatio()", 1, "a function on its left"),
        ("NetworkErrorRatio() > NetworkErrorRatio()", 1, "a number on its right"),
        ("NetworkErrorRatio() > 0.1 > 0.2", 1, "a function on its left"),
        ("NetworkErrorRatio() > ", 23, "the end where a function, a number"),
        ("NetworkErrorRatio() = 0.5", 21, "write `==`"),
        ("NetworkErrorRatio() > 0.5 & NetworkErrorRatio() > 0.5", 27, "write `&&`"),
        ("NetworkErrorRatio() > 0.5 and NetworkErrorRatio() > 0.5", 27, "`and` where `&&`"),
        ("NetworkErrorRatio() > -0.5", 23, "take out the `-`"),
        ("NetworkErrorRatio() > 0x10", 23, "`0x10` is not a number"),
        ("NetworkErrorRatio() > 1e999", 23, "`1e999` is not a number"),
        ("NetworkErrorRatio() > 30%", 25, "`%` where"),
        ("networkErrorRatio() > 0.5", 1, "there is no `networkErrorRatio`; there are NetworkErrorRatio()"),
        ("NetworkErrorRatio > 0.5", 19, "`>` where `(`"),
        ("NetworkErrorRatio(1) > 0.5", 1, "takes 0 arguments, not 1"),
        ("ResponseCodeRatio(500, 600) > 0.5", 1, "takes 4 arguments, not 2"),
        ("ResponseCodeRatio(500 600, 0, 600) > 0.5", 23, "`600` where `,` or `)`"),
        ("ResponseCodeRatio(499.5, 600, 0, 600) > 0.5", 19, "`499.5` is not a status code"),
        ("ResponseCodeRatio(500, 70000, 0, 600) > 0.5", 24, "`70000` is not a status code"),
        ("LatencyAtQuantileMS(,) > 5", 21, "`,` where a number"),
        ("!NetworkErrorRatio() > 0.5", 1, "before one in parentheses"),
        ("(NetworkErrorRatio() > 0.5", 27, "the end where `)`"),
        ("NetworkErrorRatio() > 0.5)", 26, "`)` where"),
        ("ü", 1, "`ü` where"),
        ("NetworkErrorRatio() > 0.5 || ü", 30, "`ü` where"),
    ] {
        let error = Expression::parse(text).unwrap_err();
        assert_eq!(error.column, column, "{text}: {error}");
        assert!(error.to_string().contains(contains), "{text}: {error}");
    }
}

#[test]
fn length_and_nesting_are_bounded() {
    let nested = |depth: usize| format!("{}NetworkErrorRatio() > 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Expression::parse(&nested(DEEPEST)).is_ok());
    assert_eq!(Expression::parse(&nested(DEEPEST + 1)).unwrap_err().problem, Problem::TooDeep);
    assert_eq!(Expression::parse(&nested(900)).unwrap_err().problem, Problem::TooLong(1823));
    assert!(Expression::parse(&format!("{}(NetworkErrorRatio() > 1)", "!".repeat(900))).is_ok());
    let tight = ["NetworkErrorRatio()>1"; 44].join("||");
    assert!(tight.len() <= LONGEST);
    let problem = Expression::parse(&tight).unwrap_err().problem;
    assert!(matches!(problem, Problem::TooLong(_)), "what it is written as could not be read: {problem}");
    let long_name = Expression::parse(&"x".repeat(1000)).unwrap_err();
    assert!(long_name.to_string().len() < 300, "{long_name}");
}

fn terms() -> impl Strategy<Value = Term> {
    let number = prop_oneof![Just(0.0), 0.0..1.0, 0.0..1e6, (0_u32..1000).prop_map(f64::from), Just(1e300)];
    let measure = prop_oneof![
        Just(Measure::NetworkErrorRatio),
        any::<[u16; 4]>().prop_map(|[from, to, by_from, by_to]| Measure::ResponseCodeRatio {
            from,
            to,
            by_from,
            by_to
        }),
        (0.0..100.0).prop_map(Measure::LatencyAtQuantileMs),
    ];
    let comparison = prop_oneof![
        Just(Comparison::Above),
        Just(Comparison::AtLeast),
        Just(Comparison::Below),
        Just(Comparison::AtMost),
        Just(Comparison::Equal),
        Just(Comparison::Unequal),
    ];
    let compare = (measure, comparison, number)
        .prop_map(|(measure, comparison, number)| Term::Compare(measure, comparison, number));
    compare.prop_recursive(5, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Term::Any),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Term::All),
            inner.prop_map(|term| Term::Not(Box::new(term))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(term in terms()) {
        // The text of a term that was not read may not be the shortest; of one that was, it is.
        if let Ok(read) = Expression::parse(&term.to_string()) {
            let written = read.to_string();
            prop_assert_eq!(Expression::parse(&written), Ok(read));
        } else {
            prop_assert!(term.to_string().len() > LONGEST);
        }
    }

    #[test]
    fn a_term_means_what_its_text_does(
        term in terms(), network_errors in 0.0..1.0, latency_ms in 0.0..1e6, status in 0_u16..700,
    ) {
        let measured = Measured { network_errors, statuses: BTreeMap::from([(status, 1)]), latency_ms };
        if let Ok(read) = Expression::parse(&term.to_string()) {
            prop_assert_eq!(read.holds(&measured), term.holds(&measured));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in ".*", words in prop::collection::vec(prop::sample::select(vec![
        "NetworkErrorRatio", "ResponseCodeRatio", "LatencyAtQuantileMS", "(", ")", ",", "!", "&&", "||", ">", ">=", "<",
        "<=", "==", "!=", "0.5", "500", " ", "-", "1e", "ü", "&", "=", ".", "\n",
    ]), 0..64)) {
        for text in [text, words.concat()] {
            if let Err(error) = Expression::parse(&text) {
                prop_assert!((1..=text.chars().count() + 1).contains(&error.column), "{}", error);
            }
        }
    }
}
