//! Which of a list of conditions hold for a request.
//!
//! In: conditions, and a request. Out: the places of those that hold. A condition is only looked at where the rarest thing
//! that it asks for is there.

use super::{
    Subject,
    index::Index,
    pool::Compiling,
    text::{Anchor, Text},
};
use http::Method;
use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    sync::Arc,
};
use weft_contract::{HeaderRegex, HttpMatch};

/// The methods that have a bit of their own, which is their place here.
const COMMON: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::PATCH,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];

/// Conditions, ready to be matched.
#[derive(Debug)]
pub struct Matcher {
    /// By their places in the list; none for those that nothing meets.
    conditions: Vec<Option<Condition>>,
    /// Those that ask for no more than a method.
    free: Vec<u32>,
    by_path: Keyed,
    by_header: Vec<(String, Keyed)>,
}

/// What a request has to have, all of it.
#[derive(Debug)]
struct Condition {
    methods: Methods,
    /// None for any.
    path: Option<Arc<Text>>,
    headers: Vec<(String, Arc<Text>)>,
}

#[derive(Debug)]
enum Methods {
    Any,
    /// Those of [`COMMON`] by their bits, and others.
    Some(u16, Vec<String>),
}

/// Conditions that stand under one of the texts that they ask for.
#[derive(Debug, Default)]
struct Keyed {
    index: Index,
    /// The conditions of each text.
    conditions: Vec<Vec<u32>>,
}

/// What a condition stands under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Nothing,
    Path,
    /// The header field of this place.
    Header(usize),
}

/// How many conditions ask for the same; by the field's name, or none for a path.
type Counts<'a> = HashMap<(Option<&'a str>, &'a str), usize>;

// === impl Matcher ===

impl Matcher {
    pub(super) fn new(list: &[HttpMatch], compiling: &mut Compiling<'_>) -> Self {
        let conditions: Vec<Option<Condition>> =
            list.iter().map(|each| Condition::new(each, compiling)).collect();
        let mut counts = Counts::new();
        for condition in conditions.iter().flatten() {
            condition.keys().for_each(|key| *counts.entry(condition.name_of(key)).or_default() += 1);
        }
        let mut free = Vec::new();
        let mut paths: Vec<(u32, Arc<Text>)> = Vec::new();
        let mut headers: BTreeMap<&str, Vec<(u32, Arc<Text>)>> = BTreeMap::new();
        for (id, condition) in (0_u32..).zip(&conditions) {
            let Some(condition) = condition else { continue };
            let rarest = condition.keys().min_by_key(|key| counts.get(&condition.name_of(*key)));
            match (rarest.unwrap_or(Key::Nothing), &condition.path) {
                (Key::Path, Some(path)) => paths.push((id, Arc::clone(path))),
                (Key::Header(place), _) => {
                    let (name, text) = &condition.headers[place];
                    headers.entry(name).or_default().push((id, Arc::clone(text)));
                }
                (Key::Path | Key::Nothing, _) => free.push(id),
            }
        }
        let by_path = Keyed::new(paths);
        let by_header =
            headers.into_iter().map(|(name, texts)| (name.to_owned(), Keyed::new(texts))).collect();
        Self { conditions, free, by_path, by_header }
    }

    /// Shows the conditions that hold, by their places in the list; some maybe twice.
    pub fn each(&self, subject: &Subject<'_>, mut visit: impl FnMut(usize) -> ControlFlow<()>) {
        let _ = self.walk(subject, &mut visit); // that it stopped early is the visitor's own wish
    }

    /// Whether one of them holds.
    #[must_use]
    pub fn any(&self, subject: &Subject<'_>) -> bool {
        let mut any = false;
        self.each(subject, |_| {
            any = true;
            ControlFlow::Break(())
        });
        any
    }

    /// Whether this one holds.
    #[must_use]
    pub fn holds(&self, place: usize, subject: &Subject<'_>) -> bool {
        self.conditions.get(place).is_some_and(|condition| {
            condition.as_ref().is_some_and(|condition| condition.holds(subject, false))
        })
    }

