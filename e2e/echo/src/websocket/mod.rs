//! WebSockets (RFC 6455).
//!
//! In: requests for one, or a URL of one. Out: every message comes back as it was; who answered stands in the header of
//! the handshake. The client demands its messages back, and connects again where it should.

mod call;
mod serve;

pub use call::run;
pub use serve::serve;

/// The fields of the handshake's answer that say what [`crate::answer::Answer`] says elsewhere.
const SERVICE: &str = "echo-service";
const POD: &str = "echo-pod";
const NODE: &str = "echo-node";
const PEER: &str = "echo-peer";
