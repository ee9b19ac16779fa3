//! Any annotations give settings that can be used, and the good ones of them again.
//!
//! Each line is an annotation, `KEY=VALUE`; those after an empty line are the values that were good last.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_operator::{
    annotation::{ServiceSettings, Values, parse},
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
});

fn values(lines: &str) -> Values {
    let pairs = lines.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
