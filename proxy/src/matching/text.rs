//! One regular expression, made as cheap as it can be.
//!
//! In: a regular expression. Out: a [`Text`], which compares literals wherever that says the same.

use super::LONGEST;
use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::{
    ParserBuilder,
    hir::{Hir, HirKind, Look},
};
use weft_contract::REGEX_BYTES;

/// Where a text has to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// From the beginning of a path on, to wherever.
    Start,
    /// Anywhere in a value.
    Nowhere,
}

/// A regular expression, or what says the same.
#[derive(Debug)]
pub(super) struct Text {
    /// What everything begins with that it matches.
    prefix: Vec<u8>,
    test: Test,
    /// The regular expression, anchored.
    pattern: String,
}

/// What has to hold beyond the prefix.
#[derive(Debug)]
pub(super) enum Test {
    /// Nothing.
    Begins,
    /// Nothing follows the prefix.
    Equals,
    /// This is somewhere in it.
    Contains(Box<Finder<'static>>),
    /// It ends so.
    Ends(Vec<u8>),
    /// This matches.
    Regex(Regex),
}

/// What the structure of a regular expression says.
enum Reading {
    Literal(Literal),
    /// Nothing that is as simple, but everything that it matches begins so.
    Prefix(Vec<u8>),
}

/// A literal, and where it stands.
struct Literal {
    bytes: Vec<u8>,
    at_start: bool,
    at_end: bool,
}

// === impl Text ===

impl Text {
    /// Compiles a regular expression.
    ///
    /// # Errors
    /// Where it is none, or takes too much memory.
    pub(super) fn new(anchor: Anchor, pattern: &str) -> Result<Self, regex::Error> {
        // By itself first: `a)|(?:b` must not become one by what is written around it.
        let hir = ParserBuilder::new().utf8(false).build().parse(pattern);
        let hir = hir.map_err(|error| regex::Error::Syntax(error.to_string()))?;
        match read(anchor, &hir) {
            Reading::Literal(literal) => Ok(Self::literal(literal, anchored(anchor, pattern))),
            Reading::Prefix(prefix) => {
                let regex = compile(&anchored(anchor, pattern)).or_else(|error| match anchor {
                    // One that ends with a comment, as `(?x)` lets it, would take the parenthesis for a part of that.
                    Anchor::Start => compile(&anchored(anchor, &format!("{pattern}\n"))),
                    Anchor::Nowhere => Err(error),
                })?;
                let pattern = regex.as_str().to_owned();
                Ok(Self { prefix, test: Test::Regex(regex), pattern })
            }
        }
    }

    fn literal(literal: Literal, pattern: String) -> Self {
        let Literal { bytes, at_start, at_end } = literal;
        let (prefix, test) = match (at_start, at_end) {
            (true, false) => (bytes, Test::Begins),
            (true, true) => (bytes, Test::Equals),
            (false, false) => (Vec::new(), Test::Contains(Box::new(Finder::new(&bytes).into_owned()))),
            (false, true) => (Vec::new(), Test::Ends(bytes)),
        };
        Self { prefix, test, pattern }
    }

    /// Whether it matches.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        match &self.test {
            Test::Begins => text.starts_with(&self.prefix),
            Test::Equals => *text == *self.prefix,
            Test::Contains(finder) => finder.find(text).is_some(),
            Test::Ends(end) => text.ends_with(end),
            Test::Regex(regex) => {
                text.len() <= LONGEST && text.starts_with(&self.prefix) && regex.is_match(text)
            }
        }
    }

    /// Whether it matches whatever there is.
    pub(super) fn is_always(&self) -> bool {
        self.prefix.is_empty() && matches!(self.test, Test::Begins)
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(super) fn test(&self) -> &Test {
        &self.test
    }

    /// A regular expression that says the same, for a set of them.
    pub(super) fn pattern(&self) -> &str {
        &self.pattern
    }
}

fn anchored(anchor: Anchor, pattern: &str) -> String {
    match anchor {
        Anchor::Start => format!("^(?:{pattern})"),
        Anchor::Nowhere => pattern.to_owned(),
    }
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(REGEX_BYTES).build()
}

/// Reads the literal that a regular expression consists of or begins with.
fn read(anchor: Anchor, hir: &Hir) -> Reading {
    let mut parts = Vec::new();
    flatten(hir, &mut parts);
    let mut parts = parts.as_slice();
    let (mut at_start, mut at_end) = (anchor == Anchor::Start, false);
    // What may be empty matters only between what may not: where it begins or ends is anybody's guess.
    while let [first, rest @ ..] = parts {
        match first.kind() {
            HirKind::Look(Look::Start) => at_start = true,
            _ if !at_start && may_be_empty(first) => {}
            _ => break,
        }
        parts = rest;
    }
    while let [rest @ .., last] = parts {
        match last.kind() {
            HirKind::Look(Look::End) => at_end = true,
            _ if !at_end && may_be_empty(last) => {}
            _ => break,
        }
        parts = rest;
    }
    let mut bytes = Vec::new();
    let literals = parts.iter().map_while(|part| match part.kind() {
        HirKind::Literal(literal) => Some(&literal.0),
        _ => None,
    });
    let count = literals.map(|literal| bytes.extend_from_slice(literal)).count();
    if count == parts.len() {
        // An end without anything before it is everywhere.
        let at_end = at_end && (at_start || count > 0);
        Reading::Literal(Literal { at_start: at_start || count == 0, bytes, at_end })
    } else {
        Reading::Prefix(if at_start { bytes } else { Vec::new() })
    }
}

/// The parts that follow each other. As deep as parentheses are nested, which the parser bounds.
fn flatten<'a>(hir: &'a Hir, parts: &mut Vec<&'a Hir>) {
    match hir.kind() {
        HirKind::Concat(several) => several.iter().for_each(|part| flatten(part, parts)),
        HirKind::Capture(group) => flatten(&group.sub, parts),
        HirKind::Empty => {}
        HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Alternation(_) => parts.push(hir),
    }
}

fn may_be_empty(part: &Hir) -> bool {
    part.properties().minimum_len() == Some(0) && part.properties().look_set().is_empty()
}
