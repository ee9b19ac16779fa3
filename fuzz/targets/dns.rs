//! Any packet gets one well-formed reply to it, or silence.
//!
//! The first byte says how the packet comes, and whether there is a plan yet.
#![no_main]

use hickory_proto::op::{Message, MessageType, ResponseCode};
use libfuzzer_sys::fuzz_target;
use std::{net::Ipv4Addr, sync::LazyLock};
use weft_contract::{
    NodeConfiguration, Policy, Port, SCHEMA, Service, ServiceKey, Transport, policy::Scheme,
};
use weft_proxy::dns::{Carrier, Names, reply};

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let port = |name: &str, transport| Port {
        name: Some(name.to_owned()),
        port: 80,
        transport,
        listener: None,
        scheme: Scheme::Http,
        endpoints: Vec::new(), target_name: None, sni_routes: Vec::new() };
    let service = |namespace: &str, name: &str, addresses: u8| Service {
        key: ServiceKey::new(namespace, name),
        addresses: (0..addresses).map(|last| Ipv4Addr::new(10, 0, 0, last).into()).collect(),
        ports: vec![port("http", Transport::Tcp), port("dns", Transport::Udp)],
        policy: Policy::default(), split: None };
    Names::new(&NodeConfiguration {
        schema: SCHEMA,
        node: "node-1".to_owned(),
        zone: None,
        zones: ["mesh", "maesh", "traefik.mesh"].map(str::to_owned).to_vec(),
        services: vec![
            service("shop", "crowd", 200),
            service("shop", "web", 2),
            service("traefik", "api", 0),
        ],
        sources: vec![], access: None })
});

fuzz_target!(|input: &[u8]| {
    let Some((way, packet)) = input.split_first() else { return };
    let (carrier, largest) = if way & 1 == 0 { (Carrier::Udp, 1232) } else { (Carrier::Tcp, 65_535) };
    let names = (way & 2 == 0).then_some(&*NAMES);
    let Some(reply) = reply(packet, names, carrier, usize::from(*way)) else { return };
    assert!(reply.bytes.len() <= largest);
    let message = Message::from_vec(&reply.bytes).expect("a reply is a message");
    assert_eq!(message.metadata.message_type, MessageType::Response);
    assert_eq!(Some(&message.metadata.id.to_be_bytes()[..]), packet.get(..2));
    assert!(carrier == Carrier::Udp || !message.metadata.truncation, "everything fits a connection");
    assert!(
        names.is_some() || message.metadata.response_code != ResponseCode::NXDomain,
        "nothing is known yet"
    );
    if message.metadata.response_code == ResponseCode::NoError {
        let asked = Message::from_vec(packet).expect("who asked nothing readable gets no answer");
        assert!(message.queries[0].name().eq_case(asked.queries[0].name()), "the asker's case is kept");
        assert_eq!(message.edns.is_some(), asked.edns.is_some());
        assert!(message.metadata.truncation || message.answers.is_empty() != message.authorities.is_empty());
    }
});
