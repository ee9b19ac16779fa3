//! How connections and datagrams are carried that are not HTTP.

use super::milliseconds;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How TCP connections are carried, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Connections {
    /// Whether endpoints are told the client's address by PROXY protocol version 2.
    pub proxy_protocol: bool,
    /// How long a connection may rest; none is for ever, with TCP keepalive.
    #[serde(with = "milliseconds::option", skip_serializing_if = "Option::is_none")]
    pub idle: Option<Duration>,
    /// How long a connection goes on after its endpoint has gone from the Service; none is until it ends by itself.
    #[serde(with = "milliseconds::option", skip_serializing_if = "Option::is_none")]
    pub drain: Option<Duration>,
    /// How many connections to one port of the Service each node's proxy carries; 0 is no bound.
    pub service: u32,
    /// How many of these may come from one client address; 0 is no bound.
    pub source: u32,
}

/// How UDP datagrams are carried: a session for each client address and port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sessions {
    /// How long a session rests before it is forgotten.
    #[serde(with = "milliseconds")]
    pub idle: Duration,
    /// How many sessions to one port of the Service each node's proxy holds; the one that has rested longest goes first.
    pub service: u32,
    /// How many of these one client address may have.
    pub source: u32,
}

impl Default for Connections {
    fn default() -> Self {
        // One pod that runs wild must leave room for the others of its node.
        Self { proxy_protocol: false, idle: None, drain: None, service: 0, source: 10_000 }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self { idle: Duration::from_secs(30), service: 16_384, source: 4_096 }
    }
}
