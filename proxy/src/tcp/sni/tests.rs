//! Where connections go, how long a client is waited for, and how one is refused.

use super::{
    LARGEST, Refused, choose,
    fixture::{Sketch, asking, records},
};
use crate::{
    cause::Cause,
    plan::{Accepted, SharedPlan, compile},
    route::Route,
};
use arc_swap::ArcSwapOption;
use std::{io::ErrorKind, net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use weft_contract::{
    Listener, NodeConfiguration, Policy, Port, Protocol, SCHEMA, Service, ServiceKey, SniRoute, Transport,
    policy::Scheme,
};

fn service(name: &str, listener: Option<u16>, sni_routes: Vec<SniRoute>) -> Service {
    let listener = listener.map(|port| Listener { port, protocol: Protocol::Tcp });
    Service {
        key: ServiceKey::new("shop", name),
        addresses: vec![],
        ports: vec![Port {
            name: None,
            port: 443,
            transport: Transport::Tcp,
            listener,
            scheme: Scheme::Http,
            endpoints: vec![],
            target_name: None,
            sni_routes,
        }],
        policy: Policy::default(),
        split: None,
    }
}

/// A mesh in which the port of `gate` has a route to the Service of each of these hosts' own name; with the one of `gate`.
fn mesh(hosts: &[(&str, &str)]) -> (SharedPlan, Arc<Route>) {
    let route = |(host, service): &(&str, &str)| SniRoute {
        host: (*host).to_owned(),
        service: ServiceKey::new("shop", *service),
        port: 443,
    };
    let services = vec![
        service("gate", Some(10_000), hosts.iter().map(route).collect()),
        service("one", None, vec![]),
        service("two", None, vec![]),
    ];
    let configuration = NodeConfiguration {
        schema: SCHEMA,
        node: "node-1".into(),
        zone: None,
        zones: vec!["mesh".into()],
        services,
        sources: vec![],
        access: None,
    };
    let accepted = Accepted { revision: "1".into(), configuration: Arc::new(configuration) };
    let plan = compile(accepted, None, Instant::now());
    let gate = Arc::clone(&plan.routes()[&10_000]);
    (Arc::new(ArcSwapOption::from_pointee(plan)), gate)
}

/// A client and the proxy's side of its connection.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

const HOSTS: [(&str, &str); 3] =
    [("a.example.com", "one"), ("*.b.example.com", "two"), ("gone.example.com", "gone")];

/// What becomes of a client that sends this.
async fn sending(bytes: &[u8], hosts: &[(&str, &str)]) -> Result<(String, Vec<u8>), Refused> {
    let (plan, gate) = mesh(hosts);
    let (mut client, server) = connection().await;
    let (sent, chosen) = tokio::join!(client.write_all(bytes), choose(&server, &gate, &plan));
    sent.unwrap();
    let (route, first) = chosen?;
    Ok((route.target.service.name.clone(), first))
}

#[tokio::test]
async fn a_name_leads_to_its_service_and_what_was_read_is_handed_on() {
    let mut early = asking("A.example.com").bytes();
    early.extend(b"and what the client sent early");
    for (bytes, expected) in [(asking("x.b.example.com").bytes(), "two"), (early, "one")] {
        let (service, first) = sending(&bytes, &HOSTS).await.unwrap();
        assert_eq!((service.as_str(), first), (expected, bytes));
    }
}

#[tokio::test]
async fn without_routes_nothing_is_read_and_nothing_waits() {
    let (plan, gate) = mesh(&[]);
    let (mut client, mut server) = connection().await;
    let (route, first) = choose(&server, &gate, &plan).await.unwrap();
    assert!(Arc::ptr_eq(&route, &gate) && first.is_empty());
    client.write_all(b"hello").await.unwrap();
    let mut read = [0; 5];
    server.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");
}

#[tokio::test]
async fn what_fits_no_route_is_refused_or_goes_to_the_default() {
    let nameless = Sketch { extensions: None, ..asking("") };
    for (bytes, refused) in [
        (asking("c.example.com").bytes(), Refused::UnknownName((3, 3))),
        (nameless.bytes(), Refused::UnknownName((3, 3))),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Refused::NotTls),
    ] {
        assert_eq!(sending(&bytes, &HOSTS).await.unwrap_err(), refused);
        let with_default = [&HOSTS[..], &[("*", "one")]].concat();
        assert_eq!(sending(&bytes, &with_default).await.unwrap(), ("one".to_owned(), bytes));
    }
}

