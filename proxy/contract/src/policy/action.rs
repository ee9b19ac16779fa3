//! What is done to a request on its way: the actions of a route.

use super::milliseconds;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The actions of a route, in the order in which they are done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Actions {
    /// Failures on purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Answers to browsers that ask whether a page of another origin may call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Sends the client elsewhere; nothing is forwarded then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// Changes the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<PathRewrite>,
    /// Changes the request's headers, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_headers: Vec<HeaderChange>,
    /// Changes the answer's headers, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<HeaderChange>,
    /// Sends a copy of requests elsewhere, whose answers nobody waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
}

/// One change of a header. Names are lower-case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeaderChange {
    /// The header has this value alone.
    Set(String, String),
    /// The header has this value too.
    Add(String, String),
    /// The header goes.
    Remove(String),
}

/// The fields that frame a message or hold for one connection only: the proxies own them, and no [`HeaderChange`] may
/// touch them. Host is none of them, but can only be set, and only in a request.
const PROTECTED: [&str; 9] = [
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a header is the proxies' own, so that it cannot be changed.
#[must_use]
pub fn is_protected(name: &str) -> bool {
    PROTECTED.iter().any(|protected| name.eq_ignore_ascii_case(protected))
}

/// A change of the path; the query stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathRewrite {
    /// This path instead.
    Full(String),
    /// The first prefix, where the path has it at a boundary of segments, becomes the second.
    Prefix(String, String),
}

/// Where a client is sent. What is none stays as the client asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// `http` or `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// The host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathRewrite>,
}

/// Where a copy of requests goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// The Service, in the same namespace or as `NAMESPACE/NAME`; the copy goes to its endpoints of `port`.
    pub service: crate::ServiceKey,
    /// The Service's port.
    pub port: u16,
    /// The share of requests, in percent.
    pub percent: u32,
}

/// Failures on purpose. Where `only` is set, only for requests that match it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fault {
    /// Which requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<HeaderMatch>,
    /// A pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<FaultDelay>,
    /// An answer of the proxy's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort: Option<FaultAbort>,
}

/// A header with a value; any value where none is given. The name is lower-case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// The header's name.
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A pause before a request is forwarded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultDelay {
    /// For how long.
    #[serde(with = "milliseconds")]
    pub pause: Duration,
    /// The share of requests, in percent.
    pub percent: u32,
}

/// An answer instead of forwarding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultAbort {
    /// Its status.
    pub status: u16,
    /// The share of requests, in percent.
    pub percent: u32,
}

/// Which pages of other origins may call (the Fetch standard, "CORS protocol").
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cors {
    /// Origins such as `https://shop.example`; `*` for all, and one `*` label as in `https://*.example`.
    pub origins: Vec<String>,
    /// Methods, or `*`.
    pub methods: Vec<String>,
    /// Request headers, or `*`.
    pub headers: Vec<String>,
    /// Response headers that a page may read.
    pub expose: Vec<String>,
    /// Whether cookies may come along; needs origins that are named.
    pub credentials: bool,
    /// How long a browser may keep the answer, in seconds.
    pub max_age: Option<u32>,
}
