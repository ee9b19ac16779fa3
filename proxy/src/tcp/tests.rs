//! What a connection costs while nothing moves on it.

use super::*;
use crate::plan::{Accepted, compile};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use weft_contract::{
    Listener, NodeConfiguration, Policy, Port, Protocol, SCHEMA, Service, ServiceKey, Transport,
    policy::Scheme,
};

fn plan() -> Plan {
    let port = Port {
        name: None,
        port: 80,
        transport: Transport::Tcp,
        listener: Some(Listener { port: 10_000, protocol: Protocol::Tcp }),
        scheme: Scheme::Http,
        endpoints: vec![],
        target_name: None,
        sni_routes: Vec::new(),
    };
    let key = ServiceKey::new("shop", "store");
    let service =
        Service { key, addresses: vec![], ports: vec![port], policy: Policy::default(), split: None };
    let configuration = NodeConfiguration {
        schema: SCHEMA,
        node: "node-1".into(),
        zone: None,
        zones: vec!["mesh".into()],
        services: vec![service],
        sources: vec![],
        access: None,
    };
    let accepted = Accepted { revision: "beef".into(), configuration: Arc::new(configuration) };
    compile(accepted, None, Instant::now())
}

/// What rests costs memory fifty thousand times over.
#[tokio::test]
async fn a_connection_at_rest_is_small() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let route = Arc::clone(&plan().routes()[&10_000]);
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let (target, stop) = (Arc::clone(&route.target), CancellationToken::new());
    let arrival = Arrival { target, client, stop, counted: Default::default() };
    let engine = Engine::new(&Status::default(), Arc::new(Dice::new(1)), Duration::from_secs(1), true);
    let size = size_of_val(&engine.serve(stream, arrival, route));
    assert!(size <= 672, "{size} bytes");
}
