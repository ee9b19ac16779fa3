//! What middleware changes of a request and of its answer.
//!
//! In: the wishes of the steps, in their order. Out: [`Changes`], which the engine carries out on its own kind of head.

use http::{HeaderMap, HeaderName, HeaderValue};
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

/// What is to be done with a request that passed. An engine keeps one and clears it between requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// To the request's head.
    pub request: Vec<Edit>,
    /// To the head of the endpoint's answer.
    pub response: Vec<Edit>,
    /// Path and query to ask for instead.
    pub target: Option<String>,
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

/// Carries out edits on a map of headers.
pub fn apply(edits: &[Edit], headers: &mut HeaderMap) {
    for edit in edits {
        match edit {
            Edit::Set(name, value) => drop(headers.insert(name, value.clone())),
            Edit::Add(name, value) => drop(headers.append(name, value.clone())),
            Edit::Remove(name) => drop(headers.remove(name)),
            Edit::RemovePrefix(prefix) => {
                let gone: Vec<HeaderName> =
                    headers.keys().filter(|name| begins(name.as_str().as_bytes(), prefix)).cloned().collect();
                for name in gone {
                    headers.remove(name);
                }
            }
        }
    }
}

// === impl Changes ===

impl Changes {
    /// Makes it ready for the next request; what it has allocated stays.
    pub fn clear(&mut self) {
        let Self { request, response, target, delay, mirror } = self;
        request.clear();
        response.clear();
        (*target, *delay, *mirror) = (None, None, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, VARY};

    #[test]
    fn edits_are_applied_in_order() {
        let value = HeaderValue::from_static;
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, value("a"));
        headers.append(ACCEPT, value("b"));
        headers.append("x-one-1", value("1"));
        headers.append("x_one_2", value("2"));
        headers.append("x-on", value("3"));
        let edits = [
            Edit::Set(ACCEPT, value("c")),
            Edit::Add(ACCEPT, value("d")),
            Edit::Add(VARY, value("e")),
            Edit::Remove(VARY),
            Edit::RemovePrefix("x-one"),
            Edit::Add(HeaderName::from_static("x-one"), value("4")),
        ];
        apply(&edits, &mut headers);
        let all: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        assert_eq!(all, [("accept", "c"), ("accept", "d"), ("x-on", "3"), ("x-one", "4")]);
    }

    #[test]
    fn a_prefix_is_found_in_any_spelling() {
        for name in ["X-Forwarded-For", "x_forwarded_for", "x-forwarded-", "X_FORWARDED-Anything"] {
            assert!(begins(name.as_bytes(), "x-forwarded-"), "{name}");
        }
        for name in ["x-forwarded", "xx-forwarded-for", "x.forwarded-for", ""] {
            assert!(!begins(name.as_bytes(), "x-forwarded-"), "{name}");
        }
    }

    #[test]
    fn nothing_of_one_request_is_left_for_the_next() {
        let mut changes = Changes {
            request: vec![Edit::Remove(VARY)],
            response: vec![Edit::Remove(VARY)],
            target: Some("/".into()),
            delay: Some(Duration::from_secs(1)),
            mirror: true,
        };
        changes.clear();
        assert_eq!(changes, Changes::default());
    }
}
