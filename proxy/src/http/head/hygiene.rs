//! Tells which fields concern one connection only, and are not forwarded (RFC 9110, section 7.6.1).
//!
//! In: a head. Out: for each field whether it goes on; and what the connection's own fields mean.

use super::{Head, Kind, elements};
use crate::middleware::begins;
use http::{HeaderMap, HeaderName, Version, header};

/// What the connection's own fields of a head say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// The connection ends after this message.
    pub close: bool,
    /// The sender takes trailers.
    pub trailers: bool,
    /// The sender wants another protocol on this connection.
    pub upgrade: bool,
    /// `Connection` names fields beyond the known ones, which go as well.
    pub names_others: bool,
}

/// What the connection's own fields say.
#[must_use]
pub fn hop(head: &Head, version: Version) -> Hop {
    let mut hop = Hop { close: version == Version::HTTP_10, ..Hop::default() };
    let mut named_upgrade = false;
    for (_, value, kind) in head.fields() {
        match kind {
            Kind::Connection => {
                for option in elements(value) {
                    if option.eq_ignore_ascii_case(b"close") {
                        hop.close = true;
                    } else if option.eq_ignore_ascii_case(b"keep-alive") {
                        hop.close &= version != Version::HTTP_10;
                    } else if option.eq_ignore_ascii_case(b"upgrade") {
                        named_upgrade = true;
                    } else {
                        hop.names_others = true;
                    }
                }
            }
            Kind::Te => {
                hop.trailers |= elements(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
            }
            Kind::Upgrade => hop.upgrade = true,
            Kind::Other
            | Kind::Host
            | Kind::ContentLength
            | Kind::TransferEncoding
            | Kind::KeepAlive
            | Kind::ProxyConnection
            | Kind::Http2Settings
            | Kind::Expect => {}
        }
    }
    hop.upgrade &= named_upgrade && version == Version::HTTP_11;
    hop
}

/// Whether a field concerns the connection only.
#[must_use]
pub fn is_hop_by_hop(head: &Head, name: &[u8], kind: Kind, hop: &Hop) -> bool {
    match kind {
        Kind::Connection
        | Kind::TransferEncoding
        | Kind::Te
        | Kind::Upgrade
        | Kind::KeepAlive
        | Kind::ProxyConnection
        | Kind::Http2Settings => true,
        // Whoever names one of these in Connection would have it lost on the way.
        Kind::Host | Kind::ContentLength => false,
        Kind::Expect | Kind::Other => {
            hop.names_others
                && head
                    .of_kind(Kind::Connection)
                    .flat_map(elements)
                    .any(|option| option.eq_ignore_ascii_case(name))
        }
    }
}

/// Fields that decide about a message before its body comes: how it is framed, where it goes, who sent it, what it is.
const BEFORE: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::FORWARDED,
    header::PROXY_AUTHORIZATION,
    header::SET_COOKIE,
    header::TRAILER,
];

/// Whether a field may stand behind a body (RFC 9110, section 6.5.1). Some receivers merge trailers into the head, so that
/// one of those would be smuggled past whoever looked at the head.
#[must_use]
pub fn may_trail(name: &HeaderName) -> bool {
    let bytes = name.as_str().as_bytes();
    Kind::of(bytes) == Kind::Other
        && !BEFORE.contains(name)
        && !begins(bytes, "x-forwarded-")
        && !begins(bytes, "x-real-ip")
}

/// Trailers without what may not stand there.
#[must_use]
pub fn trailing(mut fields: HeaderMap) -> HeaderMap {
    if !fields.keys().all(may_trail) {
        let bad: Vec<HeaderName> = fields.keys().filter(|name| !may_trail(name)).cloned().collect();
        for name in bad {
            fields.remove(name);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::parse::{self, Bounds};
    use bytes::BytesMut;

    fn head(version: &str, lines: &str) -> (Head, Hop) {
        let text = format!("GET / HTTP/{version}\r\n{lines}\r\n");
        let bounds = Bounds { bytes: 4096, fields: 64 };
        let request = parse::request(&mut BytesMut::from(text.as_str()), bounds).unwrap().unwrap();
        let hop = hop(&request.head, request.version);
        (request.head, hop)
    }

    #[test]
    fn a_connection_lasts_as_its_version_and_fields_say() {
        let cases = [
            ("1.1", "", false),
            ("1.1", "Connection: close\r\n", true),
            ("1.1", "Connection: x, CLOSE\r\n", true),
            ("1.1", "Connection: keep-alive, close\r\n", true),
            ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", true),
            ("1.0", "", true),
            ("1.0", "Connection: Keep-Alive\r\n", false),
        ];
        for (version, lines, close) in cases {
            assert_eq!(head(version, lines).1.close, close, "{version} {lines}");
        }
    }

    #[test]
    fn another_protocol_is_wanted_where_both_fields_say_so() {
        let both = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
        assert!(head("1.1", both).1.upgrade);
        assert!(!head("1.0", both).1.upgrade);
        assert!(!head("1.1", "Upgrade: websocket\r\n").1.upgrade);
        assert!(!head("1.1", "Connection: upgrade\r\n").1.upgrade);
        assert!(head("1.1", "TE: gzip, Trailers\r\n").1.trailers);
        assert!(!head("1.1", "TE: gzip\r\n").1.trailers);
    }

    #[test]
    fn what_the_connection_names_goes_but_for_what_a_message_needs() {
        let lines = "Host: a\r\nConnection: x-one, host, content-length, expect\r\nConnection: X-TWO,,\r\n\
            x-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\nContent-Length: 4\r\nExpect: 5\r\nTE: 6\r\nTransfer-Encoding: 7\r\n\
            Upgrade: 8\r\nKeep-Alive: 9\r\nProxy-Connection: 10\r\nHTTP2-Settings: 11\r\n";
        let (head, hop) = head("1.1", lines);
        let stays = |(name, _, kind): &(&[u8], &[u8], Kind)| !is_hop_by_hop(&head, name, *kind, &hop);
        let staying: Vec<_> = head.fields().filter(stays).map(|(name, _, _)| name).collect();
        assert_eq!(staying, [&b"Host"[..], b"X-Three", b"Content-Length"]);
    }

    #[test]
    fn trailers_decide_nothing() {
        let mut fields = HeaderMap::new();
        let sent = [
            "grpc-status",
            "x-sum",
            "etag",
            "content-length",
            "transfer-encoding",
            "host",
            "connection",
            "te",
            "upgrade",
            "keep-alive",
            "trailer",
            "content-type",
            "authorization",
            "cookie",
            "x-forwarded-for",
            "x_forwarded_host",
            "x-real-ip",
            "forwarded",
            "expect",
            "set-cookie",
            "content-encoding",
            "content-range",
        ];
        for name in sent {
            fields.append(name, "1".parse().unwrap());
            fields.append(name, "2".parse().unwrap());
        }
        let kept = trailing(fields);
        let kept: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        assert_eq!(kept, ["grpc-status", "x-sum", "etag"]);
    }
}
