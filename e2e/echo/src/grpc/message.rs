//! The messages of the service, as a compiler of proto files would make them: that would need one.
//!
//! In: nothing. Out: types with their numbers on the wire.

use crate::answer::Answer;
use std::collections::HashMap;

/// What is asked.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Ask {
    /// Which message of its stream this is.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// What comes back as it is.
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: bytes::Bytes,
    /// How many replies to a call of `Server`.
    #[prost(uint64, tag = "3")]
    pub messages: u64,
    /// How long to wait between them.
    #[prost(uint64, tag = "4")]
    pub interval_ms: u64,
    /// The status after this message, if it is to be another than OK.
    #[prost(int32, tag = "5")]
    pub code: i32,
}

/// What is answered.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Reply {
    /// The number of the message that this answers, of this one, or of all; see the methods.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// The payload that was sent.
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: bytes::Bytes,
    /// The server's name.
    #[prost(string, tag = "3")]
    pub service: String,
    /// The server's pod.
    #[prost(string, tag = "4")]
    pub pod: String,
    /// The node it runs on.
    #[prost(string, tag = "5")]
    pub node: String,
    /// Who connected: the proxy where one was in between.
    #[prost(string, tag = "6")]
    pub peer: String,
    /// How many fields of metadata the call had.
    #[prost(uint64, tag = "7")]
    pub metadata_count: u64,
    /// They themselves, in the first reply of a call.
    #[prost(map = "string, string", tag = "8")]
    pub metadata: HashMap<String, String>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        let Reply { number: _, payload, service, pod, node, peer, metadata_count: _, metadata } = reply;
        let headers = metadata.into_iter().collect();
        Self { service, pod, node, peer, headers, body_bytes: payload.len(), ..Self::default() }
    }
}
