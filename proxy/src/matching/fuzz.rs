//! The doorway by which `fuzz/` reaches the matcher, and the matcher that it is compared with: the slow one, which says what
//! the words of the contract say.
//!
//! In: conditions and a request. Out: which hold, by either.

use super::{Compiling, LONGEST, Subject};
use regex::bytes::RegexBuilder;
use std::ops::ControlFlow;
use weft_contract::{HttpMatch, REGEX_BYTES};

/// The places of the conditions that hold, by the fast one.
#[must_use]
pub fn fast(list: &[HttpMatch], subject: &Subject<'_>) -> Vec<usize> {
    let matcher = Compiling::after(None).matcher(list);
    let mut places = Vec::new();
    matcher.each(subject, |place| {
        places.push(place);
        ControlFlow::Continue(())
    });
    places.sort_unstable();
    places.dedup();
    places
}

/// The same, by the slow one.
#[must_use]
pub fn slow(list: &[HttpMatch], subject: &Subject<'_>) -> Vec<usize> {
    let holds = |wanted: &HttpMatch| {
        let HttpMatch { path, methods, headers } = wanted;
        let paths = || [Some(subject.path), subject.plain.as_deref()].into_iter().flatten();
        (methods.is_empty() || methods.iter().any(|method| method == subject.method.as_str()))
            && path.as_ref().is_none_or(|path| paths().all(|is| matches(path, is, true)))
            && headers.iter().all(|header| {
                let mut any = false;
                subject
                    .fields
                    .each(&header.name, &mut |value| any = any || matches(&header.regex, value, false));
                any
            })
            // One that nothing meets is none that asks for less.
            && path.iter().all(|path| is_regex(path))
            && headers.iter().all(|header| is_regex(&header.regex))
    };
    list.iter().enumerate().filter(|(_, wanted)| holds(wanted)).map(|(place, _)| place).collect()
}

/// Whether a regular expression matches, at the beginning or anywhere; the engine says where.
fn matches(pattern: &str, text: &[u8], at_start: bool) -> bool {
    assert!(text.len() <= LONGEST, "what is longer is matched by literals alone");
    let regex = RegexBuilder::new(pattern).size_limit(REGEX_BYTES).build();
    let Ok(regex) = regex else { return false };
    if at_start {
        // The line break ends a comment, as `(?x)` lets one be there.
        let anchored = |end: &str| RegexBuilder::new(&format!("\\A(?:{pattern}{end})")).build();
        anchored("").or_else(|_| anchored("\n")).is_ok_and(|regex| regex.is_match(text))
    } else {
        regex.is_match(text)
    }
}

fn is_regex(pattern: &str) -> bool {
    RegexBuilder::new(pattern).size_limit(REGEX_BYTES).build().is_ok()
}
