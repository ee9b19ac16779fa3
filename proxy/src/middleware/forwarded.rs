//! Tells the backend who called the proxy.
//!
//! In: a request. Out: `X-Forwarded-For`, `-Proto` and `-Host` from what the proxy knows. Nothing in the mesh decides by
//! any of these.
//!
//! - [`Forwarding::Overwrite`]: `Forwarded`, `X-Real-IP` and every `X-Forwarded-*` of the client's go, `-Port`, `-Prefix`
//!   and what else there is included: a backend must not take a pod's claim for the mesh's word.
//! - [`Forwarding::Trust`]: they are kept, with the client's address at the end, for Services that an ingress calls.
//!
//! `Forwarded` (RFC 7239) is written only where the client sent one: it says nothing that `X-Forwarded-*` do not, most
//! backends read those, and a backend that reads it has a client that speaks it.

use super::{Changes, Client, Edit, Fields, Request};
use http::{HeaderName, HeaderValue, header::FORWARDED};
use std::net::IpAddr;
use weft_contract::policy::Forwarding;

/// What a client may have forged, `Forwarded` aside.
const FORGED: [&str; 2] = ["x-forwarded-", "x-real-ip"];
const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What clients of the mesh speak with the proxy.
const HTTP: HeaderValue = HeaderValue::from_static("http");

pub(super) fn pass(forwarding: Forwarding, request: &Request<'_>, changes: &mut Changes) {
    match forwarding {
        Forwarding::Overwrite => overwrite(request, &mut changes.request),
        Forwarding::Trust => trust(request, &mut changes.request),
    }
}

fn overwrite(request: &Request<'_>, edits: &mut Vec<Edit>) {
    edits.reserve(FORGED.len() + 4); // at once, for this is on every request's way
    edits.extend(FORGED.map(Edit::RemovePrefix));
    if request.fields.contains("forwarded") {
        edits.push(match HeaderValue::try_from(element(request.client, request.host)) {
            Ok(value) => Edit::Set(FORWARDED, value),
            Err(_) => Edit::Remove(FORWARDED),
        });
    }
    // Added, not set: none is left, and an engine need not look again.
    edits.push(Edit::Add(FOR, request.client.value.clone()));
    edits.push(Edit::Add(PROTO, HTTP));
    edits.extend(host(request).map(|value| Edit::Add(HOST, value)));
}

fn trust(request: &Request<'_>, edits: &mut Vec<Edit>) {
    let fields = request.fields;
    edits.extend(appended(fields, "x-forwarded-for", request.client.value.as_bytes(), FOR));
    if !fields.contains("x-forwarded-proto") {
        edits.push(Edit::Add(PROTO, HTTP));
    }
    if !fields.contains("x-forwarded-host") {
        edits.extend(host(request).map(|value| Edit::Add(HOST, value)));
    }
    if fields.contains("forwarded") {
        let element = element(request.client, request.host);
        edits.extend(appended(fields, "forwarded", &element, FORWARDED));
    }
}

/// One line of what all lines of `name` say, with `last` at the end: many backends read only the first line.
fn appended(fields: &dyn Fields, name: &str, last: &[u8], header: HeaderName) -> Option<Edit> {
    let mut chain: Vec<u8> = Vec::new();
    fields.each(name, &mut |before| {
        if !before.is_empty() {
            chain.extend_from_slice(before);
            chain.extend_from_slice(b", ");
        }
    });
    chain.extend_from_slice(last);
    HeaderValue::try_from(chain).ok().map(|value| Edit::Set(header, value))
}

/// The host that the client asked for.
fn host(request: &Request<'_>) -> Option<HeaderValue> {
    request.host.filter(|host| !host.is_empty()).and_then(|host| HeaderValue::from_bytes(host).ok())
}

/// What the proxy knows, as an element of `Forwarded`.
fn element(client: &Client, host: Option<&[u8]>) -> Vec<u8> {
    let mut element = b"for=".to_vec();
    match client.address {
        IpAddr::V4(_) => element.extend_from_slice(client.value.as_bytes()),
        IpAddr::V6(address) => element.extend_from_slice(format!("\"[{address}]\"").as_bytes()),
    }
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        element.extend_from_slice(b";host=");
        push_value(&mut element, host);
    }
    element.extend_from_slice(b";proto=http");
    element
}

