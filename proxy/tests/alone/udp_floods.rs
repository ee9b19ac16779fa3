//! Floods of datagrams end within the bounds, and leave nothing behind.

use crate::common::{
    Mesh,
    policy::eventually,
    udp::{Backend, ask, ask_until_answered, asking, client, client_from, count, free_port},
};
use std::{net::Ipv4Addr, time::Duration};

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn a_flood_of_clients_holds_no_more_than_the_bound() {
    let _alone = crate::ALONE.lock().await;
    let backend = Backend::silent().await;
    let port = free_port();
    let bounds = |policy: &mut weft_contract::Policy| {
        (policy.sessions.service, policy.sessions.source) = (64, 32);
    };
    let mesh = Mesh::with(vec![asking("dns", port, &[backend.address], bounds)]).await;
    let victim = client_from(Ipv4Addr::new(127, 0, 2, 1).into(), port).await;
    victim.send(b"mine").await.unwrap();
    eventually("it is heard", async || backend.heard().len() == 1).await;
    let (from, before) = (backend.last_from(), open_files());
    for number in 0..2000_u32 {
        client(port).await.send(&number.to_be_bytes()).await.unwrap();
        if number % 100 == 0 {
            let open = open_files();
            assert!(open < before + 64 + 32, "{open} files, {before} before");
        }
    }
    let evicted = Some(("reason", "evicted"));
    eventually("most had to go", async || count(&mesh, "dns", "sessions_ended_total", evicted).await >= 1900)
        .await;
    assert!(count(&mesh, "dns", "sessions", None).await <= 33);
    // A source that floods pays for itself alone.
    victim.send(b"still mine").await.unwrap();
    eventually("it is heard", async || backend.heard().iter().any(|(_, said)| said == b"still mine")).await;
    let heard = backend.heard();
    assert_eq!(heard.iter().find(|(_, said)| said == b"still mine").unwrap().0, from);
}

#[tokio::test]
async fn a_flood_of_one_client_leaves_room_for_the_others() {
    let _alone = crate::ALONE.lock().await;
    let backend = Backend::echo().await;
    let port = free_port();
    let mesh = Mesh::with(vec![asking("dns", port, &[backend.address], |_| {})]).await;
    let flood = client(port).await;
    for _ in 0..20_000 {
        flood.send(&[0; 1000]).await.unwrap();
    }
    assert_eq!(ask_until_answered(&client(port).await, b"hello").await, b"hello");
    assert_eq!(count(&mesh, "dns", "sessions", None).await, 2);
}

#[tokio::test]
async fn nothing_is_left_of_sessions_that_have_gone() {
    let _alone = crate::ALONE.lock().await;
    let backend = Backend::echo().await;
    let port = free_port();
    let soon = |policy: &mut weft_contract::Policy| policy.sessions.idle = Duration::from_millis(50);
    let mut mesh = Mesh::with(vec![asking("dns", port, &[backend.address], soon)]).await;
    eventually("the proxy is at rest", async || mesh.admin("/readyz").await.status() == 200).await;
    // A worker opens what a listener needs beside its socket; a session that was there says that it has.
    ask(&client(port).await, b"?").await;
    eventually("it has gone", async || count(&mesh, "dns", "sessions", None).await == 0).await;
    let before = open_files();
    for _ in 0..3 {
        for _ in 0..200 {
            ask(&client(port).await, b"?").await;
        }
        eventually("all have gone", async || {
            count(&mesh, "dns", "sessions", None).await == 0 && open_files() <= before
        })
        .await;
    }
    // With its listener they go at once.
    let wide = |policy: &mut weft_contract::Policy| policy.sessions.idle = Duration::from_secs(600);
    mesh.apply(vec![asking("dns", port, &[backend.address], wide)]).await;
    for _ in 0..200 {
        ask(&client(port).await, b"?").await;
    }
    // A client may get the port of one before, and with it that one's session.
    assert!(open_files() >= before + 150);
    mesh.apply(vec![]).await;
    eventually("all have gone", async || open_files() < before).await;
}
