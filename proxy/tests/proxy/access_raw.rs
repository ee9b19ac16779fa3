//! Who may open connections of TCP and sessions of UDP, and how long they last.

use crate::common::{
    Mesh,
    access::{all, configuration, controlled, grant, pod, requests},
    backend::Backend,
    free_port,
    policy::{connect_from, eventually, try_connect_from},
    tcp, udp, within,
};
use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weft_contract::{Grant, NodeConfiguration, Service, ServiceKey, Split, SplitBackend};

const PODS: [(u8, &str); 4] = [(1, "web"), (7, "front"), (8, "back"), (11, "other")];

async fn mesh(configuration: &NodeConfiguration) -> Mesh {
    let mut mesh = Mesh::start(tempfile::tempdir().unwrap());
    mesh.apply_configuration(configuration).await;
    mesh
}

/// What comes next: bytes, or how the connection ended.
async fn read(stream: &mut TcpStream) -> Result<Vec<u8>, ErrorKind> {
    let mut bytes = vec![0; 64];
    match within(stream.read(&mut bytes)).await {
        Ok(length) => Ok(bytes[..length].to_vec()),
        Err(error) => Err(error.kind()),
    }
}

async fn echo_at(last_byte: u8, name: &'static [u8]) -> Backend {
    Backend::connections_at(last_byte, move |mut stream, _, _| async move {
        if stream.write_all(name).await.is_ok() {
            let (mut from, mut to) = stream.split();
            let _ = tokio::io::copy(&mut from, &mut to).await; // the other side may reset it
        }
    })
    .await
}

#[tokio::test]
async fn a_tcp_connection_reaches_its_endpoint_only_where_it_is_granted() {
    let (web, other, port) = (echo_at(1, b"web").await, echo_at(11, b"other").await, free_port());
    let endpoints = [web.address, other.address];
    let conditional = Grant { tcp: Some(vec![]), ..requests("back", "web", &[], "/") };
    let grants = vec![all("front", "other"), conditional, grant("web", "web")];
    let mesh = mesh(&controlled(vec![tcp("store", port, &endpoints)], &PODS, grants)).await;
    for _ in 0..20 {
        let mut stream = connect_from(7, port).await;
        assert_eq!(read(&mut stream).await.unwrap(), b"other");
    }
    let before = (web.opened(), other.opened());
    // Whatever it may send: of bytes nobody knows whether they are such a request.
    for client in [8, 1, 9] {
        let read = match try_connect_from(client, port).await {
            Ok(mut stream) => {
                let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await; // it may be reset already
                read(&mut stream).await
            }
            Err(error) => Err(error.kind()),
        };
        assert_eq!(read, Err(ErrorKind::ConnectionReset), "{client}");
    }
    assert_eq!((web.opened(), other.opened()), before);
    mesh.shows("denied_total", "store", "mode=\"enforce\"", 3).await;
}

#[tokio::test]
async fn a_tcp_connection_is_cut_when_its_grant_goes_and_no_other_is() {
    let (web, port) = (echo_at(1, b"web").await, free_port());
    let with = |grants| controlled(vec![tcp("store", port, &[web.address])], &PODS, grants);
    let mut mesh = mesh(&with(vec![all("front", "web"), all("back", "web")])).await;
    let (mut front, mut back) = (connect_from(7, port).await, connect_from(8, port).await);
    assert_eq!(
        (read(&mut front).await.unwrap(), read(&mut back).await.unwrap()),
        (b"web".into(), b"web".into())
    );
    mesh.apply_configuration(&with(vec![all("back", "web")])).await;
    assert_eq!(read(&mut front).await, Err(ErrorKind::ConnectionReset));
    within(back.write_all(b"still here")).await.unwrap();
    assert_eq!(read(&mut back).await.unwrap(), b"still here");
    // The address is another pod's now.
    let mut moved = with(vec![all("back", "web")]);
    moved.sources = vec![pod(1, "web"), pod(8, "front")];
    mesh.apply_configuration(&moved).await;
    assert_eq!(read(&mut back).await, Err(ErrorKind::ConnectionReset));
}

/// An address of this machine.
fn ip(last_byte: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last_byte).into()
}

/// Whatever goes over UDP.
fn datagrams(source: &str, destination: &str) -> Grant {
    Grant { udp: Some(vec![]), ..grant(source, destination) }
}

