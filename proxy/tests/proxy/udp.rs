//! Datagrams through the proxy are what they would be without it.

use crate::common::{
    self, Mesh,
    policy::eventually,
    tcp,
    udp::{Backend, ask, asking, client, client_from, count, dead, free_port, receive, udp},
    within,
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
};
use weft_contract::policy::{Algorithm, HashKey};

#[tokio::test]
async fn each_client_gets_its_own_answers() {
    let backend = Backend::echo().await;
    let port = free_port();
    let mesh = Mesh::with(vec![udp("dns", port, &[backend.address])]).await;
    let mut clients = Vec::new();
    for number in 0..50_u8 {
        let client = client(port).await;
        client.send(&[number]).await.unwrap();
        clients.push((number, client));
    }
    for (number, client) in &clients {
        assert_eq!(receive(client).await, [*number]);
        assert_eq!(ask(client, &[*number, 1]).await, [*number, 1]);
    }
    let from: BTreeSet<SocketAddr> = backend.heard().iter().map(|(from, _)| *from).collect();
    assert_eq!(from.len(), 50, "each has a socket of its own, and keeps it");
    assert_eq!(count(&mesh, "dns", "sessions", None).await, 50);
    assert_eq!(count(&mesh, "dns", "sessions_opened_total", None).await, 50);
    for direction in ["received", "sent"] {
        let label = Some(("direction", direction));
        eventually("all is counted", async || count(&mesh, "dns", "datagrams_total", label).await == 100)
            .await;
        assert_eq!(count(&mesh, "dns", "bytes_total", label).await, 150);
    }
}

#[tokio::test]
async fn a_datagram_is_whole_whatever_its_length() {
    let backend = Backend::echo().await;
    let port = free_port();
    let _mesh = Mesh::with(vec![udp("dns", port, &[backend.address])]).await;
    let client = client(port).await;
    for length in [0, 1, 2, 511, 512, 513, 1400, 1401, 1472, 1500, 9000, 65_506, 65_507, 0, 1] {
        let sent: Vec<u8> = (0..length).map(|index: usize| (index * 31 % 251) as u8).collect();
        assert!(ask(&client, &sent).await == sent, "{length}");
    }
}

#[tokio::test]
async fn a_burst_passes_in_its_order_and_with_its_bounds() {
    let backend = Backend::echo().await;
    let port = free_port();
    let _mesh = Mesh::with(vec![udp("dns", port, &[backend.address])]).await;
    let client = client(port).await;
    for round in 0..20_usize {
        // Mostly of one length, so that they are joined on their way; some shorter, longer and empty between them.
        let sent: Vec<Vec<u8>> = (0..48)
            .map(|number| {
                let length = [100, 100, 100, 100, 100, 40, 100, 100, 150, 100, 0, 100][(number + round) % 12];
                vec![(number + round) as u8; length]
            })
            .collect();
        for datagram in &sent {
            client.send(datagram).await.unwrap();
        }
        for datagram in &sent {
            assert_eq!(receive(&client).await, *datagram);
        }
    }
}

#[tokio::test]
async fn bursts_of_many_clients_do_not_mix() {
    let backend = Backend::echo().await;
    let port = free_port();
    let _mesh = Mesh::with(vec![udp("dns", port, &[backend.address])]).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(client(port).await);
    }
    for round in 0..20_u8 {
        for number in 0..6_u8 {
            for (index, client) in clients.iter().enumerate() {
                client.send(&[index as u8, round, number]).await.unwrap();
            }
        }
        for (index, client) in clients.iter().enumerate() {
            for number in 0..6_u8 {
                assert_eq!(receive(client).await, [index as u8, round, number]);
            }
        }
    }
}

#[tokio::test]
async fn answers_come_from_the_address_that_was_sent_to() {
    let backend = Backend::echo().await;
    let port = free_port();
    let _mesh = Mesh::with(vec![udp("dns", port, &[backend.address])]).await;
    let addresses: [IpAddr; 4] = [
        Ipv4Addr::new(127, 0, 0, 1).into(),
        Ipv4Addr::new(127, 0, 0, 2).into(),
        Ipv4Addr::new(127, 9, 9, 9).into(),
        Ipv6Addr::LOCALHOST.into(),
    ];
    // One socket for all addresses of a family, so that nothing but the answer itself tells where it is from.
    let (four, six) = (
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap(),
        UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap(),
    );
    for _ in 0..3 {
        for address in addresses {
            let socket = if address.is_ipv4() { &four } else { &six };
            socket.send_to(b"who?", (address, port)).await.unwrap();
            let mut buffer = [0; 16];
            let (length, from) = within(socket.recv_from(&mut buffer)).await.unwrap();
            assert_eq!((&buffer[..length], from), (&b"who?"[..], SocketAddr::new(address, port)));
        }
    }
}

#[tokio::test]
async fn clients_and_endpoints_may_be_of_different_families() {
    let four = Backend::echo().await;
    let six = Backend::at(Ipv6Addr::LOCALHOST.into(), |datagram| Some(datagram.to_vec())).await;
    let (to_four, to_six) = (free_port(), free_port());
    let services = vec![udp("four", to_four, &[four.address]), udp("six", to_six, &[six.address])];
    let _mesh = Mesh::with(services).await;
    for port in [to_four, to_six] {
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let client = client_from(address, port).await;
            assert_eq!(ask(&client, b"hello").await, b"hello");
            let large = vec![7; 65_507];
            assert!(ask(&client, &large).await == large);
        }
    }
}