#[tokio::test]
async fn a_route_that_leads_nowhere_is_no_route_and_gives_way_to_no_other() {
    let others = [&HOSTS[..], &[("*.example.com", "one"), ("*", "two")]].concat();
    for hosts in [&HOSTS[..], &others] {
        let refused = sending(&asking("gone.example.com").bytes(), hosts).await.unwrap_err();
        assert_eq!(refused, Refused::UnknownName((3, 3)));
    }
    let nowhere = [("*", "gone")];
    assert_eq!(sending(b"EHLO", &nowhere).await.unwrap_err(), Refused::NotTls);
    let refused = sending(&asking("a.example.com").bytes(), &nowhere).await.unwrap_err();
    assert_eq!(refused.cause(), Some(Cause::UnknownServerName));
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_whole() {
    let many = records(&asking("a.example.com").with(21, vec![0; 60_000]).message(), 1);
    let refused = sending(&many[..LARGEST + 1], &HOSTS).await.unwrap_err();
    assert_eq!(refused.cause(), Some(Cause::HeadTooLarge));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_waited_for_ten_seconds_and_not_longer() {
    let (plan, gate) = mesh(&HOSTS);
    let hello = asking("a.example.com").bytes();
    for sent in [0, 1, hello.len() - 1] {
        let (mut client, server) = connection().await;
        client.write_all(&hello[..sent]).await.unwrap();
        let begun = Instant::now();
        let refused = choose(&server, &gate, &plan).await.unwrap_err();
        assert_eq!((refused, begun.elapsed().as_secs()), (Refused::Late, 10), "after {sent} bytes");
    }
    let (mut client, server) = connection().await;
    client.write_all(&hello[..9]).await.unwrap();
    let chosen = tokio::spawn(async move { choose(&server, &gate, &plan).await.map(|(_, first)| first) });
    tokio::time::sleep(Duration::from_secs(9)).await;
    client.write_all(&hello[9..]).await.unwrap();
    assert_eq!(chosen.await.unwrap(), Ok(hello));
}

#[tokio::test]
async fn a_client_that_goes_away_first_is_nobodys_fault() {
    let (plan, gate) = mesh(&HOSTS);
    for sent in [0, 9] {
        let (mut client, server) = connection().await;
        client.write_all(&asking("a.example.com").bytes()[..sent]).await.unwrap();
        client.shutdown().await.unwrap();
        let refused = choose(&server, &gate, &plan).await.unwrap_err();
        assert_eq!((refused, refused.cause()), (Refused::Gone, None));
    }
}

#[tokio::test]
async fn who_speaks_tls_gets_an_alert_and_a_clean_end_and_who_does_not_a_reset() {
    use super::Broken;
    let alert = |minor, description| Some(vec![21, 3, minor, 0, 2, 2, description]);
    for (refused, expected) in [
        (Refused::UnknownName((3, 3)), alert(3, 112)),
        (Refused::UnknownName((3, 1)), alert(1, 112)),
        (Refused::Broken(Broken::Malformed, (3, 3)), alert(3, 50)),
        (Refused::Broken(Broken::TooLarge, (3, 3)), alert(3, 50)),
        (Refused::Broken(Broken::Ambiguous, (3, 3)), alert(3, 47)),
        (Refused::Broken(Broken::Record, (3, 1)), alert(1, 22)),
        (Refused::Broken(Broken::Unexpected, (3, 1)), alert(1, 10)),
        (Refused::NotTls, None),
        (Refused::Late, None),
    ] {
        let (_, gate) = mesh(&HOSTS);
        let (mut client, server) = connection().await;
        // What was not read when the connection is refused must not turn the alert into a reset.
        client.write_all(b"more").await.unwrap();
        let told = tokio::spawn(async move { refused.tell(&mut { server }, &gate.traffic).await });
        let mut answer = Vec::new();
        let end = client.read_to_end(&mut answer).await;
        match expected {
            Some(expected) => assert_eq!((end.unwrap(), answer), (7, expected), "{refused}"),
            None => assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset, "{refused}"),
        }
        drop(client);
        told.await.unwrap();
    }
}
