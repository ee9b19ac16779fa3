//! The encoding is deterministic, lossless, bounded, and refuses what it cannot trust.

use super::*;
use crate::{
    configuration::{Endpoint, Hints, Listener, Port, Protocol, Service, ServiceKey, Transport},
    policy::{Policy, Scheme},
};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

fn endpoint(number: u32) -> Endpoint {
    Endpoint {
        address: IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number)),
        port: 8080,
        ready: true,
        serving: true,
        terminating: false,
        zone: Some(format!("zone-{}", number % 3)),
        node: Some(format!("node-{}", number.wrapping_mul(2_654_435_761) % 100)),
        hints: Hints::default(),
    }
}

fn configuration(services: u16, endpoints: u32) -> NodeConfiguration {
    let service = |number: u16| Service {
        key: ServiceKey::new("namespace", format!("service-{number:05}")),
        addresses: vec![IpAddr::V4(Ipv4Addr::from(0x0a60_0000 + u32::from(number)))],
        ports: vec![Port {
            name: Some("http".into()),
            port: 80,
            transport: Transport::Tcp,
            listener: Some(Listener { port: 10_000 + number, protocol: Protocol::Http }),
            scheme: Scheme::Http,
            endpoints: (0..endpoints).map(|index| endpoint(u32::from(number) * endpoints + index)).collect(),
            target_name: None,
            sni_routes: Vec::new(),
        }],
        policy: Policy::default(),
        split: None,
    };
    NodeConfiguration {
        schema: SCHEMA,
        node: "node-1".into(),
        zone: None,
        zones: vec!["mesh".into()],
        services: (0..services).map(service).collect(),
        sources: vec![],
        access: None,
    }
}

fn read_back(encoded: &Encoded) -> Result<(String, NodeConfiguration), DecodeError> {
    match &encoded.body {
        Body::Plain(text) => decode(Some(text), None, Some(&encoded.revision)),
        Body::Compressed(bytes) => decode(None, Some(bytes), Some(&encoded.revision)),
    }
}

#[test]
fn a_small_configuration_is_readable_and_a_large_one_compressed() {
    assert!(matches!(encode(&configuration(3, 3)).unwrap().body, Body::Plain(_)));
    assert!(matches!(encode(&configuration(1000, 3)).unwrap().body, Body::Compressed(_)));
}

#[test]
fn four_thousand_services_of_five_endpoints_fit() {
    let encoded = encode(&configuration(4000, 5)).unwrap();
    assert!(encoded.bytes() < LIMIT_BYTES / 2, "{} bytes", encoded.bytes());
    assert_eq!(read_back(&encoded).unwrap().1, configuration(4000, 5));
}

#[test]
fn a_newer_schema_is_refused_even_where_the_rest_is_unreadable() {
    let error = decode(Some(r#"{"schema":99,"services":"of another kind"}"#), None, None).unwrap_err();
    assert!(matches!(error, DecodeError::Schema { found: 99 }), "{error}");
}

#[test]
fn an_unknown_field_of_the_same_schema_is_ignored() {
    let json = r#"{"schema":1,"node":"n","zones":["mesh"],"services":[],"later":true}"#;
    assert_eq!(decode(Some(json), None, None).unwrap().1.node, "n");
}

#[test]
fn content_that_is_not_what_its_revision_names_is_refused() {
    let json = r#"{"schema":1,"node":"n","zones":["mesh"],"services":[]}"#;
    assert!(matches!(decode(Some(json), None, Some("beef")), Err(DecodeError::Revision { .. })));
}

#[test]
fn two_services_with_one_listener_are_refused() {
    let mut shared = configuration(2, 0);
    shared.services[1].ports[0].listener = Some(Listener { port: 10_000, protocol: Protocol::Tcp });
    let error = read_back(&encode(&shared).unwrap()).unwrap_err();
    assert!(
        matches!(error, DecodeError::Violation(Violation::SharedListener { port: 10_000, .. })),
        "{error}"
    );
}

#[test]
fn golden_files_decode_forever() {
    // Of schema 2: access control, splits, server names, UDP, and how raw connections are carried.
    for text in [include_str!("../tests/golden/schema-1.json"), include_str!("../tests/golden/schema-2.json")]
    {
        let (_, read) = decode(Some(text.trim_end()), None, None).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text.trim_end());
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(services in 0_u16..300, endpoints in 0_u32..8) {
        let original = configuration(services, endpoints);
        let encoded = encode(&original).unwrap();
        prop_assert_eq!(&encode(&original).unwrap(), &encoded);
        let (revision, read) = read_back(&encoded).unwrap();
        prop_assert_eq!(revision, encoded.revision);
        prop_assert_eq!(read, original);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(plain in ".*", bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = decode(Some(&plain), None, None);
        let _ = decode(None, Some(&bytes), None);
    }
}
