//! Parses a Service's annotations.
//!
//! In: the annotations, the values that were good last, and the defaults. Out: [`Parsed`]: settings that always can
//! be used, and what is wrong with the annotations. A value that cannot be read never takes a Service down.

pub mod docs;
pub mod table;

use crate::settings::TrafficType;
use clap::ValueEnum;
use std::collections::BTreeMap;
use table::{Key, PREFIXES};

/// Annotations or values by name, as Kubernetes keeps them.
pub type Values = BTreeMap<String, String>;

/// What a Service's annotations ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSettings {
    /// What its ports speak.
    pub traffic_type: TrafficType,
}

/// A mistake in one annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The value cannot be read.
    Invalid {
        /// The annotation, with its prefix.
        annotation: String,
        /// Its value.
        value: String,
        /// What it may be.
        values: &'static str,
        /// The value in force instead.
        in_force: String,
    },
    /// The key is not known.
    Unknown {
        /// The annotation, with its prefix.
        annotation: String,
    },
}

/// What came of parsing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Settings that can be used.
    pub settings: ServiceSettings,
    /// The values in force that came from annotations, by key: what to pass as `last_good` the next time.
    pub good: Values,
    /// What is wrong, sorted by annotation.
    pub mistakes: Vec<Mistake>,
}

/// Parses a Service's annotations.
#[must_use]
pub fn parse(annotations: &Values, last_good: &Values, defaults: &ServiceSettings) -> Parsed {
    let mut parsed =
        Parsed { settings: defaults.clone(), good: Values::new(), mistakes: unknown(annotations) };
    for key in Key::ALL {
        let Some((annotation, value)) = find(annotations, key) else { continue };
        let name = key.row().name.to_owned();
        if apply(&mut parsed.settings, key, value) {
            parsed.good.insert(name, value.to_owned());
            continue;
        }
        // The last good value, if there was one, else the default that is already in place.
        if let Some(last) = last_good.get(&name)
            && apply(&mut parsed.settings, key, last)
        {
            parsed.good.insert(name, last.clone());
        }
        parsed.mistakes.push(Mistake::Invalid {
            annotation,
            value: value.to_owned(),
            values: key.row().values,
            in_force: show(&parsed.settings, key),
        });
    }
    parsed.mistakes.sort_by(|one, other| one.annotation().cmp(other.annotation()));
    parsed
}

/// Whether a Service has an annotation of the mesh's, which is what `select: annotated` asks for.
#[must_use]
pub fn is_annotated(annotations: &Values) -> bool {
    Key::ALL.into_iter().any(|key| find(annotations, key).is_some())
}

/// The annotation in force for a key, by the precedence of the prefixes.
fn find(annotations: &Values, key: Key) -> Option<(String, &str)> {
    PREFIXES.iter().find_map(|prefix| {
        let annotation = format!("{prefix}{}", key.row().name);
        let value = annotations.get(&annotation)?;
        Some((annotation, value.as_str()))
    })
}

fn unknown(annotations: &Values) -> Vec<Mistake> {
    let stray = |annotation: &&String| {
        PREFIXES
            .iter()
            .find_map(|prefix| annotation.strip_prefix(prefix))
            .is_some_and(|name| Key::from_name(name).is_none())
    };
    annotations
        .keys()
        .filter(stray)
        .map(|annotation| Mistake::Unknown { annotation: annotation.clone() })
        .collect()
}

/// Sets `key` to `value`; false, and nothing set, where the value cannot be read. Values are compared exactly, as
/// Maesh did.
fn apply(settings: &mut ServiceSettings, key: Key, value: &str) -> bool {
    match key {
        Key::TrafficType => match TrafficType::from_str(value, false) {
            Ok(traffic_type) => {
                settings.traffic_type = traffic_type;
                true
            }
            Err(_) => false,
        },
    }
}

fn show(settings: &ServiceSettings, key: Key) -> String {
    match key {
        Key::TrafficType => match settings.traffic_type {
            TrafficType::Http => "http".into(),
            TrafficType::Tcp => "tcp".into(),
            TrafficType::Udp => "udp".into(),
        },
    }
}

impl Mistake {
    /// The annotation, with its prefix.
    #[must_use]
    pub fn annotation(&self) -> &str {
        match self {
            Self::Invalid { annotation, .. } | Self::Unknown { annotation } => annotation,
        }
    }

    /// What is wrong, what the mesh does meanwhile, how to put it right.
    #[must_use]
    pub fn note(&self) -> String {
        match self {
            Self::Invalid { annotation, value, values, in_force } => format!(
                "{annotation}: {value:?} cannot be read; meanwhile {in_force:?} is in force. Set it to {}.",
                values.replace('`', "")
            ),
            Self::Unknown { annotation } => format!(
                "{annotation} is not an annotation that this version of Weft knows; it is ignored. Known: {}. Correct \
                 or remove it.",
                Key::ALL.map(|key| key.row().name).join(", ")
            ),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
