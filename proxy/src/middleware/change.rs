//! What middleware changes of a request and of its answer.
//!
//! In: the wishes of the steps, in their order. Out: [`Changes`], which the engine carries out on its own kind of head.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::time::Duration;

/// One change of a head. They are applied in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// This line takes the place of all lines of its name. Where the name is Host, HTTP/2 says `:authority`.
    Set(HeaderName, HeaderValue),
    /// This line comes besides those of its name.
    Add(HeaderName, HeaderValue),
    /// All lines of this name go.
    Remove(HeaderName),
    /// All lines go whose names begin so, as [`begins`] tells.
    RemovePrefix(&'static str),
}

/// What is to be done with a request that passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// To the request's head.
    pub request: Vec<Edit>,
    /// To the head of the endpoint's answer.
    pub response: Vec<Edit>,
    /// Path and query to ask for instead.
    pub target: Option<Bytes>,
    /// A pause first: before forwarding, and before an answer that [`super::Chain::pass`] gives.
    pub delay: Option<Duration>,
    /// Whether a copy goes to the mirror.
    pub mirror: bool,
}

/// Whether a field's name begins with `prefix`, which is lower-case. `_` counts as `-`, for servers that make variables of
/// names (CGI, WSGI, PHP) do not tell them apart: what is dropped under one spelling must not get through under another.
#[must_use]
pub fn begins(name: &[u8], prefix: &str) -> bool {
    name.len() >= prefix.len()
        && name.iter().zip(prefix.bytes()).all(|(byte, wanted)| {
            let byte = byte.to_ascii_lowercase();
            byte == wanted || (wanted == b'-' && byte == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_found_in_any_spelling() {
        for name in ["X-Forwarded-For", "x_forwarded_for", "x-forwarded-", "X_FORWARDED-Anything"] {
            assert!(begins(name.as_bytes(), "x-forwarded-"), "{name}");
        }
        for name in ["x-forwarded", "xx-forwarded-for", "x.forwarded-for", ""] {
            assert!(!begins(name.as_bytes(), "x-forwarded-"), "{name}");
        }
    }
}
