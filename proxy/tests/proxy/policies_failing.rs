//! Endpoints that fail, Services that fail, and connections that went stale.

use crate::common::{
    GET, Mesh, ask,
    backend::{Backend, ok},
    connect, dead, free_port,
    message::{self, exchange},
    policy::{asking, eventually, flag, request_with},
    within,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::io::AsyncWriteExt;
use weft_contract::{
    Policy, ServiceKey, Trip,
    policy::{Algorithm, Outlier},
};

/// A backend that fails while its switch is on.
async fn switched() -> (Backend, Arc<AtomicBool>) {
    let failing = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&failing);
    let backend = Backend::http(move |_| match failing.load(Ordering::SeqCst) {
        true => b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_vec(),
        false => ok(b"well"),
    })
    .await;
    (backend, switch)
}

/// A short pause; and no slow start, so that what is back is back.
fn ejecting(consecutive: u32, pause: Duration) -> impl FnOnce(&mut Policy) {
    move |policy| {
        policy.outlier =
            Outlier { consecutive, success_percent: 0, pause, longest_pause: pause, ..Outlier::default() };
        policy.balancing.slow_start = Duration::ZERO;
    }
}

async fn mesh(endpoints: &[SocketAddr], change: impl FnOnce(&mut Policy)) -> (Mesh, u16) {
    let port = free_port();
    (Mesh::with(vec![asking("web", port, endpoints, change)]).await, port)
}

async fn ejected(mesh: &Mesh) -> u64 {
    mesh.metric("endpoints", "web", "state=\"ejected\"").await
}

#[tokio::test]
async fn an_endpoint_that_fails_is_set_aside() {
    let (bad, _) = switched().await;
    let good = [Backend::named("good").await, Backend::named("good").await];
    let endpoints = [bad.address, good[0].address, good[1].address];
    let (mesh, port) = mesh(&endpoints, ejecting(3, Duration::from_secs(60))).await;
    while bad.requests().len() < 3 {
        ask(port, GET).await;
    }
    for _ in 0..50 {
        assert_eq!(ask(port, GET).await.text(), "good");
    }
    assert_eq!(bad.requests().len(), 3);
    assert_eq!(ejected(&mesh).await, 1);
    mesh.shows("endpoints", "web", "state=\"available\"", 2).await;
}

#[tokio::test]
async fn one_request_probes_it_and_it_comes_back_when_it_is_well() {
    let (bad, switch) = switched().await;
    let good = Backend::named("good").await;
    let (mesh, port) = mesh(&[bad.address, good.address], ejecting(3, Duration::from_millis(300))).await;
    while bad.requests().len() < 3 {
        ask(port, GET).await;
    }
    assert_eq!(ejected(&mesh).await, 1);
    let mut failed = 0;
    while bad.requests().len() < 4 {
        failed += u32::from(ask(port, GET).await.status() == 500);
    }
    assert_eq!(failed, 1, "the probe, and nothing else");
    switch.store(false, Ordering::SeqCst);
    eventually("it takes part again", async || {
        ask(port, GET).await;
        ejected(&mesh).await == 0
    })
    .await;
    let before = bad.requests().len();
    eventually("it has its share again", async || {
        ask(port, GET).await;
        bad.requests().len() >= before + 10
    })
    .await;
}

#[tokio::test]
async fn never_more_than_half_are_set_aside() {
    let bad = [switched().await.0, switched().await.0, switched().await.0, switched().await.0];
    let addresses = bad.each_ref().map(|backend| backend.address);
    let (mesh, port) = mesh(&addresses, |policy| {
        ejecting(2, Duration::from_secs(60))(policy);
        policy.outlier.most_percent = 100;
    })
    .await;
    for _ in 0..60 {
        assert_eq!(ask(port, GET).await.status(), 500, "somebody is always asked");
    }
    assert_eq!(ejected(&mesh).await, 2);
    let (alone, _) = switched().await;
    let (mesh, port) = self::mesh(&[alone.address], ejecting(1, Duration::from_secs(60))).await;
    for _ in 0..5 {
        assert_eq!(ask(port, GET).await.status(), 500);
    }
    assert_eq!(ejected(&mesh).await, 0, "the only one never is");
}

#[tokio::test]
async fn an_endpoint_that_is_dead_is_not_tried_for_long() {
    let good = Backend::named("good").await;
    let (mesh, port) = mesh(&[dead(), good.address], |policy| {
        ejecting(3, Duration::from_secs(60))(policy);
        policy.balancing.algorithm = Algorithm::RoundRobin;
    })
    .await;
    for _ in 0..60 {
        assert_eq!(ask(port, GET).await.text(), "good");
    }
    assert_eq!(ejected(&mesh).await, 1);
    mesh.shows("retries_total", "web", "", 3).await;
}

