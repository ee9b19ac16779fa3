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
