//! Configurations that control access, whose pods are addresses of this machine.

use std::net::Ipv4Addr;
use weft_contract::{
    AccessControl, AccessMode, Grant, HttpMatch, NodeConfiguration, Principal, PrincipalKind, SCHEMA,
    Service, Source,
};

/// A configuration without access control, whose pods are 127.0.0.N with these ServiceAccounts.
pub fn configuration(mut services: Vec<Service>, pods: &[(u8, &str)]) -> NodeConfiguration {
    services.sort_by(|one, other| one.key.cmp(&other.key));
    let mut sources: Vec<Source> = pods.iter().map(|(last_byte, account)| pod(*last_byte, account)).collect();
    sources.sort();
    NodeConfiguration {
        schema: SCHEMA,
        node: "node-1".into(),
        zone: None,
        zones: vec!["mesh".into()],
        services,
        sources,
        access: None,
    }
}

/// The same with what is granted.
pub fn controlled(services: Vec<Service>, pods: &[(u8, &str)], grants: Vec<Grant>) -> NodeConfiguration {
    let access = Some(AccessControl { mode: AccessMode::Enforce, grants });
    NodeConfiguration { access, ..configuration(services, pods) }
}

pub fn pod(last_byte: u8, account: &str) -> Source {
    Source {
        address: Ipv4Addr::new(127, 0, 0, last_byte).into(),
        namespace: "shop".into(),
        service_account: account.into(),
        identity_bindings: vec![],
    }
}

/// What one may do to another: nothing yet.
pub fn grant(source: &str, destination: &str) -> Grant {
    let account = |name: &str| Principal {
        kind: PrincipalKind::ServiceAccount,
        namespace: "shop".into(),
        name: name.into(),
    };
    Grant {
        namespace: "shop".into(),
        name: format!("{source}-{destination}"),
        destination: account(destination),
        sources: vec![account(source)],
        port: None,
        tcp: None,
        udp: None,
        http: None,
    }
}

/// Whatever goes over TCP.
pub fn all(source: &str, destination: &str) -> Grant {
    Grant { tcp: Some(vec![]), ..grant(source, destination) }
}

/// Requests with a method of these and a path that begins so.
pub fn requests(source: &str, destination: &str, methods: &[&str], path: &str) -> Grant {
    let methods = methods.iter().map(ToString::to_string).collect();
    let condition = HttpMatch { path: Some(path.into()), methods, headers: vec![] };
    Grant { http: Some(vec![condition]), ..grant(source, destination) }
}
