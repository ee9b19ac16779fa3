//! The contract between Weft's operator and the proxies.
//!
//! In: nothing but plain data. Out: the types of a node's configuration, their one encoding, the rules
//! that both sides hold them to, the names of the objects that carry them, and the proxy's answer.
//!
//! ```text
//! operator: topology --render--> NodeConfiguration --encode--> ConfigMap "weft-node-NODE"
//! proxy:    ConfigMap --decode, check--> NodeConfiguration --compile--> plan
//! proxy:    GET /revision on the admin port --> Confirmation --> operator
//! ```
//!
//! This crate depends on serde, not on Kubernetes or tokio. A field may be added at any time
//! (readers ignore what they do not know); a change that an old reader would misread raises [`SCHEMA`].

mod access;
mod check;
mod codec;
mod configuration;
mod confirmation;
pub mod expression;
mod matching;
pub mod object;
pub mod policy;
mod split;

pub use access::{AccessControl, AccessMode, Grant, PodPort, Principal, PrincipalKind};
pub use check::{Violation, check};
pub use codec::{Body, DecodeError, Encoded, LIMIT_BYTES, READABLE_BYTES, decode, encode, fingerprint};
pub use configuration::{
    Endpoint, Hints, Listener, NodeConfiguration, Port, Protocol, SCHEMA, Service, ServiceKey, SniRoute,
    Source, Transport,
};
pub use confirmation::{Caller, Confirmation, Denial, ListenerFailure, MOST_DENIALS, Rejection, Trip};
pub use matching::{HeaderRegex, HttpMatch, REGEX_BYTES};
pub use policy::Policy;
pub use split::{Split, SplitBackend, SplitSticky};