    fn walk(
        &self,
        subject: &Subject<'_>,
        visit: &mut impl FnMut(usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut show = |ids: &[u32], path_matches: bool| {
            ids.iter().try_for_each(|id| match &self.conditions[*id as usize] {
                Some(condition) if condition.holds(subject, path_matches) => visit(*id as usize),
                Some(_) | None => ControlFlow::Continue(()),
            })
        };
        show(&self.free, false)?;
        let Keyed { index, conditions } = &self.by_path;
        index.each(subject.path, |text| show(&conditions[text as usize], true))?;
        for (name, Keyed { index, conditions }) in &self.by_header {
            let mut flow = ControlFlow::Continue(());
            subject.fields.each(name, &mut |value| {
                if flow.is_continue() {
                    flow = index.each(value, |text| show(&conditions[text as usize], false));
                }
            });
            flow?;
        }
        ControlFlow::Continue(())
    }
}

// === impl Keyed ===

impl Keyed {
    /// Conditions with the texts that they stand under.
    fn new(list: Vec<(u32, Arc<Text>)>) -> Self {
        let (mut texts, mut conditions): (Vec<Arc<Text>>, Vec<Vec<u32>>) = (Vec::new(), Vec::new());
        let mut places = HashMap::new();
        for (id, text) in list {
            let place = *places.entry(Arc::as_ptr(&text)).or_insert(texts.len());
            if place == texts.len() {
                texts.push(text);
                conditions.push(Vec::new());
            }
            conditions[place].push(id);
        }
        Self { index: Index::new(texts), conditions }
    }
}

// === impl Condition ===

impl Condition {
    /// None where a regular expression cannot be compiled: nothing meets it.
    fn new(wanted: &HttpMatch, compiling: &mut Compiling<'_>) -> Option<Self> {
        let HttpMatch { path, methods, headers } = wanted;
        let path = match path {
            Some(path) => Some(compiling.text(Anchor::Start, path)?),
            None => None,
        };
        let header = |HeaderRegex { name, regex }: &HeaderRegex| {
            Some((name.clone(), compiling.text(Anchor::Nowhere, regex)?))
        };
        let headers = headers.iter().map(header).collect::<Option<_>>()?;
        let path = path.filter(|path| !path.is_always());
        Some(Self { methods: Methods::new(methods), path, headers })
    }

    /// What it may stand under.
    fn keys(&self) -> impl Iterator<Item = Key> {
        self.path.iter().map(|_| Key::Path).chain((0..self.headers.len()).map(Key::Header))
    }

    fn name_of(&self, key: Key) -> (Option<&str>, &str) {
        match (key, &self.path) {
            (Key::Header(place), _) => {
                let (name, text) = &self.headers[place];
                (Some(name), text.pattern())
            }
            (Key::Path, Some(path)) => (None, path.pattern()),
            (Key::Path | Key::Nothing, _) => (None, ""),
        }
    }

    /// Whether all of it holds; that the path matches as it came may be known.
    fn holds(&self, subject: &Subject<'_>, path_matches: bool) -> bool {
        let Self { methods, path, headers } = self;
        methods.has(subject.method)
            && path.as_ref().is_none_or(|path| {
                (path_matches || path.matches(subject.path))
                    && subject.plain.as_ref().is_none_or(|plain| path.matches(plain))
            })
            && headers.iter().all(|(name, text)| {
                let mut any = false;
                subject.fields.each(name, &mut |value| any = any || text.matches(value));
                any
            })
    }
}

// === impl Methods ===

impl Methods {
    fn new(names: &[String]) -> Self {
        if names.is_empty() {
            return Self::Any;
        }
        let bit = |name: &String| COMMON.iter().position(|method| method.as_str() == name);
        let bits = names.iter().filter_map(bit).fold(0, |bits, place| bits | 1 << place);
        Self::Some(bits, names.iter().filter(|name| bit(name).is_none()).cloned().collect())
    }

    fn has(&self, method: &Method) -> bool {
        match self {
            Self::Any => true,
            Self::Some(bits, others) => match COMMON.iter().position(|common| common == method) {
                Some(place) => bits & (1 << place) != 0,
                None => others.iter().any(|name| name == method.as_str()),
            },
        }
    }
}
