//! Any text is an expression or refused at a column of it, and an expression is written back with the same meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_contract::expression::{Expression, LONGEST, Measures};

/// Answers from the question, so that two expressions with different questions seldom agree.
struct Measured;

impl Measures for Measured {
    fn network_error_ratio(&self) -> f64 {
        0.5
    }

    fn response_code_ratio(&self, from: u16, to: u16, by_from: u16, by_to: u16) -> f64 {
        f64::from(from ^ to.rotate_left(3)) / f64::from((by_from ^ by_to).max(1))
    }

    fn latency_at_quantile_ms(&self, quantile: f64) -> f64 {
        quantile * 10.0
    }
}

fuzz_target!(|text: &str| {
    match Expression::parse(text) {
        Ok(read) => {
            let written = read.to_string();
            assert!(written.len() <= LONGEST);
            let again = Expression::parse(&written).expect("what was written can be read");
            assert_eq!(again, read);
            assert_eq!(again.holds(&Measured), read.holds(&Measured));
        }
        Err(error) => {
            assert!((1..=text.chars().count() + 1).contains(&error.column));
            assert!(error.to_string().len() < 512, "an Event has room for it");
        }
    }
});
