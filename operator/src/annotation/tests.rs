//! Precedence of prefixes, last good values, and mistakes that take nothing down.

use super::*;
use proptest::prelude::*;

const DEFAULTS: ServiceSettings = ServiceSettings { traffic_type: TrafficType::Http };

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn traffic_type(pairs: &[(&str, &str)]) -> TrafficType {
    parse(&values(pairs), &Values::new(), &DEFAULTS).settings.traffic_type
}

#[test]
fn each_spelling_is_read_and_the_first_wins() {
    assert_eq!(traffic_type(&[]), TrafficType::Http);
    assert_eq!(traffic_type(&[("maesh.containo.us/traffic-type", "tcp")]), TrafficType::Tcp);
    assert_eq!(
        traffic_type(&[("maesh.containo.us/traffic-type", "tcp"), ("mesh.traefik.io/traffic-type", "udp")]),
        TrafficType::Udp
    );
    assert_eq!(
        traffic_type(&[("mesh.traefik.io/traffic-type", "udp"), ("weft.mesh/traffic-type", "http")]),
        TrafficType::Http
    );
}

#[test]
fn a_bad_value_leaves_the_last_good_one_in_force() {
    let good = parse(&values(&[("weft.mesh/traffic-type", "tcp")]), &Values::new(), &DEFAULTS).good;
    assert_eq!(good, values(&[("traffic-type", "tcp")]));
    let parsed = parse(&values(&[("weft.mesh/traffic-type", "tpc")]), &good, &DEFAULTS);
    assert_eq!(parsed.settings.traffic_type, TrafficType::Tcp);
    assert_eq!(parsed.good, good, "it stays the last good one however long the bad one stays");
    let note = parsed.mistakes[0].note();
    assert!(
        note.contains("weft.mesh/traffic-type")
            && note.contains("\"tpc\"")
            && note.contains("\"tcp\" is in force")
    );
}

#[test]
fn a_bad_value_without_a_last_good_one_leaves_the_default_in_force() {
    let parsed = parse(&values(&[("weft.mesh/traffic-type", "HTTP")]), &Values::new(), &DEFAULTS);
    assert_eq!(parsed.settings, DEFAULTS);
    assert!(parsed.good.is_empty());
    assert_eq!(parsed.mistakes.len(), 1);
}

#[test]
fn an_annotation_taken_away_brings_the_default_back() {
    let parsed = parse(&Values::new(), &values(&[("traffic-type", "tcp")]), &DEFAULTS);
    assert_eq!(parsed.settings, DEFAULTS);
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
        &DEFAULTS,
    );
    assert_eq!(parsed.settings, DEFAULTS);
    assert_eq!(parsed.mistakes, [Mistake::Unknown { annotation: "weft.mesh/trafic-type".into() }]);
}

#[test]
fn only_known_annotations_select_a_service() {
    assert!(is_annotated(&values(&[("maesh.containo.us/traffic-type", "nonsense")])));
    assert!(!is_annotated(&values(&[("weft.mesh/trafic-type", "tcp")])));
}

#[test]
fn every_key_is_on_the_docs_page() {
    let page = docs::page();
    assert!(Key::ALL.iter().all(|key| page.contains(&format!("| `{}` |", key.row().name))));
    assert!(PREFIXES.iter().all(|prefix| page.contains(prefix)));
}

proptest! {
    #[test]
    fn settings_can_always_be_used_and_good_values_parse_to_themselves(value in ".{0,40}", last in ".{0,10}") {
        let parsed = parse(
            &values(&[("weft.mesh/traffic-type", &value)]),
            &values(&[("traffic-type", &last)]),
            &DEFAULTS,
        );
        for (name, good) in &parsed.good {
            let again = parse(&values(&[(&format!("weft.mesh/{name}"), good)]), &Values::new(), &DEFAULTS);
            prop_assert_eq!(&again.settings, &parsed.settings);
            prop_assert!(again.mistakes.is_empty());
        }
        prop_assert!(parsed.mistakes.len() <= 1);
    }
}