#[tokio::test]
async fn who_only_sends_is_heard_in_order() {
    let backend = Backend::silent().await;
    let port = free_port();
    let mesh = Mesh::with(vec![udp("log", port, &[backend.address])]).await;
    let client = client(port).await;
    for number in 0..100_u8 {
        client.send(format!("<13>line {number}").as_bytes()).await.unwrap();
    }
    eventually("all lines are there", async || backend.heard().len() == 100).await;
    for (number, (_, line)) in backend.heard().iter().enumerate() {
        assert_eq!(*line, format!("<13>line {number}").as_bytes());
    }
    assert_eq!(count(&mesh, "log", "datagrams_total", Some(("direction", "sent"))).await, 0);
    assert_eq!(count(&mesh, "log", "sessions", None).await, 1);
}

#[tokio::test]
async fn an_endpoint_may_answer_more_than_once_and_late() {
    let backend = Backend::silent().await;
    let port = free_port();
    let _mesh = Mesh::with(vec![udp("feed", port, &[backend.address])]).await;
    let client = client(port).await;
    client.send(b"subscribe").await.unwrap();
    eventually("it is heard", async || !backend.heard().is_empty()).await;
    for number in 0..60_u8 {
        backend.socket.send_to(&[number; 200], backend.last_from()).await.unwrap();
    }
    for number in 0..60_u8 {
        assert_eq!(receive(&client).await, [number; 200]);
    }
}

#[tokio::test]
async fn a_dead_endpoint_costs_a_client_nothing() {
    let backend = Backend::named("alive").await;
    let port = free_port();
    let mesh = Mesh::with(vec![udp("dns", port, &[dead(), backend.address, dead()])]).await;
    for _ in 0..20 {
        // Asked once: what a dead endpoint refused goes to the next by itself.
        assert_eq!(ask(&client(port).await, b"anybody?").await, b"alive");
    }
    assert!(count(&mesh, "dns", "sessions_moved_total", Some(("reason", "refused"))).await > 0);
    assert_eq!(count(&mesh, "dns", "dropped_total", Some(("reason", "connect_failed"))).await, 0);
    let ejected = Some(("state", "ejected"));
    assert!(count(&mesh, "dns", "endpoints", ejected).await > 0, "refusals count against an endpoint");
}

#[tokio::test]
async fn what_finds_no_endpoint_is_dropped_and_counted() {
    let (none, refusing) = (free_port(), free_port());
    let services = vec![udp("none", none, &[]), udp("refusing", refusing, &[dead(), dead()])];
    let mesh = Mesh::with(services).await;
    for (service, port, reason) in [("none", none, "no_endpoint"), ("refusing", refusing, "connect_failed")] {
        client(port).await.send(b"anybody?").await.unwrap();
        let dropped = async || count(&mesh, service, "dropped_total", Some(("reason", reason))).await == 1;
        eventually("it is counted", dropped).await;
    }
    assert_eq!(count(&mesh, "none", "sessions", None).await, 0, "none is kept that leads nowhere");
}

#[tokio::test]
async fn clients_of_one_address_may_ask_for_one_endpoint() {
    let backends = [Backend::named("a").await, Backend::named("b").await, Backend::named("c").await];
    let addresses: Vec<SocketAddr> = backends.iter().map(|backend| backend.address).collect();
    let port = free_port();
    let by_source = |policy: &mut weft_contract::Policy| {
        policy.balancing.algorithm = Algorithm::Hash(HashKey::SourceAddress);
    };
    let _mesh = Mesh::with(vec![asking("dns", port, &addresses, by_source)]).await;
    // So few that none is passed on for having more than its part.
    for last in 1..5 {
        let address = Ipv4Addr::new(127, 0, 0, last).into();
        let first = ask(&client_from(address, port).await, b"?").await;
        assert_eq!(ask(&client_from(address, port).await, b"?").await, first);
    }
}

#[tokio::test]
async fn sessions_are_spread_over_the_endpoints() {
    let backends = [Backend::echo().await, Backend::echo().await];
    let addresses: Vec<SocketAddr> = backends.iter().map(|backend| backend.address).collect();
    let port = free_port();
    let _mesh = Mesh::with(vec![udp("dns", port, &addresses)]).await;
    let mut clients = Vec::new();
    for _ in 0..60 {
        let client = client(port).await;
        ask(&client, b"?").await;
        clients.push(client);
    }
    for backend in &backends {
        let share = backend.heard().len();
        assert!((29..=31).contains(&share), "{share} of 60");
    }
}

#[tokio::test]
async fn one_service_has_a_port_of_each_transport_with_the_same_number() {
    let datagrams = Backend::named("over UDP").await;
    let connections = common::backend::Backend::connections(|mut stream, _, _| async move {
        stream.write_all(b"over TCP").await.unwrap();
    })
    .await;
    let (udp_port, tcp_port) = (free_port(), common::free_port());
    let mut service = udp("dns", udp_port, &[datagrams.address]);
    let mut other = tcp("dns", tcp_port, &[connections.address]).ports.remove(0);
    other.port = 53;
    service.ports.push(other);
    // Whatever a Service asks for has its series for one of them only.
    service.policy.circuit_breaker = Some("NetworkErrorRatio() > 0.5".into());
    let mesh = Mesh::with(vec![service]).await;
    assert_eq!(ask(&client(udp_port).await, b"?").await, b"over UDP");
    let mut stream = common::connect(tcp_port).await;
    let mut all = Vec::new();
    within(stream.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all, b"over TCP");

    let page = mesh.admin("/metrics").await;
    let series = page.text().lines().filter(|line| !line.starts_with('#'));
    let series: Vec<&str> = series.filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect();
    let different: BTreeSet<&str> = series.iter().copied().collect();
    assert_eq!(series.len(), different.len(), "{}", page.text());
}