/// How many datagrams of `dns` the proxy dropped for want of a grant.
async fn denied(mesh: &Mesh) -> u64 {
    count(mesh, "denied_total", "mode=\"enforce\"").await
}

async fn count(mesh: &Mesh, metric: &str, label: &str) -> u64 {
    let series = format!("weft_udp_{metric}{{namespace=\"shop\",service=\"dns\",port=\"53\",{label}}} ");
    let page = mesh.admin("/metrics").await;
    page.text().lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_datagram_reaches_its_endpoint_only_where_that_is_granted() {
    let web = udp::Backend::named("web").await;
    let other = udp::Backend::at(ip(11), |_| Some(b"other".to_vec())).await;
    let port = udp::free_port();
    let services = vec![udp::udp("dns", port, &[web.address, other.address])];
    let grants = vec![datagrams("front", "other"), all("back", "web")];
    let mesh = mesh(&controlled(services, &PODS, grants)).await;
    for _ in 0..20 {
        let client = udp::client_from(ip(7), port).await;
        assert_eq!(udp::ask(&client, b"?").await, b"other");
    }
    for (last_byte, before) in [(8, 0), (9, 1)] {
        let client = udp::client_from(ip(last_byte), port).await;
        client.send(b"?").await.unwrap();
        eventually("it is dropped", async || denied(&mesh).await == before + 1).await;
    }
    assert!(web.heard().is_empty());
    assert_eq!(other.heard().len(), 20);
}

#[tokio::test]
async fn a_session_ends_with_its_grant_in_both_directions() {
    let web = udp::Backend::echo().await;
    let port = udp::free_port();
    let with = |grants| controlled(vec![udp::udp("dns", port, &[web.address])], &PODS, grants);
    let mut mesh = mesh(&with(vec![datagrams("front", "web"), datagrams("back", "web")])).await;
    let (front, back) = (udp::client_from(ip(7), port).await, udp::client_from(ip(8), port).await);
    assert_eq!(udp::ask(&back, b"1").await, b"1");
    assert_eq!(udp::ask(&front, b"1").await, b"1");
    let session = web.last_from();
    mesh.apply_configuration(&with(vec![datagrams("back", "web")])).await;
    // The endpoint speaks first: nobody hears it, and the client's own datagrams come nowhere.
    web.socket.send_to(b"late", session).await.unwrap();
    front.send(b"2").await.unwrap();
    eventually("it is dropped", async || denied(&mesh).await == 1).await;
    assert_eq!(udp::ask(&back, b"3").await, b"3");
    assert!(web.heard().iter().all(|(_, datagram)| datagram != b"2"));
    mesh.apply_configuration(&with(vec![datagrams("front", "web")])).await;
    assert_eq!(udp::ask(&front, b"4").await, b"4", "and nothing that came between");
}

#[tokio::test]
async fn udp_is_split_by_session() {
    let (a, b) = (udp::Backend::named("a").await, udp::Backend::named("b").await);
    let port = udp::free_port();
    let backend = |(name, weight): (&str, u32)| SplitBackend {
        service: ServiceKey::new("shop", name),
        weight,
        ports: vec![53],
    };
    let backends = [("a", 3), ("b", 1)].map(backend).to_vec();
    let mut dns = udp::udp("dns", port, &[udp::dead()]);
    dns.split = Some(Split { name: "dns".into(), matches: None, backends, sticky: None });
    let side = |name: &str, backend: &udp::Backend| -> Service {
        let mut service = udp::udp(name, 1, &[backend.address]);
        service.ports[0].listener = None;
        service
    };
    let mesh = mesh(&configuration(vec![dns, side("a", &a), side("b", &b)], &PODS)).await;
    let mut counts = BTreeMap::new();
    for _ in 0..40 {
        let client = udp::client(port).await;
        let first = udp::ask(&client, b"?").await;
        for _ in 0..3 {
            assert_eq!(udp::ask(&client, b"?").await, first, "a session stays on its side");
        }
        *counts.entry(first).or_insert(0_u32) += 1;
    }
    assert!((29..=31).contains(&counts[&b"a"[..]]) && counts.len() == 2, "{counts:?}");
    let told = count(&mesh, "backend_sessions_total", "backend=\"b\"").await;
    assert_eq!(told, u64::from(counts[&b"b"[..]]));
}
