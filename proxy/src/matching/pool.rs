//! Keeps what was compiled for as long as it is asked for.
//!
//! In: lists of conditions, and what was compiled for the plan before. Out: their matchers. Equal lists have one matcher
//! and equal regular expressions are one, within a plan and from one plan to the next.

use super::{
    matcher::Matcher,
    text::{Anchor, Text},
};
use std::{collections::HashMap, sync::Arc};
use weft_contract::HttpMatch;

/// What a plan has compiled.
#[derive(Debug, Default)]
pub struct Pool {
    matchers: HashMap<Vec<HttpMatch>, Arc<Matcher>>,
    paths: Texts,
    values: Texts,
}

/// None for those that cannot be compiled.
type Texts = HashMap<String, Option<Arc<Text>>>;

/// What a plan compiles, after the one before it.
#[derive(Debug)]
pub struct Compiling<'a> {
    previous: Option<&'a Pool>,
    next: Pool,
}

// === impl Pool ===

impl Pool {
    fn texts(&self, anchor: Anchor) -> &Texts {
        match anchor {
            Anchor::Start => &self.paths,
            Anchor::Nowhere => &self.values,
        }
    }
}

// === impl Compiling ===

impl<'a> Compiling<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn after(previous: Option<&'a Pool>) -> Self {
        Self { previous, next: Pool::default() }
    }

    /// What was asked for, to be kept with the plan.
    #[must_use]
    pub fn finish(self) -> Pool {
        self.next
    }

    /// The matcher of a list; its conditions are told by their places there.
    pub fn matcher(&mut self, list: &[HttpMatch]) -> Arc<Matcher> {
        if let Some(matcher) = self.next.matchers.get(list) {
            return Arc::clone(matcher);
        }
        let matcher = match self.previous.and_then(|previous| previous.matchers.get(list)) {
            Some(matcher) => {
                self.keep(list);
                Arc::clone(matcher)
            }
            None => Arc::new(Matcher::new(list, self)),
        };
        self.next.matchers.insert(list.to_owned(), Arc::clone(&matcher));
        matcher
    }

    /// A regular expression; none where it cannot be compiled.
    pub(super) fn text(&mut self, anchor: Anchor, pattern: &str) -> Option<Arc<Text>> {
        if let Some(known) = self.next.texts(anchor).get(pattern) {
            return known.clone();
        }
        let known = self.previous.and_then(|previous| previous.texts(anchor).get(pattern));
        let text = known.cloned().unwrap_or_else(|| match Text::new(anchor, pattern) {
            Ok(text) => Some(Arc::new(text)),
            Err(error) => {
                tracing::warn!(pattern, %error, "a regular expression cannot be compiled: it matches nothing");
                None
            }
        });
        let texts = match anchor {
            Anchor::Start => &mut self.next.paths,
            Anchor::Nowhere => &mut self.next.values,
        };
        texts.insert(pattern.to_owned(), text.clone());
        text
    }

    /// Keeps the regular expressions of a list whose matcher is kept.
    fn keep(&mut self, list: &[HttpMatch]) {
        for HttpMatch { path, methods: _, headers } in list {
            if let Some(path) = path {
                self.text(Anchor::Start, path);
            }
            for header in headers {
                self.text(Anchor::Nowhere, &header.regex);
            }
        }
    }
}
