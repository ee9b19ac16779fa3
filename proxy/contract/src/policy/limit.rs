//! How much is let through.

use super::milliseconds;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many requests a second are let through; a token bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// Requests a second in the long run; at least 1.
    pub average: u32,
    /// Requests that may come at once; at least 1.
    pub burst: u32,
    /// What has a bucket of its own.
    #[serde(default)]
    pub key: RateLimitKey,
    /// Where it counts.
    #[serde(default)]
    pub scope: RateLimitScope,
    /// With [`RateLimitScope::Cluster`]: by how many proxies average and burst are divided; at least 1.
    #[serde(default = "one")]
    pub proxies: u32,
}

/// What has a bucket of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RateLimitKey {
    /// Each client address, as in Maesh.
    #[default]
    SourceAddress,
    /// The Service as a whole.
    Service,
    /// Each value of the header of this (lower-case) name; requests without it share one.
    Header(String),
    /// Each ServiceAccount of calling pods; what is no known pod counts by its address.
    ServiceAccount,
}

/// Where a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateLimitScope {
    /// In each node's proxy for itself.
    #[default]
    Node,
    /// Over all proxies that carry the Service's traffic, each with an equal share.
    Cluster,
}

/// How many requests may be under way; 0 is no bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bulkhead {
    /// To the Service, in each node's proxy.
    pub service: u32,
    /// From one client address to the Service.
    pub source: u32,
    /// To one endpoint, from each node's proxy.
    pub endpoint: u32,
    /// How many may wait for their turn when a bound is reached.
    pub queue: u32,
    /// How long they may.
    #[serde(with = "milliseconds")]
    pub queue_timeout: Duration,
}

/// What a client may send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestLimits {
    /// Bytes of a head, request line included.
    pub head_bytes: u32,
    /// Header fields.
    pub header_count: u32,
    /// Bytes of a body; 0 is no bound.
    pub body_bytes: u64,
    /// Until a head that has begun is complete.
    #[serde(with = "milliseconds")]
    pub head_timeout: Duration,
    /// Without a byte of a body that is awaited.
    #[serde(with = "milliseconds")]
    pub body_timeout: Duration,
}

/// What becomes of `Forwarded` and `X-Forwarded-*` that a client sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forwarding {
    /// Dropped: what the proxy knows takes their place.
    #[default]
    Overwrite,
    /// Kept, with the client's address at the end: for Services that are called by an ingress.
    Trust,
}

fn one() -> u32 {
    1
}

impl Default for Bulkhead {
    fn default() -> Self {
        Self {
            service: 10_000,
            // One pod that runs wild must leave room for the others of its node.
            source: 2_000,
            endpoint: 0,
            queue: 1_000,
            queue_timeout: Duration::from_secs(1),
        }
    }
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            // Above what common servers take (8 to 64 KiB), so that it is the backend's own limit that a client meets.
            head_bytes: 64 * 1024,
            header_count: 256,
            body_bytes: 0,
            head_timeout: Duration::from_secs(10),
            // Long, for uploads may wait for a person; bounded, for a client that stands still holds an endpoint.
            body_timeout: Duration::from_secs(300),
        }
    }
}
