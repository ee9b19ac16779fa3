//! Parses a Service's annotations.
//!
//! In: the annotations, the values that were good last, and the defaults. Out: [`Parsed`]: settings that always can
//! be used, and what is wrong with the annotations. A value that cannot be read never takes a Service down.
//!
//! Each file has the rows of one concern and the grammars of their values; `value.rs` has what grammars are made of.

mod actions;
mod balancing;
pub mod docs;
mod draft;
mod failing;
mod fit;
mod limits;
mod mistake;
mod raw;
mod retry;
mod sni;
pub mod table;
mod timeouts;
mod traffic;
mod upstream;
mod value;

pub use actions::mirror::MirrorTarget;
pub use fit::fit;
pub use mistake::Mistake;
pub use sni::SniTarget;
pub use traffic::{PortName, Traffic};

use crate::{observe::authorities::AuthorityName, settings::TrafficType};
use draft::{Asked, Draft};
use std::collections::BTreeMap;
use table::{PREFIXES, Row};
use weft_contract::{Policy, policy::Scheme};

/// Annotations or values by name, as Kubernetes keeps them.
pub type Values = BTreeMap<String, String>;

/// The longest value that is read: far above what anybody writes, and small enough that the good values of every key
/// fit into an annotation of the shadow Service.
const LONGEST_VALUE: usize = 4096;

/// What a Service's annotations ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSettings {
    /// What its ports speak.
    pub traffic: Traffic,
    /// What its endpoints speak; none leaves it to each port's `appProtocol`.
    pub scheme: Option<Scheme>,
    /// What it asks of the proxies, but for what takes a look at the cluster: the fields that follow.
    pub policy: Policy,
    /// Where the certificates are that its endpoints are verified with.
    pub authority: Option<AuthorityName>,
    /// Where a copy of requests goes.
    pub mirror: Option<MirrorTarget>,
    /// Where TLS connections go by their server name.
    pub sni_routes: Vec<SniTarget>,
}

/// What came of parsing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Settings that can be used.
    pub settings: ServiceSettings,
    /// The values in force that came from annotations, by key: what to pass as `last_good` the next time.
    pub good: Values,
    /// The annotation by which each of these keys is spelled.
    pub spelled: BTreeMap<&'static str, String>,
    /// What is wrong, sorted by annotation.
    pub mistakes: Vec<Mistake>,
}

/// An annotation in force for its key.
struct Spelled<'a> {
    row: &'static Row,
    prefix: usize,
    annotation: &'a str,
    value: &'a str,
}

impl ServiceSettings {
    /// The settings of a Service that asks for nothing, where ports that do not say what they speak speak this.
    #[must_use]
    pub fn new(usual: TrafficType) -> Self {
        Self {
            traffic: Traffic { usual, all: None, ports: BTreeMap::new() },
            scheme: None,
            policy: Policy::default(),
            authority: None,
            mirror: None,
            sni_routes: Vec::new(),
        }
    }
}

/// Parses a Service's annotations.
#[must_use]
pub fn parse(annotations: &Values, last_good: &Values, defaults: &ServiceSettings) -> Parsed {
    let (spelled, mut mistakes) = find(annotations);
    let (mut draft, mut good, mut names) = (Draft::new(defaults), Values::new(), BTreeMap::new());
    for Spelled { row, prefix: _, annotation, value } in spelled.into_values() {
        let in_force = match read(&mut draft, row, value) {
            Ok(()) => Some(value),
            Err(why) => {
                // The last good value, if there was one, else the default that is already in place.
                let last = last_good.get(row.name).filter(|last| read(&mut draft, row, last).is_ok());
                mistakes.push(Mistake::Invalid {
                    annotation: annotation.to_owned(),
                    value: value.to_owned(),
                    why,
                    values: row.values,
                    last_good: last.cloned(),
                    default: row.default,
                });
                last.map(String::as_str)
            }
        };
        if let Some(in_force) = in_force {
            good.insert(row.name.to_owned(), in_force.to_owned());
            names.insert(row.name, annotation.to_owned());
        }
    }
    let (settings, unused) = draft.finish(Asked::new(names.clone()));
    mistakes.extend(unused);
    mistakes.sort_by(|one, other| one.annotation().cmp(other.annotation()));
    Parsed { settings, good, spelled: names, mistakes }
}

/// Whether a Service has an annotation of the mesh's, which is what `select: annotated` asks for.
#[must_use]
pub fn is_annotated(annotations: &Values) -> bool {
    !find(annotations).0.is_empty()
}

/// The annotation in force for each key, by the precedence of the prefixes, and the keys that are not known.
fn find(annotations: &Values) -> (BTreeMap<&'static str, Spelled<'_>>, Vec<Mistake>) {
    let (mut found, mut unknown) = (BTreeMap::new(), Vec::new());
    for (annotation, value) in annotations {
        let stripped = PREFIXES
            .iter()
            .enumerate()
            .find_map(|(rank, prefix)| annotation.strip_prefix(prefix).map(|name| (rank, name)));
        let Some((prefix, name)) = stripped else { continue };
        let Some(row) = table::row(name) else {
            unknown.push(Mistake::Unknown { annotation: annotation.clone() });
            continue;
        };
        let spelled = Spelled { row, prefix, annotation, value };
        let known = found.get(row.name).map(|known: &Spelled<'_>| known.prefix);
        if known.is_none_or(|known| prefix < known) {
            found.insert(row.name, spelled);
        }
    }
    (found, unknown)
}

/// Takes a value in. It is compared exactly, but for spaces around it.
fn read(draft: &mut Draft, row: &Row, value: &str) -> Result<(), String> {
    if value.len() > LONGEST_VALUE {
        return Err(format!("it is longer than {LONGEST_VALUE} bytes"));
    }
    (row.read)(draft, value.trim())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
