//! What tells requests apart.
//!
//! In: nothing. Out: [`HttpMatch`], as the HTTPRouteGroup of the Service Mesh Interface has it.

use serde::{Deserialize, Serialize};

/// The most bytes that a compiled regular expression may take; the operator refuses larger ones by the same bound.
pub const REGEX_BYTES: usize = 1 << 20;

/// What a request must have to match: all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// A regular expression (the `regex` crate's) that the path matches from its beginning, not to its end. Without the
    /// query. None matches every path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Methods, upper case, sorted; all when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Header fields, names lower case, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderRegex>,
}

/// A header field with a value that a regular expression matches anywhere within.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HeaderRegex {
    /// The field's name, lower case.
    pub name: String,
    /// The regular expression.
    pub regex: String,
}