/// A token as it stands, anything else (a host with a port) as a quoted string.
fn push_value(element: &mut Vec<u8>, value: &[u8]) {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if value.iter().all(is_token) {
        return element.extend_from_slice(value);
    }
    element.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            element.push(b'\\');
        }
        element.push(*byte);
    }
    element.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::fixture::{Scene, lines};
    use proptest::prelude::*;
    use weft_contract::Policy;

    fn trusting() -> Policy {
        Policy { forwarding: Forwarding::Trust, ..Policy::default() }
    }

    #[test]
    fn the_backend_learns_what_the_proxy_knows() {
        let received = Scene::get("/").received(&Policy::default());
        assert_eq!(
            lines(&received),
            [
                ("host", "web.shop.mesh"),
                ("x-forwarded-for", "10.1.2.3"),
                ("x-forwarded-host", "web.shop.mesh"),
                ("x-forwarded-proto", "http"),
            ]
        );
    }

    #[test]
    fn forwarded_is_written_for_clients_that_speak_it() {
        let cases = [
            ("::ffff:10.1.2.3", "web.shop.mesh", "for=10.1.2.3;host=web.shop.mesh;proto=http"),
            ("10.1.2.3", "web:80", "for=10.1.2.3;host=\"web:80\";proto=http"),
            ("fd00::1", "[fd00::2]", "for=\"[fd00::1]\";host=\"[fd00::2]\";proto=http"),
            ("fd00::1", "", "for=\"[fd00::1]\";proto=http"),
            ("10.1.2.3", "a\"b\\c", "for=10.1.2.3;host=\"a\\\"b\\\\c\";proto=http"),
        ];
        for (client, host, expected) in cases {
            let mut scene = Scene::get("/").with("forwarded", "for=6.6.6.6").with("host", host);
            scene.client = Client::new(client.parse().unwrap());
            let received = scene.received(&Policy::default());
            assert_eq!(received.get_all("forwarded").iter().collect::<Vec<_>>(), [expected]);
            let chain = scene.received(&trusting()).get("forwarded").unwrap().clone();
            assert_eq!(chain, format!("for=6.6.6.6, {expected}"));
        }
    }

    #[test]
    fn where_it_is_trusted_the_last_address_is_the_proxys_word() {
        let received = Scene::get("/").received(&trusting());
        assert_eq!(received["x-forwarded-for"], "10.1.2.3");
        assert_eq!(received["x-forwarded-proto"], "http");
        assert_eq!(received["x-forwarded-host"], "web.shop.mesh");
        let ingress = Scene::get("/")
            .with("x-forwarded-for", "6.6.6.6")
            .with("x-forwarded-for", "7.7.7.7")
            .with("x-forwarded-proto", "https")
            .with("x-forwarded-host", "shop.example")
            .with("x-forwarded-port", "443")
            .with("x-real-ip", "6.6.6.6")
            .received(&trusting());
        assert_eq!(
            lines(&ingress),
            [
                ("host", "web.shop.mesh"),
                ("x-forwarded-for", "6.6.6.6, 7.7.7.7, 10.1.2.3"),
                ("x-forwarded-host", "shop.example"),
                ("x-forwarded-port", "443"),
                ("x-forwarded-proto", "https"),
                ("x-real-ip", "6.6.6.6"),
            ]
        );
    }

    proptest! {
        #[test]
        fn nothing_forged_survives(
            names in prop::collection::vec(
                "[Xx][-_][Ff]orwarded[-_][a-zA-Z_-]{1,12}|[xX][-_]real[_-]ip|forwarded|Forwarded", 0..8),
            values in prop::collection::vec("[ -~]{0,20}", 8),
        ) {
            let mut scene = Scene::get("/").with("accept", "forged, but kept");
            for (name, value) in names.iter().zip(&values) {
                scene = scene.with(name, &format!("forged{value}"));
            }
            let received = scene.received(&Policy::default());
            for (name, value) in lines(&received) {
                prop_assert!(name == "accept" || !value.contains("forged"), "{name}: {value}");
            }
            prop_assert_eq!(received.get_all("x-forwarded-for").iter().count(), 1);
            prop_assert_eq!(&received["x-forwarded-for"], "10.1.2.3");
            prop_assert_eq!(received.get("accept").unwrap(), "forged, but kept");
        }
    }
}
