//! What is tried again, how often, and what never is.

use crate::common::{
    self, GET, Mesh, ask,
    backend::{Backend, ok},
    connect, dead, free_port,
    message::{self, exchange},
    policy::{asking, flag, request, request_with},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{io::AsyncWriteExt, time::Instant};
use weft_contract::{
    Policy,
    policy::{Retry, RetryBudget, RetryOn},
};

fn status(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} No\r\ncontent-length: 2\r\n\r\nno").into_bytes()
}

async fn always(code: u16) -> Backend {
    Backend::http(move |_| status(code)).await
}

/// Answers with `first` once, then with 200.
async fn at_first(first: Vec<u8>) -> Backend {
    let asked = Arc::new(AtomicUsize::new(0));
    Backend::http(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => first.clone(),
        _ => ok(b"then"),
    })
    .await
}

/// Reads each request whole, and breaks the connection.
async fn breaking() -> Backend {
    Backend::connections(|mut stream, _, noted| async move {
        if let Ok(Some(request)) = message::read(&mut stream, false).await {
            noted.lock().unwrap().push(request);
        }
    })
    .await
}

/// Nothing is set aside, so that only the retries are seen.
fn retrying(attempts: u32, on: RetryOn) -> impl FnOnce(&mut Policy) {
    move |policy| {
        policy.outlier.consecutive = 0;
        policy.retry = Retry {
            attempts,
            on,
            backoff: Duration::from_millis(1),
            longest_backoff: Duration::from_millis(2),
            ..Retry::default()
        };
    }
}

fn on_5xx() -> RetryOn {
    RetryOn { server_error: true, ..RetryOn::default() }
}

async fn mesh(endpoints: &[SocketAddr], change: impl FnOnce(&mut Policy)) -> (Mesh, u16) {
    let port = free_port();
    (Mesh::with(vec![asking("web", port, endpoints, change)]).await, port)
}

#[tokio::test]
async fn attempts_are_tries_in_all() {
    for (attempts, expected) in [(0, 1), (1, 1), (2, 2), (4, 4)] {
        let backend = always(503).await;
        let (mesh, port) = mesh(&[backend.address], retrying(attempts, on_5xx())).await;
        let answer = ask(port, GET).await;
        assert_eq!((answer.status(), answer.text()), (503, "no"), "the endpoint's own answer is passed on");
        assert_eq!(backend.requests().len(), expected, "{attempts}");
        mesh.shows("retries_total", "web", "", expected as u64 - 1).await;
    }
}

#[tokio::test]
async fn by_default_only_a_failure_to_connect_is_tried_again() {
    for code in [500, 502, 503, 504, 429] {
        let backend = always(code).await;
        let (_mesh, port) = mesh(&[backend.address], |_| {}).await;
        assert_eq!(ask(port, GET).await.status(), code);
        assert_eq!(backend.requests().len(), 1);
    }
    let backend = Backend::named("there").await;
    let (mesh, port) =
        mesh(&[dead(), dead(), backend.address], |policy| policy.outlier.consecutive = 0).await;
    for _ in 0..20 {
        assert_eq!(ask(port, &request_with("POST /", "body")).await.text(), "there");
    }
    assert_eq!(backend.requests().len(), 20);
    assert!(backend.requests().iter().all(|request| request.body == b"body"));
    let failed = mesh.metric("upstream_failures_total", "web", "reason=\"connect_failed\"").await;
    mesh.shows("retries_total", "web", "", failed).await;
}

