//! What a request meets on its way.

use super::*;
use crate::route::Target;
use weft_contract::ServiceKey;

fn passed(
    version: Version,
    headers: &[(&'static str, &'static str)],
    head_bytes: usize,
) -> Result<Edits, Answer> {
    let map: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let service = Target { service: ServiceKey::new("shop", "web"), port: 80, listener: 10_000 };
    let client = "::ffff:10.1.2.3".parse().unwrap();
    pass(&Request { version, headers: &map, head_bytes, client, service: &service })
}

fn edit<'a>(edits: &'a Edits, name: &str) -> Option<&'a str> {
    let (_, value) = edits.iter().find(|(edited, _)| edited == name)?;
    Some(value.as_ref().map_or("", |value| value.to_str().unwrap()))
}

#[test]
fn the_last_address_is_the_proxys_word_and_what_came_before_is_kept() {
    let edits = passed(Version::HTTP_11, &[("host", "web.shop.mesh")], 100).unwrap();
    assert_eq!(edit(&edits, "x-forwarded-for"), Some("10.1.2.3"));
    assert_eq!(edit(&edits, "x-forwarded-host"), Some("web.shop.mesh"));
    assert_eq!(edit(&edits, "x-forwarded-proto"), Some("http"));
    assert_eq!(edit(&edits, "host"), None);
    let ingress = [("host", "a"), ("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "https")];
    let edits = passed(Version::HTTP_11, &ingress, 100).unwrap();
    assert_eq!(edit(&edits, "x-forwarded-for"), Some("6.6.6.6, 10.1.2.3"));
    assert_eq!(edit(&edits, "x-forwarded-proto"), None, "an ingress that ends TLS has said https");
}

#[test]
fn http_1_1_needs_a_host_and_http_1_0_gets_one() {
    assert_eq!(passed(Version::HTTP_11, &[], 10).unwrap_err().status, 400);
    let edits = passed(Version::HTTP_10, &[], 10).unwrap();
    assert_eq!(edit(&edits, "host"), Some("web.shop"));
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    assert_eq!(passed(Version::HTTP_11, &[("host", "a")], HEADER_BYTES + 1).unwrap_err().status, 431);
    assert!(passed(Version::HTTP_11, &[("host", "a")], HEADER_BYTES).is_ok());
}
