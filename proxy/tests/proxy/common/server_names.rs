//! Services with routes by server name, and those that such routes lead to.

use super::tcp;
use std::net::SocketAddr;
use weft_contract::{Service, ServiceKey, SniRoute};

/// The Service that clients call, with a route for each host.
pub fn gate(port: u16, endpoint: SocketAddr, hosts: &[(&str, &str)]) -> Service {
    let mut service = tcp("gate", port, &[endpoint]);
    let route = |(host, service): &(&str, &str)| SniRoute {
        host: (*host).to_owned(),
        service: ServiceKey::new("shop", *service),
        port: 80,
    };
    service.ports[0].sni_routes = hosts.iter().map(route).collect();
    service
}

/// A Service that is reached by its name alone.
pub fn behind(name: &str, endpoints: &[SocketAddr]) -> Service {
    let mut service = tcp(name, 1, endpoints);
    service.ports[0].listener = None;
    service
}