#[tokio::test]
async fn what_is_set_aside_stays_so_through_changes_of_other_things() {
    let (bad, _) = switched().await;
    let good = Backend::named("good").await;
    let port = free_port();
    let service = |others: &[SocketAddr]| {
        let endpoints = [&[bad.address, good.address], others].concat();
        asking("web", port, &endpoints, ejecting(3, Duration::from_secs(60)))
    };
    let mut mesh = Mesh::with(vec![service(&[])]).await;
    while bad.requests().len() < 3 {
        ask(port, GET).await;
    }
    let another = Backend::named("good").await;
    mesh.apply(vec![service(&[another.address])]).await;
    mesh.apply(vec![service(&[]), asking("other", free_port(), &[good.address], |_| {})]).await;
    for _ in 0..30 {
        assert_eq!(ask(port, GET).await.text(), "good");
    }
    assert_eq!((bad.requests().len(), ejected(&mesh).await), (3, 1));
}

/// It is open for Traefik's ten seconds, so one test shows all of it. That it closes is seen in virtual time.
#[tokio::test]
async fn a_circuit_breaker_opens_says_so_and_recovers() {
    let (backend, switch) = switched().await;
    let port = free_port();
    let breaking = |policy: &mut Policy| {
        policy.circuit_breaker = Some("ResponseCodeRatio(500, 600, 0, 600) > 0.5".into());
    };
    let web = asking("web", port, &[backend.address], breaking);
    let mut mesh = Mesh::with(vec![web.clone(), asking("other", free_port(), &[], breaking)]).await;
    assert!(mesh.confirmation().await.tripped.is_empty());
    let opened = async || flag(&ask(port, GET).await) == Some("breaker_open");
    eventually("it opens", opened).await;
    let sent = backend.requests().len();
    let mut client = connect(port).await;
    for _ in 0..3 {
        let answer = exchange(&mut client, GET.as_bytes()).await;
        assert_eq!((answer.status(), flag(&answer)), (503, Some("breaker_open")));
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=10).contains(&seconds), "{seconds}");
    }
    assert_eq!(backend.requests().len(), sent, "nothing gets through");
    mesh.shows("circuit_breaker_trips_total", "web", "", 1).await;
    mesh.answers("web", "breaker_open", 4).await;
    let trip = |open| Trip { service: ServiceKey::new("shop", "web"), port: 80, times: 1, open };
    assert_eq!(mesh.confirmation().await.tripped, [trip(true)], "and the operator is told");

    let other = asking("third", free_port(), &[], |_| {});
    mesh.apply(vec![web, other]).await;
    let answer = ask(port, GET).await;
    assert_eq!(flag(&answer), Some("breaker_open"), "a change of other things does not close it");

    switch.store(false, Ordering::SeqCst);
    let mut passed = 0;
    eventually("requests pass again, some at first", async || {
        passed += u32::from(ask(port, GET).await.text() == "well");
        passed > 3
    })
    .await;
    assert_eq!(mesh.confirmation().await.tripped, [trip(true)], "while it recovers it is open still");
}

/// Answers one request on each connection as if it kept it, and closes it when it is told.
async fn closing(closed: Arc<AtomicUsize>) -> Backend {
    Backend::connections(move |mut stream, _, noted| {
        let closed = Arc::clone(&closed);
        async move {
            let Ok(Some(request)) = message::read(&mut stream, false).await else { return };
            noted.lock().unwrap().push(request);
            stream.write_all(&ok(b"once")).await.unwrap();
            drop(stream);
            closed.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await
}

#[tokio::test]
async fn a_post_is_never_lost_on_a_connection_that_was_closed_before() {
    const REQUESTS: usize = 300;
    let closed = Arc::new(AtomicUsize::new(0));
    let backend = closing(Arc::clone(&closed)).await;
    let (mesh, port) = mesh(&[backend.address], |_| {}).await;
    let mut client = connect(port).await;
    for turn in 1..=REQUESTS {
        let answer = exchange(&mut client, request_with("POST /", "body").as_bytes()).await;
        assert_eq!((answer.status(), answer.text()), (200, "once"), "{turn}");
        eventually("it is closed", async || closed.load(Ordering::SeqCst) == turn).await;
    }
    assert_eq!(backend.requests().len(), REQUESTS);
    mesh.shows("retries_total", "web", "", 0).await;
}

#[tokio::test]
async fn a_get_is_never_lost_even_where_the_end_comes_at_the_same_moment() {
    let closed = Arc::new(AtomicUsize::new(0));
    let backend = closing(Arc::clone(&closed)).await;
    let (_mesh, port) = mesh(&[backend.address], |_| {}).await;
    let clients = (0..20).map(|_| async move {
        let mut client = connect(port).await;
        for _ in 0..20 {
            let answer = exchange(&mut client, GET.as_bytes()).await;
            assert_eq!((answer.status(), answer.text()), (200, "once"));
        }
    });
    within(futures::future::join_all(clients)).await;
    assert_eq!(backend.requests().len(), 400);
}
