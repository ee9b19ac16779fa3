//! What endpoints speak, and how to trust them.

use serde::{Deserialize, Serialize};

/// What the endpoints of an HTTP port speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/2 without TLS, from the first byte.
    H2c,
    /// TLS; HTTP/2 where the endpoint offers it (ALPN), else HTTP/1.1.
    Https,
}

/// How endpoints that speak TLS are verified. They always are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpstreamTls {
    /// Certificates to trust, PEM. Without any, no endpoint can be verified and requests are answered 502.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The name that an endpoint's certificate must have; by default `NAME.NAMESPACE.svc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}
