//! What the server says of itself and of the request.
//!
//! In: a request. Out: the answer, as JSON; clients read the same type.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr};

/// An answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    /// The server's name.
    pub service: String,
    /// The server's pod.
    pub pod: String,
    /// The node it runs on.
    pub node: String,
    /// Who connected: the proxy where one was in between.
    pub peer: String,
    /// The request's method.
    #[serde(default)]
    pub method: String,
    /// The request's path and query.
    #[serde(default)]
    pub path: String,
    /// The request's header fields.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The fields behind its body.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trailers: BTreeMap<String, String>,
    /// How many bytes its body had.
    #[serde(default)]
    pub body_bytes: usize,
    /// The answers of the servers that were called for this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<serde_json::Value>,
}

impl Answer {
    /// The same server's word to `peer`. An IPv4 peer of a dual-stack socket is shown as IPv4.
    pub fn to(&self, peer: SocketAddr) -> Self {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string();
        Self { peer, ..self.clone() }
    }

    /// One line of JSON.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n" // plain data always serializes
    }
}
