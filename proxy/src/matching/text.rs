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
use std::sync::OnceLock;
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
    /// What is somewhere in everything that it matches, behind that: the longest literal that is.
    needed: Vec<u8>,
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
    /// The regular expression matches. Compiled when it is first run, for of a thousand few ever are, and each takes memory;
    /// none where it takes too much.
    Regex(OnceLock<Option<Regex>>),
}

/// What the structure of a regular expression says.
enum Reading {
    Literal(Literal),
    /// Nothing that is as simple.
    Other {
        /// Everything that it matches begins so.
        prefix: Vec<u8>,
        /// And has this somewhere.
        needed: Vec<u8>,
    },
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
    /// Where it is none.
    pub(super) fn new(anchor: Anchor, pattern: &str) -> Result<Self, Box<regex_syntax::Error>> {
        // By itself first: `a)|(?:b` must not become one by what is written around it.
        let hir = parse(pattern)?;
        match read(anchor, &hir) {
            Reading::Literal(literal) => Ok(Self::literal(literal, anchored(anchor, pattern))),
            Reading::Other { prefix, needed } => {
                let mut around = anchored(anchor, pattern);
                if parse(&around).is_err() {
                    // One that ends with a comment, as `(?x)` lets it, would take the parenthesis for a part of that.
                    around = anchored(anchor, &format!("{pattern}\n"));
                    parse(&around)?;
                }
                Ok(Self { prefix, needed, test: Test::Regex(OnceLock::new()), pattern: around })
            }
        }
    }

    fn literal(literal: Literal, pattern: String) -> Self {
        let Literal { bytes, at_start, at_end } = literal;
        let nothing = Vec::new();
        let (prefix, needed, test) = match (at_start, at_end) {
            (true, false) => (bytes, nothing, Test::Begins),
            (true, true) => (bytes, nothing, Test::Equals),
            (false, false) => {
                let finder = Finder::new(&bytes).into_owned();
                (nothing, bytes, Test::Contains(Box::new(finder)))
            }
            (false, true) => (nothing, bytes.clone(), Test::Ends(bytes)),
        };
        Self { prefix, needed, test, pattern }
    }

    /// Whether it matches.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        match &self.test {
            Test::Begins => text.starts_with(&self.prefix),
            Test::Equals => *text == *self.prefix,
            Test::Contains(finder) => finder.find(text).is_some(),
            Test::Ends(end) => text.ends_with(end),
            Test::Regex(regex) => {
                text.len() <= LONGEST
                    && text.starts_with(&self.prefix)
                    && self.compiled(regex).is_some_and(|regex| regex.is_match(text))
            }
        }
    }

    fn compiled<'a>(&self, regex: &'a OnceLock<Option<Regex>>) -> Option<&'a Regex> {
        let compile = || {
            let pattern = &self.pattern;
            let compiled = RegexBuilder::new(pattern).size_limit(REGEX_BYTES).build();
            compiled.inspect_err(|error| tracing::warn!(pattern, %error, "a condition matches nothing")).ok()
        };
        regex.get_or_init(compile).as_ref()
    }

    /// Whether it can match at all, for a set of them, whose bound is another.
    pub(super) fn is_usable(&self) -> bool {
        match &self.test {
            Test::Begins | Test::Equals | Test::Contains(_) | Test::Ends(_) => true,
            Test::Regex(regex) => self.compiled(regex).is_some(),
        }
    }

    /// Whether it matches whatever there is.
    pub(super) fn is_always(&self) -> bool {
        self.prefix.is_empty() && matches!(self.test, Test::Begins)
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(super) fn needed(&self) -> &[u8] {
        &self.needed
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

fn parse(pattern: &str) -> Result<Hir, Box<regex_syntax::Error>> {
    Ok(ParserBuilder::new().utf8(false).build().parse(pattern)?)
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
        let prefix = if at_start { bytes } else { Vec::new() };
        let behind = if at_start { &parts[count..] } else { parts };
        Reading::Other { prefix, needed: longest_literal(behind) }
    }
}

/// The longest literal among these, each of which has to be there.
fn longest_literal(parts: &[&Hir]) -> Vec<u8> {
    let literals = parts.iter().filter_map(|part| match part.kind() {
        HirKind::Literal(literal) => Some(&*literal.0),
        _ => None,
    });
    literals.max_by_key(|literal| literal.len()).unwrap_or_default().to_vec()
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
