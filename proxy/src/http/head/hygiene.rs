//! Tells which fields concern one connection only, and are not forwarded (RFC 9110, section 7.6.1).
//!
//! In: a head. Out: for each field whether it goes on; and what the connection's own fields mean.

use super::{Head, Kind, elements};
use http::Version;

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

/// Whether a field may stand behind a body: one that frames or routes a message may not (RFC 9110, section 6.5.1), for
/// whoever merges trailers into the head would read another message.
#[must_use]
pub fn is_trailer(name: &[u8]) -> bool {
    Kind::of(name) == Kind::Other
}
