//! A WebSocket's handshake with an endpoint of HTTP/2 (RFC 8441).
//!
//! In: a request that asks for a WebSocket, in the way of HTTP/1 or of HTTP/2; and the endpoint's answer. Out: the request as
//! an extended CONNECT; and the answer as HTTP/1 would have it, which is the one form that the way works on.

use super::ResponseHead;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use h2::ext::Protocol;
use http::{
    HeaderMap, HeaderValue, Method, Request,
    header::{CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY},
};
use sha1::{Digest, Sha1};

/// The name in `Upgrade` and in `:protocol`.
const PROTOCOL: &str = "websocket";
/// What shows that an answer is meant for this handshake (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A handshake that was begun; with the proof that a client of HTTP/1 waits for, if it has sent a key.
#[derive(Debug)]
pub struct Handshake(Option<HeaderValue>);

/// Whether a protocol is this one.
#[must_use]
pub fn is_websocket(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(PROTOCOL.as_bytes())
}

// === impl Handshake ===

impl Handshake {
    /// Makes a request an extended CONNECT. The key is HTTP/1's alone (RFC 8441, section 5).
    #[must_use]
    pub fn begin(request: &mut Request<()>) -> Self {
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static(PROTOCOL));
        let key = request.headers_mut().remove(SEC_WEBSOCKET_KEY);
        Self(key.and_then(|key| accept(key.as_bytes())))
    }

    /// What the way is told of an agreement: what HTTP/1 says, and not what means nothing in an answer to CONNECT (RFC 9110,
    /// section 9.3.6).
    pub fn agree(&self, fields: &mut HeaderMap) {
        fields.remove(CONTENT_LENGTH);
        fields.remove(SEC_WEBSOCKET_ACCEPT);
        if let Some(accept) = &self.0 {
            fields.insert(SEC_WEBSOCKET_ACCEPT, accept.clone());
        }
    }
}

impl ResponseHead {
    /// The same, as a change to another protocol.
    #[must_use]
    pub fn switching(self) -> Self {
        Self { status: 101, ..self }
    }
}

/// The proof that belongs to a key (RFC 6455, section 4.2.2).
fn accept(key: &[u8]) -> Option<HeaderValue> {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::try_from(STANDARD.encode(digest)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_becomes_an_extended_connect_and_its_key_a_proof() {
        let uri = "http://web.shop.mesh/chat?room=1";
        let mut request =
            Request::get(uri).header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==").body(()).unwrap();
        let handshake = Handshake::begin(&mut request);
        assert_eq!((request.method(), request.uri()), (&Method::CONNECT, &uri.parse().unwrap()));
        assert_eq!(request.extensions().get::<Protocol>().unwrap().as_str(), "websocket");
        assert!(request.headers().is_empty());
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
        fields.insert("sec-websocket-protocol", HeaderValue::from_static("chat"));
        handshake.agree(&mut fields);
        // The example of RFC 6455, section 1.3.
        assert_eq!(fields[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!((fields.len(), fields["sec-websocket-protocol"].as_bytes()), (2, &b"chat"[..]));
    }

    #[test]
    fn without_a_key_there_is_no_proof_whatever_the_endpoint_says() {
        let handshake = Handshake::begin(&mut Request::new(()));
        let mut fields = HeaderMap::new();
        fields.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("forged"));
        handshake.agree(&mut fields);
        assert!(fields.is_empty());
        assert!(is_websocket(b"WebSocket") && !is_websocket(b"connect-udp"));
    }
}
