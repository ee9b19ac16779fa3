//! A WebSocket's handshake with an endpoint of HTTP/2 (RFC 8441).
//!
//! In: a request that asks for a WebSocket, in the way of HTTP/1 or of HTTP/2; and the endpoint's answer. Out: the answer as
//! HTTP/1 would have it, which is the one form that the way works on.

use super::{Head, Kind, Line, RequestHead, ResponseHead, is_named};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::BytesMut;
use sha1::{Digest, Sha1};

/// The name in `Upgrade` and in `:protocol`.
pub const PROTOCOL: &str = "websocket";
const ACCEPT: &str = "sec-websocket-accept";
/// What shows that an answer is meant for this handshake (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A handshake that was begun; with the proof that a client of HTTP/1 waits for, if it has sent a key.
#[derive(Debug)]
pub struct Handshake(Option<String>);

/// Whether a protocol is this one.
#[must_use]
pub fn is_websocket(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(PROTOCOL.as_bytes())
}

// === impl Handshake ===

impl Handshake {
    /// Begins one, for this request.
    #[must_use]
    pub fn begin(request: &RequestHead) -> Self {
        Self(request.head.get("sec-websocket-key").map(accept))
    }

    /// What the way is told of an agreement: what HTTP/1 says, and not what means nothing in an answer to CONNECT (RFC 9110,
    /// section 9.3.6).
    #[must_use]
    pub fn agree(&self, response: ResponseHead) -> ResponseHead {
        let Head { block, mut lines } = response.head;
        lines.retain(|line| {
            let name = &block[line.start as usize..line.name_end as usize];
            line.kind != Kind::ContentLength && !is_named(name, ACCEPT)
        });
        let mut head = Head { block, lines };
        if let Some(accept) = &self.0 {
            let mut block = BytesMut::from(&head.block[..]);
            head.lines.push(Line::write(&mut block, ACCEPT.as_bytes(), accept.as_bytes(), false));
            head.block = block.freeze();
        }
        ResponseHead { status: 101, head, ..response }
    }
}

/// The proof that belongs to a key (RFC 6455, section 4.2.2).
fn accept(key: &[u8]) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    STANDARD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::parse::{self, Bounds};

    const BOUNDS: Bounds = Bounds { bytes: 4096, fields: 64 };

    fn request(lines: &str) -> RequestHead {
        let text = format!("GET /chat HTTP/1.1\r\n{lines}\r\n");
        parse::request(&mut BytesMut::from(text.as_str()), BOUNDS).unwrap().unwrap()
    }

    fn agreed(handshake: &Handshake, lines: &str) -> Vec<(String, String)> {
        let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        let response = parse::response(&mut BytesMut::from(text.as_str()), BOUNDS).unwrap().unwrap();
        let response = handshake.agree(response);
        assert_eq!(response.status, 101);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        response.head.fields().map(|(name, value, _)| (text(name), text(value))).collect()
    }

    #[test]
    fn an_agreement_has_the_proof_that_belongs_to_the_key() {
        let handshake = Handshake::begin(&request("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
        let lines = "content-length: 7\r\nsec-websocket-protocol: chat\r\nSec-WebSocket-Accept: forged\r\n";
        // The example of RFC 6455, section 1.3.
        let proof = ("sec-websocket-accept".into(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into());
        let protocol = ("sec-websocket-protocol".into(), "chat".into());
        assert_eq!(agreed(&handshake, lines), [protocol, proof]);
    }

    #[test]
    fn without_a_key_there_is_no_proof_whatever_the_endpoint_says() {
        let handshake = Handshake::begin(&request(""));
        assert_eq!(agreed(&handshake, "Sec-WebSocket-Accept: forged\r\n"), []);
        assert!(is_websocket(b"WebSocket") && !is_websocket(b"connect-udp"));
    }
}
