//! How sessions of UDP come, stay and go.

use crate::common::{
    self, GET, Mesh, connect, free_port as free_tcp_port, http,
    message::exchange,
    policy::eventually,
    udp::{
        Backend, ask, ask_until_answered, asking, client, client_from, count, free_port, give_up_tcp,
        receive, udp,
    },
    within,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::net::UdpSocket;
use weft_contract::Service;
use weft_proxy::drain::{Patience, Phase};

/// Asks, and says from where the backend heard it.
async fn heard_from(backend: &Backend, client: &UdpSocket) -> SocketAddr {
    ask(client, b"?").await;
    backend.last_from()
}

#[tokio::test]
async fn a_session_that_rests_is_forgotten() {
    let backend = Backend::echo().await;
    let port = free_port();
    let soon = Duration::from_millis(100);
    let mesh =
        Mesh::with(vec![asking("dns", port, &[backend.address], |policy| policy.sessions.idle = soon)]).await;
    let client = client(port).await;
    let first = heard_from(&backend, &client).await;
    let expired = Some(("reason", "expired"));
    eventually("it is forgotten", async || {
        count(&mesh, "dns", "sessions_ended_total", expired).await == 1
            && count(&mesh, "dns", "sessions", None).await == 0
    })
    .await;
    assert_ne!(heard_from(&backend, &client).await, first, "and the next is another");
    assert_eq!(count(&mesh, "dns", "sessions_opened_total", None).await, 2);
}

#[tokio::test]
async fn a_shorter_idle_time_takes_effect_on_sessions_that_are_there() {
    let backend = Backend::echo().await;
    let port = free_port();
    let mut mesh = Mesh::with(vec![udp("dns", port, &[backend.address])]).await;
    ask(&client(port).await, b"?").await;
    let soon = |policy: &mut weft_contract::Policy| policy.sessions.idle = Duration::from_millis(50);
    mesh.apply(vec![asking("dns", port, &[backend.address], soon)]).await;
    eventually("it is forgotten", async || count(&mesh, "dns", "sessions", None).await == 0).await;
}

#[tokio::test]
async fn the_one_that_has_rested_longest_goes_for_one_too_many() {
    let backend = Backend::echo().await;
    let port = free_port();
    let bounds = |policy: &mut weft_contract::Policy| {
        (policy.sessions.service, policy.sessions.source) = (3, 2);
    };
    let mesh = Mesh::with(vec![asking("dns", port, &[backend.address], bounds)]).await;
    let [mine, other] = [1, 2].map(|last| Ipv4Addr::new(127, 0, 1, last).into());
    let (first, second) = (client_from(mine, port).await, client_from(mine, port).await);
    let of_first = heard_from(&backend, &first).await;
    let of_second = heard_from(&backend, &second).await;
    assert_eq!(heard_from(&backend, &first).await, of_first);

    // The source's bound: of its own, the second has rested longest.
    let third = client_from(mine, port).await;
    let of_third = heard_from(&backend, &third).await;
    assert_eq!(heard_from(&backend, &first).await, of_first);
    let evicted = Some(("reason", "evicted"));
    assert_eq!(count(&mesh, "dns", "sessions_ended_total", evicted).await, 1);

    // The Service's bound: of all, the first has.
    let (near, far) = (client_from(other, port).await, client_from(other, port).await);
    let of_near = heard_from(&backend, &near).await;
    assert_eq!(heard_from(&backend, &third).await, of_third);
    heard_from(&backend, &far).await;
    assert_eq!(heard_from(&backend, &near).await, of_near);
    assert_eq!(heard_from(&backend, &third).await, of_third);
    assert_eq!(count(&mesh, "dns", "sessions_ended_total", evicted).await, 2);
    assert_eq!(count(&mesh, "dns", "sessions", None).await, 3);
    assert_ne!(heard_from(&backend, &second).await, of_second);
}

#[tokio::test]
async fn a_client_whose_endpoint_dies_is_answered_by_another_when_it_asks_again() {
    let (first, second) = (Backend::named("first").await, Backend::named("second").await);
    let port = free_port();
    let endpoints = [first.address, second.address];
    let mesh = Mesh::with(vec![udp("dns", port, &endpoints)]).await;
    let client = client(port).await;
    let name = ask(&client, b"?").await;
    let (gone, stays) = if name == b"first" { (first, "second") } else { (second, "first") };
    let gone = gone.close().await;
    assert_eq!(ask_until_answered(&client, b"?").await, stays.as_bytes());
    assert_eq!(count(&mesh, "dns", "sessions", None).await, 1, "it is the same session");

    // It comes back, and nobody minds.
    let _back = UdpSocket::bind(gone).await.unwrap();
    assert_eq!(ask(&client, b"?").await, stays.as_bytes());
}

#[tokio::test]
async fn changes_elsewhere_touch_no_session() {
    let (backend, added) = (Backend::echo().await, Backend::echo().await);
    let (port, another) = (free_port(), free_port());
    let mine = |endpoints: &[SocketAddr]| udp("dns", port, endpoints);
    let mut mesh = Mesh::with(vec![mine(&[backend.address])]).await;
    let client = client(port).await;
    let from = heard_from(&backend, &client).await;
    let mut unready = mine(&[backend.address]);
    unready.ports[0].endpoints[0].ready = false;
    unready.ports[0].endpoints[0].terminating = true;
    let changes: Vec<Vec<Service>> = vec![
        vec![mine(&[backend.address]), udp("other", another, &[added.address])],
        vec![mine(&[backend.address]), http("other", another, &[])],
        vec![mine(&[backend.address, added.address])],
        vec![asking("dns", port, &[backend.address], |policy| policy.sessions.service = 9)],
        vec![unready],
        vec![mine(&[backend.address])],
    ];
    for services in changes {
        mesh.apply(services).await;
        assert_eq!(heard_from(&backend, &client).await, from);
    }
    assert_eq!(count(&mesh, "dns", "sessions_opened_total", None).await, 1);
}

#[tokio::test]
async fn a_session_leaves_an_endpoint_that_has_gone_with_its_next_datagram() {
    let (first, second) = (Backend::silent().await, Backend::named("second").await);
    let port = free_port();
    let mut mesh = Mesh::with(vec![udp("dns", port, &[first.address])]).await;
    let client = client(port).await;
    client.send(b"?").await.unwrap();
    eventually("it is heard", async || !first.heard().is_empty()).await;
    mesh.apply(vec![udp("dns", port, &[second.address])]).await;
    // What was under way arrives.
    first.socket.send_to(b"late", first.last_from()).await.unwrap();
    assert_eq!(receive(&client).await, b"late");
    assert_eq!(ask(&client, b"?").await, b"second");
    assert_eq!(first.heard().len(), 1);
    let retired = Some(("reason", "retired"));
    assert_eq!(count(&mesh, "dns", "sessions_moved_total", retired).await, 1);
    assert_eq!(count(&mesh, "dns", "sessions_opened_total", None).await, 1, "it is the same session");
}

#[tokio::test]
async fn an_endpoint_that_is_about_to_end_keeps_its_sessions_while_it_serves() {
    let (old, new) = (Backend::named("old").await, Backend::named("new").await);
    let port = free_port();
    let mut mesh = Mesh::with(vec![udp("dns", port, &[old.address])]).await;
    let known = client(port).await;
    assert_eq!(ask(&known, b"?").await, b"old");
    let ending = |serving| {
        let mut service = udp("dns", port, &[old.address, new.address]);
        let endpoints = &mut service.ports[0].endpoints;
        let endpoint = endpoints.iter_mut().find(|endpoint| endpoint.port == old.address.port()).unwrap();
        (endpoint.ready, endpoint.serving, endpoint.terminating) = (false, serving, true);
        service
    };
    mesh.apply(vec![ending(true)]).await;
    for _ in 0..3 {
        assert_eq!(ask(&known, b"?").await, b"old");
        assert_eq!(ask(&client(port).await, b"?").await, b"new");
    }
    mesh.apply(vec![ending(false)]).await;
    assert_eq!(ask(&known, b"?").await, b"new");
}

#[tokio::test]
async fn a_listener_that_goes_takes_only_its_own_sessions_along() {
    let backend = Backend::echo().await;
    let (stays, goes) = (free_port(), free_port());
    let staying = || udp("stays", stays, &[backend.address]);
    let going = || udp("goes", goes, &[backend.address]);
    let mut mesh = Mesh::with(vec![staying(), going()]).await;
    let (kept, lost) = (client(stays).await, client(goes).await);
    let from = heard_from(&backend, &kept).await;
    for _ in 0..3 {
        heard_from(&backend, &lost).await;
        mesh.apply(vec![staying()]).await;
        // The kernel says that nobody is there.
        lost.send(b"?").await.unwrap();
        let mut buffer = [0; 8];
        let error = within(lost.recv(&mut buffer)).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        assert_eq!(heard_from(&backend, &kept).await, from);
        mesh.apply(vec![staying(), going()]).await;
    }
}

#[tokio::test]
async fn a_port_that_goes_to_another_service_or_protocol_serves_that() {
    let (one, other) = (Backend::named("one").await, Backend::named("other").await);
    let web = common::backend::Backend::named("web").await;
    let port = free_port();
    let mut mesh = Mesh::with(vec![udp("one", port, &[one.address])]).await;
    let client = client(port).await;
    assert_eq!(ask(&client, b"?").await, b"one");
    mesh.apply(vec![udp("other", port, &[other.address])]).await;
    assert_eq!(ask(&client, b"?").await, b"other");
    give_up_tcp(port);
    mesh.apply(vec![http("web", port, &[web.address])]).await;
    assert_eq!(exchange(&mut connect(port).await, GET.as_bytes()).await.text(), "web");
    mesh.apply(vec![udp("one", port, &[one.address])]).await;
    assert_eq!(ask(&client, b"?").await, b"one");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_and_served_when_it_is_free() {
    let backend = Backend::echo().await;
    let port = free_port();
    let taken = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).await.unwrap();
    let mesh = Mesh::with(vec![udp("dns", port, &[backend.address])]).await;
    let failed = |confirmation: &weft_contract::Confirmation| {
        confirmation.failed_listeners.iter().any(|failure| failure.port == port)
    };
    within(mesh.proxy.status.wait_for(failed)).await;
    drop(taken);
    within(mesh.proxy.status.wait_for(|now| !failed(now))).await;
    assert_eq!(ask(&client(port).await, b"?").await, b"?");
}

#[tokio::test]
async fn a_proxy_that_goes_serves_its_sessions_and_waits_only_for_those_in_use() {
    let backend = Backend::echo().await;
    let (port, web) = (free_port(), free_tcp_port());
    let mesh = Mesh::with(vec![udp("dns", port, &[backend.address]), http("web", web, &[])]).await;
    let known = client(port).await;
    let from = heard_from(&backend, &known).await;
    let patience = Patience { quiet: Duration::from_millis(50), deadline: common::PATIENCE };
    let gone = tokio::spawn(mesh.proxy.drain(patience));
    within(mesh.proxy.status.drain.closing()).await;
    assert_eq!(mesh.proxy.status.drain.phase(), Phase::Closing);
    assert_eq!(heard_from(&backend, &known).await, from, "what is there goes on");
    assert_eq!(ask(&client(port).await, b"new").await, b"new", "who comes still can go nowhere else");
    assert_eq!(mesh.proxy.connections(), 1, "a listener with sessions in use holds the exit");
    assert!(within(gone).await.unwrap(), "at rest it does not, long before its sessions expire");
    assert_eq!(count(&mesh, "dns", "sessions", None).await, 2);
}
