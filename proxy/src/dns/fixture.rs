//! The mesh that the tests of this station ask about.

use super::Names;
use hickory_proto::{
    op::Query,
    rr::{Name, RecordType},
};
use weft_contract::{
    NodeConfiguration, Policy, Port, SCHEMA, Service, ServiceKey, Transport, policy::Scheme,
};

/// Services of both families, of one, of none and of many addresses, in three zones of which one lies in another.
pub(super) fn configuration() -> NodeConfiguration {
    let crowd: Vec<String> = (0..200).map(|number| format!("10.9.0.{number}")).collect();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    let mut services = vec![
        service(
            "shop/web",
            &["10.96.0.1", "fd00::1"],
            &[("http", 80, Transport::Tcp), ("", 81, Transport::Tcp)],
        ),
        service("shop/cart", &["10.96.0.2"], &[("dns", 53, Transport::Udp), ("dns-tcp", 53, Transport::Tcp)]),
        service("shop/several", &["10.96.0.3", "10.96.0.4", "10.96.0.5"], &[]),
        service("shop/bare", &[], &[("assoc", 99, Transport::Sctp)]),
        service("shop/crowd", &crowd, &[("http", 80, Transport::Tcp)]),
        service("traefik/api", &["10.96.0.6"], &[]),
    ];
    services.sort_by(|one, other| one.key.cmp(&other.key));
    NodeConfiguration {
        schema: SCHEMA,
        node: "node-1".to_owned(),
        zone: None,
        zones: ["mesh", "maesh", "traefik.mesh"].map(str::to_owned).to_vec(),
        services,
        sources: vec![],
        access: None,
    }
}

pub(super) fn names() -> Names {
    Names::new(&configuration())
}

pub(super) fn question(name: &str, wanted: RecordType) -> Query {
    let labels = name.split('.').filter(|label| !label.is_empty()).map(str::as_bytes);
    Query::query(Name::from_labels(labels).unwrap(), wanted)
}

fn service(key: &str, addresses: &[&str], ports: &[(&str, u16, Transport)]) -> Service {
    let (namespace, name) = key.split_once('/').unwrap();
    let port = |(name, port, transport): &(&str, u16, Transport)| Port {
        name: Some((*name).to_owned()).filter(|name| !name.is_empty()),
        port: *port,
        transport: *transport,
        listener: None,
        scheme: Scheme::Http,
        endpoints: Vec::new(),
        target_name: None,
        sni_routes: Vec::new(),
    };
    Service {
        key: ServiceKey::new(namespace, name),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        ports: ports.iter().map(port).collect(),
        policy: Policy::default(),
        split: None,
    }
}