#[tokio::test]
async fn what_is_listed_is_tried_again_and_nothing_else() {
    let gateway = || RetryOn { gateway_error: true, ..RetryOn::default() };
    let listed = || RetryOn { statuses: vec![418, 429], ..RetryOn::default() };
    for (on, code, again) in [
        (on_5xx(), 500, true),
        (on_5xx(), 599, true),
        (on_5xx(), 404, false),
        (gateway(), 502, true),
        (gateway(), 503, true),
        (gateway(), 504, true),
        (gateway(), 500, false),
        (listed(), 418, true),
        (listed(), 429, true),
        (listed(), 503, false),
    ] {
        let backend = at_first(status(code)).await;
        let (_mesh, port) = mesh(&[backend.address], retrying(2, on)).await;
        let expected = if again { 200 } else { code };
        assert_eq!(ask(port, GET).await.status(), expected, "{code}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_again_on_demand_and_never_for_a_post() {
    let reset = || RetryOn { reset: true, ..RetryOn::default() };
    for (on, line, tries) in [
        (reset(), "GET /", 2),
        (reset(), "POST /", 1),
        (RetryOn::default(), "GET /", 1),
        (on_5xx(), "PUT /", 2),
    ] {
        let backend = breaking().await;
        let (mesh, port) = mesh(&[backend.address], retrying(2, on)).await;
        let answer = ask(port, &request_with(line, "body")).await;
        assert_eq!((answer.status(), flag(&answer)), (502, Some("endpoint_reset")));
        assert_eq!(backend.requests().len(), tries, "{line}");
        let failed = mesh.metric("upstream_failures_total", "web", "reason=\"endpoint_reset\"").await;
        assert_eq!(failed, tries as u64);
    }
}

#[tokio::test]
async fn a_post_that_was_answered_is_not_sent_again() {
    let backend = always(503).await;
    let everything = RetryOn { reset: true, gateway_error: true, statuses: vec![503], ..on_5xx() };
    let (_mesh, port) = mesh(&[backend.address], retrying(5, everything)).await;
    for line in ["POST /", "PATCH /"] {
        assert_eq!(ask(port, &request_with(line, "body")).await.status(), 503);
    }
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test]
async fn a_body_is_sent_again_as_long_as_it_fits_the_buffer() {
    for (size, again) in
        [(0, true), (1, true), (50_000, true), (64_000, true), (64_001, false), (500_000, false)]
    {
        let backend = at_first(status(503)).await;
        let retry = |policy: &mut Policy| {
            retrying(3, on_5xx())(policy);
            policy.retry.buffer_bytes = 64_000;
        };
        let (_mesh, port) = mesh(&[backend.address], retry).await;
        let body = "0123456789".repeat(size / 10 + 1)[..size].to_owned();
        let answer = ask(port, &request_with("PUT /", &body)).await;
        assert_eq!(answer.status(), if again { 200 } else { 503 }, "{size}");
        let bodies: Vec<_> = backend.requests().into_iter().map(|request| request.body).collect();
        assert_eq!(bodies.len(), if again { 2 } else { 1 }, "{size}");
        assert!(bodies.iter().all(|sent| sent == body.as_bytes()), "{size}");
    }
}

#[tokio::test]
async fn a_chunked_body_is_sent_again_too() {
    let backend = at_first(status(503)).await;
    let (_mesh, port) = mesh(&[backend.address], retrying(3, on_5xx())).await;
    let put =
        "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
    assert_eq!(ask(port, put).await.text(), "then");
    assert!(backend.requests().iter().all(|request| request.body == b"hello!"));
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test]
async fn each_try_is_at_another_endpoint() {
    let backends = [always(503).await, always(503).await, always(503).await, always(503).await];
    let addresses = backends.each_ref().map(|backend| backend.address);
    let (_mesh, port) = mesh(&addresses, retrying(4, on_5xx())).await;
    for turn in 1..=10 {
        assert_eq!(ask(port, GET).await.status(), 503);
        assert_eq!(backends.each_ref().map(|backend| backend.requests().len()), [turn; 4]);
    }
}

#[tokio::test]
async fn who_asks_to_be_left_alone_is_not_asked_again_before() {
    let wait = b"HTTP/1.1 503 No\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n".to_vec();
    let alone = at_first(wait.clone()).await;
    let (_mesh, port) = mesh(&[alone.address], retrying(3, on_5xx())).await;
    let start = Instant::now();
    assert_eq!(ask(port, GET).await.text(), "then");
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    drop(_mesh);

    let (busy, free) = (at_first(wait).await, Backend::named("free").await);
    let (_mesh, port) = mesh(&[busy.address, free.address], retrying(3, on_5xx())).await;
    let start = Instant::now();
    while busy.requests().is_empty() {
        assert_eq!(ask(port, GET).await.text(), "free", "another one is asked at once");
    }
    assert_eq!(ask(port, GET).await.text(), "free", "and nothing new goes to the busy one");
    assert_eq!(busy.requests().len(), 1);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn retries_cannot_storm() {
    const REQUESTS: u64 = 400;
    let backends = [always(503).await, always(503).await];
    let retry = |policy: &mut Policy| {
        retrying(5, on_5xx())(policy);
        policy.retry.budget = RetryBudget { percent: 20, floor_per_second: 2 };
    };
    let (mesh, port) = mesh(&backends.each_ref().map(|backend| backend.address), retry).await;
    let mut client = connect(port).await;
    for _ in 0..REQUESTS {
        assert_eq!(exchange(&mut client, GET.as_bytes()).await.status(), 503);
    }
    let sent: usize = backends.iter().map(|backend| backend.requests().len()).sum();
    let retries = mesh.metric("retries_total", "web", "").await;
    assert_eq!(sent as u64, REQUESTS + retries);
    // 20 % and 2 a second of ten; had it taken more than ten seconds, there would be some more.
    assert!((80..=100 + 20).contains(&retries), "{retries}");
}

#[tokio::test]
async fn a_new_configuration_gives_no_new_budget() {
    let backend = always(503).await;
    let port = free_port();
    let web = asking("web", port, &[backend.address], |policy| {
        retrying(2, on_5xx())(policy);
        policy.retry.budget = RetryBudget { percent: 0, floor_per_second: 1 };
    });
    let mut mesh = Mesh::with(vec![web.clone()]).await;
    for turn in 0..3 {
        for _ in 0..12 {
            assert_eq!(ask(port, GET).await.status(), 503);
        }
        let other = asking(&format!("other-{turn}"), free_port(), &[backend.address], |_| {});
        let mut web = web.clone();
        web.policy.timeouts.request = Some(Duration::from_secs(20 + turn));
        mesh.apply(vec![web, other]).await;
    }
    mesh.shows("retries_total", "web", "", 10).await;
}

#[tokio::test]
async fn a_client_that_sends_its_body_slowly_gets_the_second_answer_too() {
    let backend = at_first(status(503)).await;
    let (_mesh, port) = mesh(&[backend.address], retrying(2, on_5xx())).await;
    let mut client = connect(port).await;
    client.write_all(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n").await.unwrap();
    for byte in b"slowly" {
        client.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(common::policy::end(&mut client).await.text(), "then");
    assert!(backend.requests().iter().all(|request| request.body == b"slowly"));
    assert_eq!(ask(port, &request("GET /", &[])).await.text(), "then");
}
