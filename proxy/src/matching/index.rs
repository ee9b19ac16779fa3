//! Finds those of many texts that match.
//!
//! In: texts. Out: an [`Index`], which finds them by the literals that they begin with; of those that have the same one, or
//! none, it looks at those of which another literal is there. What has no literal at all is run in one pass.
//!
//! The literals are sorted, and each knows the longest other one that it begins with. Of all that a path begins with, the
//! longest is the last one not after it, or one that that one begins with; so one search finds all of them.

use super::{
    LONGEST,
    text::{Test, Text},
};
use regex::bytes::{RegexSet, RegexSetBuilder};
use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};
use weft_contract::REGEX_BYTES;

/// So many regular expressions are run one by one; a set of them would cost more.
const FEW: usize = 4;
/// A shorter literal is everywhere.
const TELLING: usize = 2;
/// One that more texts need tells too little of each.
const MANY: usize = 16;
/// What a set of regular expressions may take, whatever each of them may.
const SET_BYTES: usize = 64 * REGEX_BYTES;

/// Texts, told by their places in the list that this is made of.
#[derive(Debug, Default)]
pub(super) struct Index {
    texts: Vec<Arc<Text>>,
    /// Sorted by their prefixes.
    nodes: Vec<Node>,
}

/// The texts that begin with one literal.
#[derive(Debug)]
struct Node {
    prefix: Vec<u8>,
    /// The longest other one that this begins with.
    parent: Option<usize>,
    begins: Vec<u32>,
    equals: Vec<u32>,
    /// Those of which a literal is needed, where they are many.
    needing: Option<Needing>,
    others: Others,
}

/// Texts that need a literal somewhere.
#[derive(Debug)]
struct Needing {
    literals: RegexSet,
    /// The texts of each literal.
    ids: Vec<Vec<u32>>,
}

#[derive(Debug)]
enum Others {
    Each(Vec<u32>),
    Set(RegexSet, Vec<u32>),
}

// === impl Index ===

impl Index {
    pub(super) fn new(texts: Vec<Arc<Text>>) -> Self {
        let mut by_prefix: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        for (id, text) in (0_u32..).zip(&texts) {
            by_prefix.entry(text.prefix()).or_default().push(id);
        }
        let mut nodes: Vec<Node> = Vec::with_capacity(by_prefix.len());
        let mut parent = None;
        for (prefix, ids) in by_prefix {
            while let Some(index) = parent {
                let node: &Node = &nodes[index];
                if prefix.starts_with(&node.prefix) {
                    break;
                }
                parent = node.parent;
            }
            nodes.push(Node::new(prefix, parent, &ids, &texts));
            parent = Some(nodes.len() - 1);
        }
        Self { texts, nodes }
    }

    /// Shows the texts that match.
    pub(super) fn each(&self, text: &[u8], mut visit: impl FnMut(u32) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut place = self.nodes.partition_point(|node| *node.prefix <= *text).checked_sub(1);
        while let Some(index) = place {
            let node = &self.nodes[index];
            if text.starts_with(&node.prefix) {
                node.each(text, &self.texts, &mut visit)?;
            }
            place = node.parent;
        }
        ControlFlow::Continue(())
    }
}

// === impl Node ===

impl Node {
    fn new(prefix: &[u8], parent: Option<usize>, ids: &[u32], texts: &[Arc<Text>]) -> Self {
        let (mut begins, mut equals, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for id in ids {
            match texts[*id as usize].test() {
                Test::Begins => begins.push(*id),
                Test::Equals => equals.push(*id),
                Test::Contains(_) | Test::Ends(_) | Test::Regex(_) => others.push(*id),
            }
        }
        let (needing, others) = Needing::new(others, texts);
        let others = Others::new(others, texts);
        Self { prefix: prefix.to_owned(), parent, begins, equals, needing, others }
    }

    fn each(
        &self,
        text: &[u8],
        texts: &[Arc<Text>],
        visit: &mut impl FnMut(u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.begins.iter().try_for_each(|id| visit(*id))?;
        if text.len() == self.prefix.len() {
            self.equals.iter().try_for_each(|id| visit(*id))?;
        }
        let mut show = |id: &u32| {
            if texts[*id as usize].matches(text) { visit(*id) } else { ControlFlow::Continue(()) }
        };
        if let Some(Needing { literals, ids }) = &self.needing {
            let found = literals.matches(text);
            found.iter().flat_map(|place| &ids[place]).try_for_each(&mut show)?;
        }
        match &self.others {
            Others::Set(set, ids) if text.len() <= LONGEST => {
                set.matches(text).iter().try_for_each(|place| visit(ids[place]))
            }
            Others::Each(ids) | Others::Set(_, ids) => ids.iter().try_for_each(show),
        }
    }
}

// === impl Needing ===

impl Needing {
    /// Those that need a literal, if they are many, and the others.
    fn new(ids: Vec<u32>, texts: &[Arc<Text>]) -> (Option<Self>, Vec<u32>) {
        if ids.len() <= FEW {
            return (None, ids);
        }
        let (mut by_literal, mut others): (BTreeMap<&[u8], Vec<u32>>, Vec<u32>) = Default::default();
        for id in ids {
            match texts[id as usize].needed() {
                literal if literal.len() >= TELLING => by_literal.entry(literal).or_default().push(id),
                _ => others.push(id),
            }
        }
        // One that so many need tells nothing.
        by_literal.retain(|_, ids| {
            let tells = ids.len() <= MANY;
            if !tells {
                others.append(ids);
            }
            tells
        });
        others.sort_unstable();
        let literals = by_literal.keys().map(|literal| {
            let bytes: String = literal.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("(?-u:{bytes})")
        });
        match RegexSetBuilder::new(literals).size_limit(SET_BYTES).build() {
            Ok(literals) if !literals.is_empty() => {
                (Some(Self { literals, ids: by_literal.into_values().collect() }), others)
            }
            Ok(_) | Err(_) => {
                others.extend(by_literal.into_values().flatten());
                (None, others)
            }
        }
    }
}

// === impl Others ===

impl Others {
    fn new(ids: Vec<u32>, texts: &[Arc<Text>]) -> Self {
        if ids.len() <= FEW {
            return Self::Each(ids);
        }
        let ids: Vec<u32> = ids.into_iter().filter(|id| texts[*id as usize].is_usable()).collect();
        let patterns = ids.iter().map(|id| texts[*id as usize].pattern());
        match RegexSetBuilder::new(patterns).size_limit(SET_BYTES).build() {
            Ok(set) => Self::Set(set, ids),
            Err(error) => {
                tracing::warn!(count = ids.len(), %error, "regular expressions are run one by one");
                Self::Each(ids)
            }
        }
    }
}
