//! Changes the path that is asked for.
//!
//! In: a target, path and query. Out: another one with the same query, by Gateway API's rules for `ReplaceFullPath` and
//! `ReplacePrefixMatch`: a prefix ends at a boundary of segments, and a slash at its end does not count.

use std::fmt::Write;
use weft_contract::policy::PathRewrite;

/// A change of the path, made ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rewrite {
    /// This path instead.
    Full(String),
    /// The prefix, without a slash at its end, and what takes its place.
    Prefix(String, String),
}

// === impl Rewrite ===

impl Rewrite {
    pub(super) fn new(rewrite: &PathRewrite) -> Self {
        match rewrite {
            PathRewrite::Full(path) => Self::Full(absolute(path)),
            PathRewrite::Prefix(prefix, with) => {
                Self::Prefix(prefix.trim_end_matches('/').to_owned(), absolute(with))
            }
        }
    }

    /// The target to ask for instead; none where this one stays. `OPTIONS *` has no path to change.
    pub(super) fn apply(&self, target: &str) -> Option<String> {
        let (path, query) = split(target);
        if !path.starts_with('/') {
            return None;
        }
        match self {
            Self::Full(instead) => Some(format!("{instead}{query}")),
            Self::Prefix(prefix, with) => {
                let rest = path.strip_prefix(prefix.as_str())?;
                if rest.is_empty() {
                    return Some(format!("{with}{query}"));
                }
                if !rest.starts_with('/') {
                    return None;
                }
                // The rest brings the slash between the two.
                Some(format!("{}{rest}{query}", with.trim_end_matches('/')))
            }
        }
    }
}

/// The path, and the query with its question mark.
fn split(target: &str) -> (&str, &str) {
    target.split_at(target.find('?').unwrap_or(target.len()))
}

/// A path that can stand in a request line: with a slash first, and what would end it there encoded.
fn absolute(path: &str) -> String {
    let mut absolute = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        absolute.push('/');
    }
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"' | b'<' | b'>') {
            absolute.push(char::from(byte));
        } else {
            let _ = write!(absolute, "%{byte:02X}"); // writing to a String cannot fail
        }
    }
    absolute
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(from: &str, to: &str) -> Rewrite {
        Rewrite::new(&PathRewrite::Prefix(from.into(), to.into()))
    }

    #[test]
    fn a_prefix_is_replaced_by_gateway_apis_table() {
        let cases = [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            // Beyond the table.
            ("/foo", "/foo/", "/xyz", "/xyz"),
            ("/bar", "/", "/xyz", "/xyz/bar"),
            ("/", "/", "/xyz", "/xyz/"),
            ("/foo/bar?a=/foo", "/foo", "/xyz", "/xyz/bar?a=/foo"),
            ("/foo?a=b", "/foo", "/xyz", "/xyz?a=b"),
            ("/foo?", "/foo", "/xyz", "/xyz?"),
            ("/foo/bar", "/foo", "xyz", "/xyz/bar"),
            ("/foo//bar", "/foo", "/xyz", "/xyz//bar"),
        ];
        for (target, from, to, expected) in cases {
            assert_eq!(prefix(from, to).apply(target).as_deref(), Some(expected), "{target}: {from} -> {to}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_boundary() {
        for target in ["/food", "/food/foo", "/bar/foo", "/", "*", "/Foo", "/bar?/foo", "foo", ""] {
            assert_eq!(prefix("/foo", "/xyz").apply(target), None, "{target}");
        }
    }

    #[test]
    fn a_full_path_keeps_the_query() {
        let full = |path: &str, target: &str| Rewrite::new(&PathRewrite::Full(path.into())).apply(target);
        assert_eq!(full("/new", "/old/path?a=b").as_deref(), Some("/new?a=b"));
        assert_eq!(full("/new", "/old").as_deref(), Some("/new"));
        assert_eq!(full("", "/old?").as_deref(), Some("/?"));
        assert_eq!(full("/new", "*"), None);
    }

    #[test]
    fn a_configuration_cannot_break_a_request_line() {
        let rewrite = Rewrite::new(&PathRewrite::Full("/a b\r\nx: y?z#ü%20".into()));
        assert_eq!(rewrite.apply("/").as_deref(), Some("/a%20b%0D%0Ax:%20y%3Fz%23%C3%BC%20"));
    }

    proptest! {
        #[test]
        fn a_target_begins_with_a_slash_and_keeps_its_query(
            from in "[/a]{0,4}", to in "\\PC{0,4}|[/a ]{0,4}", path in "/[/ab]{0,6}|[*]", query in "(\\?[/a?=]{0,4})?",
            full in any::<bool>(),
        ) {
            let rewrite = if full { PathRewrite::Full(to) } else { PathRewrite::Prefix(from, to) };
            if let Some(target) = Rewrite::new(&rewrite).apply(&format!("{path}{query}")) {
                prop_assert!(target.starts_with('/'), "{target}");
                prop_assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{target}");
                prop_assert_eq!(split(&target).1, query);
            }
        }
    }
}
