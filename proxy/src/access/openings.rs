//! What each principal may do.
//!
//! In: the grants that open something at a port. Out: for each who may call, what is open without a look at the request, and
//! what is open to requests that meet a condition. Only that much is looked at for each request.

use super::{
    Asked, PrincipalId,
    grants::{Claim, Grants},
};
use crate::{
    balance::{Kinds, Only},
    matching::{Compiling, Matcher, Subject},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::ControlFlow,
    sync::Arc,
};
use weft_contract::{HttpMatch, Transport};

/// So many conditions are looked at one by one, however many others there are.
const FEW: usize = 4;

/// The kinds of endpoints that something opens, at least one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Set {
    /// All of them.
    All,
    /// A bit for each.
    Some(Arc<[u64]>),
}

/// What one grant opens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Term {
    pub(super) grant: usize,
    pub(super) opens: Set,
}

/// What is open.
#[derive(Debug)]
pub enum Opened {
    /// Every endpoint.
    All,
    /// Some.
    Some(Only),
    /// None: nothing grants it.
    Nothing,
}

/// What is open to each.
#[derive(Debug)]
pub(super) struct Openings {
    by_principal: HashMap<PrincipalId, Arc<Opening>>,
    /// Every condition that matters to somebody here, and where it stands in what follows.
    conditions: Vec<HttpMatch>,
    matcher: Option<Arc<Matcher>>,
}

/// What is open to one principal.
#[derive(Debug, Default)]
struct Opening {
    /// Whatever is asked for.
    always: Option<Set>,
    /// To requests that meet a condition; by its place, sorted.
    matching: Vec<(usize, Set)>,
}

// === impl Set ===

impl Set {
    /// Those for which `open` says so; none where there are none.
    pub(super) fn of(open: impl ExactSizeIterator<Item = bool>) -> Option<Self> {
        let mut bits = vec![0_u64; open.len().div_ceil(64)];
        let (mut all, mut any) = (true, false);
        for (place, open) in open.enumerate() {
            if open {
                bits[place / 64] |= 1 << (place % 64);
            }
            (all, any) = (all && open, any || open);
        }
        any.then(|| if all { Self::All } else { Self::Some(bits.into()) })
    }

    fn add(this: &mut Option<Self>, other: &Self) {
        let sum = match (&*this, other) {
            (Some(Self::All), _) => return,
            (None, other) => other.clone(),
            (Some(_), Self::All) => Self::All,
            (Some(Self::Some(bits)), Self::Some(more)) => {
                if bits == more {
                    return;
                }
                Self::Some(bits.iter().zip(&**more).map(|(bits, more)| bits | more).collect())
            }
        };
        *this = Some(sum);
    }
}

// === impl Openings ===

impl Openings {
    pub(super) fn new(
        terms: &[Term],
        transport: Transport,
        grants: &Grants,
        compiling: &mut Compiling<'_>,
    ) -> Self {
        // In order, so that the same grants give the same conditions.
        let mut claims: BTreeMap<PrincipalId, BTreeSet<(Claim, &Set)>> = BTreeMap::new();
        for Term { grant, opens } in terms {
            let granted = grants.get(*grant);
            let claim = if transport == Transport::Udp { Some(Claim::Everything) } else { granted.claim };
            let Some(claim) = claim else { continue };
            for source in &granted.sources {
                claims.entry(*source).or_default().insert((claim, opens));
            }
        }
        let mut conditions = Conditions::default();
        // Those to whom the same is granted are one.
        let mut known: HashMap<BTreeSet<(Claim, &Set)>, Arc<Opening>> = HashMap::new();
        let mut by_principal = HashMap::with_capacity(claims.len());
        for (principal, claims) in claims {
            let opening = match known.get(&claims) {
                Some(opening) => Arc::clone(opening),
                None => {
                    let opening = Arc::new(Opening::new(&claims, grants, &mut conditions));
                    known.insert(claims, Arc::clone(&opening));
                    opening
                }
            };
            by_principal.insert(principal, opening);
        }
        let conditions: Vec<HttpMatch> = conditions.list.into_iter().cloned().collect();
        let matcher = (!conditions.is_empty()).then(|| compiling.matcher(&conditions));
        Self { by_principal, conditions, matcher }
    }

    /// Keeps what was compiled for this.
    pub(super) fn keep(&self, compiling: &mut Compiling<'_>) {
        if self.matcher.is_some() {
            compiling.matcher(&self.conditions);
        }
    }

    pub(super) fn opened(&self, caller: &[PrincipalId], asked: Asked<'_>, kinds: &Arc<Kinds>) -> Opened {
        let mut open = None;
        let openings = || caller.iter().filter_map(|principal| self.by_principal.get(principal));
        openings().flat_map(|opening| &opening.always).for_each(|set| Set::add(&mut open, set));
        if let (Asked::Request(subject), Some(matcher)) = (asked, &self.matcher)
            && open != Some(Set::All)
        {
            openings().for_each(|opening| opening.matching(subject, matcher, &mut open));
        }
        match open {
            None => Opened::Nothing,
            Some(Set::All) => Opened::All,
            Some(Set::Some(bits)) => Opened::Some(Only::new(Arc::clone(kinds), bits)),
        }
    }
}

// === impl Opening ===

impl Opening {
    fn new<'a>(
        claims: &BTreeSet<(Claim, &Set)>,
        grants: &'a Grants,
        conditions: &mut Conditions<'a>,
    ) -> Self {
        let (mut always, mut matching) = (None, HashMap::<usize, Option<Set>>::new());
        for (claim, set) in claims {
            match claim {
                Claim::Everything => Set::add(&mut always, set),
                Claim::Matching(list) => {
                    for condition in grants.list(*list) {
                        Set::add(matching.entry(conditions.place(condition)).or_default(), set);
                    }
                }
            }
        }
        let mut matching: Vec<(usize, Set)> =
            matching.into_iter().filter_map(|(place, set)| Some((place, set?))).collect();
        matching.sort_unstable_by_key(|(place, _)| *place);
        Self { always, matching }
    }

    /// Adds what is open to this request.
    fn matching(&self, subject: &Subject<'_>, matcher: &Matcher, open: &mut Option<Set>) {
        let mut add = |set: &Set| {
            Set::add(open, set);
            if *open == Some(Set::All) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        if self.matching.len() <= FEW {
            let mut holding = self.matching.iter().filter(|(place, _)| matcher.holds(*place, subject));
            let _ = holding.try_for_each(|(_, set)| add(set)); // it stops when all is open
            return;
        }
        matcher.each(subject, |place| {
            match self.matching.binary_search_by_key(&place, |(place, _)| *place) {
                Ok(found) => add(&self.matching[found].1),
                Err(_) => ControlFlow::Continue(()),
            }
        });
    }
}

/// Conditions, each once.
#[derive(Default)]
struct Conditions<'a> {
    list: Vec<&'a HttpMatch>,
    places: HashMap<&'a HttpMatch, usize>,
}

// === impl Conditions ===

impl<'a> Conditions<'a> {
    fn place(&mut self, condition: &'a HttpMatch) -> usize {
        *self.places.entry(condition).or_insert_with(|| {
            self.list.push(condition);
            self.list.len() - 1
        })
    }
}
