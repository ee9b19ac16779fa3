//! What annotations ask for while they are read, one after the other.
//!
//! In: each value that could be read. Out: [`ServiceSettings`], once it is known which values go together; those that
//! have no effect beside the others are told.

use super::{
    Mistake, ServiceSettings, actions, balancing, balancing::Rule, failing, limits, retry, timeouts,
};
use std::collections::BTreeMap;
use weft_contract::policy::{Cors, Fault, HashKey, RateLimitKey, RateLimitScope};

/// Settings in the making: what stands for itself is in `settings`, what needs others is beside it until the end.
pub(super) struct Draft {
    pub(super) settings: ServiceSettings,
    pub(super) rule: Option<Rule>,
    pub(super) hash_key: Option<HashKey>,
    pub(super) outlier_off: bool,
    pub(super) average: Option<u32>,
    pub(super) burst: Option<u32>,
    pub(super) limit_by: Option<RateLimitKey>,
    pub(super) limit_scope: Option<RateLimitScope>,
    pub(super) fault: Fault,
    pub(super) cors: Cors,
}

/// The keys in force, with the annotation that each is spelled by; and which of them have no effect.
pub(super) struct Asked {
    annotations: BTreeMap<&'static str, String>,
    unused: Vec<Mistake>,
}

impl Draft {
    pub(super) fn new(defaults: &ServiceSettings) -> Self {
        Self {
            settings: defaults.clone(),
            rule: None,
            hash_key: None,
            outlier_off: false,
            average: None,
            burst: None,
            limit_by: None,
            limit_scope: None,
            fault: Fault::default(),
            cors: Cors::default(),
        }
    }

    /// Puts together what goes together.
    pub(super) fn finish(mut self, mut asked: Asked) -> (ServiceSettings, Vec<Mistake>) {
        balancing::finish(&mut self, &mut asked);
        retry::finish(&mut self, &mut asked);
        timeouts::finish(&mut self, &mut asked);
        failing::finish(&mut self, &mut asked);
        limits::finish(&mut self, &mut asked);
        actions::finish(&mut self, &mut asked);
        (self.settings, asked.unused)
    }
}

impl Asked {
    pub(super) fn new(annotations: BTreeMap<&'static str, String>) -> Self {
        Self { annotations, unused: Vec::new() }
    }

    /// Says that `keys`, where they are in force, have no effect, and why. Each is told but once.
    pub(super) fn unused(&mut self, keys: &[&'static str], why: &str) {
        for key in keys {
            if let Some(annotation) = self.annotations.remove(key) {
                self.unused.push(Mistake::Unused { annotation, why: why.to_owned() });
            }
        }
    }
}

/// Sets `place` to a value that could be read.
pub(super) fn set<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}
