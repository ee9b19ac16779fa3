//! What a request is matched by.
//!
//! In: the head of a request. Out: its method, its path and its fields.

use crate::middleware::Fields;
use http::Method;

/// What a request is matched by.
#[derive(Clone)]
pub struct Subject<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path as it came, without the query.
    pub path: &'a [u8],
    /// The same without dot segments, where it has some: what an endpoint may take it for.
    pub(super) plain: Option<Vec<u8>>,
    /// Its header fields.
    pub fields: &'a dyn Fields,
}

// === impl Subject ===

impl<'a> Subject<'a> {
    /// A request for `target`, which is a path and a query.
    #[must_use]
    pub fn new(method: &'a Method, target: &'a [u8], fields: &'a dyn Fields) -> Self {
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        Self { method, path, plain: plain(path), fields }
    }
}

/// A path without its dot segments, in whatever way these are written; none where it has none. Endpoints differ in what they
/// take for a separator and for a dot, so that all is taken for one that some endpoint takes for one.
fn plain(path: &[u8]) -> Option<Vec<u8>> {
    if !path.iter().any(|byte| matches!(byte, b'.' | b'%')) {
        return None;
    }
    let (mut kept, mut changed): (Vec<&[u8]>, bool) = (Vec::new(), false);
    let mut rest = Some(path);
    while let Some(path) = rest {
        let (segment, behind) = cut(path);
        rest = behind;
        match dots(segment) {
            0 => kept.push(segment),
            dots => {
                changed = true;
                // What is above the root is the root, whose segment is the empty one before the first separator.
                if dots == 2 && kept.len() > 1 {
                    kept.pop();
                }
                if rest.is_none() {
                    kept.push(b"");
                }
            }
        }
    }
    changed.then(|| kept.join(&b'/'))
}

/// The first segment, and what is behind its separator.
fn cut(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    for place in 0..path.len() {
        let behind = strip(&path[place..], &[b"/", b"\\", b"%2f", b"%5c"]);
        if behind.is_some() {
            return (&path[..place], behind);
        }
    }
    (path, None)
}

/// How many dots a segment consists of: 1 or 2, or 0 where it is another one. Some endpoints cut parameters off first.
fn dots(segment: &[u8]) -> usize {
    let mut rest = segment.split(|byte| *byte == b';').next().unwrap_or_default();
    let mut count = 0;
    while let Some(behind) = strip(rest, &[b".", b"%2e"]) {
        rest = behind;
        count += 1;
    }
    if rest.is_empty() && count <= 2 { count } else { 0 }
}

/// What follows one of these (lower-case) at the beginning.
fn strip<'a>(text: &'a [u8], begins: &[&[u8]]) -> Option<&'a [u8]> {
    begins.iter().find_map(|begin| {
        let (head, rest) = text.split_at_checked(begin.len())?;
        head.eq_ignore_ascii_case(begin).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_looked_at_without_dot_segments_too() {
        for (path, expected) in [
            ("/", None),
            ("/a.b/..c/.../x%20y", None),
            ("/a/../b", Some("/b")),
            ("/a/./b/", Some("/a/b/")),
            ("/a/b/..", Some("/a/")),
            ("/a/b/.", Some("/a/b/")),
            ("/../../a", Some("/a")),
            ("/a/%2e%2E/b", Some("/b")),
            ("/a/.%2e/b", Some("/b")),
            ("/a%2f..%2Fb", Some("/b")),
            ("/a\\..\\b", Some("/b")),
            ("/a/..;x=1/b", Some("/b")),
            ("/..", Some("/")),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(plain(path.as_bytes()).as_deref(), expected.map(str::as_bytes), "{path}");
        }
    }
}
