//! The deadlines of gRPC calls, and whom a timeout speaks against.

use crate::common::{
    GET, Mesh, ask,
    backend::{Backend, ok},
    connect, dead, free_port,
    message::Message,
    policy::{asking, begin, end, flag},
};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};
use weft_contract::{
    Policy,
    policy::{Algorithm, HeaderChange},
};

const NEVER: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(100);

async fn mesh(endpoints: &[SocketAddr], change: impl FnOnce(&mut Policy)) -> (Mesh, u16) {
    let port = free_port();
    (Mesh::with(vec![asking("web", port, endpoints, change)]).await, port)
}

fn call(timeout: &str) -> String {
    format!(
        "POST /a.B/C HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ngrpc-timeout: {timeout}\r\n\
         content-length: 0\r\n\r\n"
    )
}

/// Takes turns, and sets whoever fails once aside for the whole test.
fn strict(policy: &mut Policy) {
    policy.balancing.algorithm = Algorithm::RoundRobin;
    policy.retry.attempts = 1;
    policy.outlier.consecutive = 1;
    policy.outlier.pause = NEVER;
}

#[tokio::test]
async fn another_try_has_what_is_left_of_the_deadline() {
    let backend = Backend::named("hello").await;
    let (mesh, port) = mesh(&[dead(), backend.address], |policy| {
        policy.balancing.algorithm = Algorithm::RoundRobin;
        policy.outlier.consecutive = 0;
    })
    .await;
    for _ in 0..2 {
        assert_eq!(ask(port, &call("50S")).await.text(), "hello");
    }
    mesh.shows("retries_total", "web", "", 1).await;
    let mut timeouts: Vec<String> =
        backend.requests().iter().map(|request| request.header("grpc-timeout").unwrap().to_owned()).collect();
    timeouts.sort_by_key(String::len);
    assert_eq!(timeouts[0], "50S", "as it came, where no time has gone by");
    let left: u64 = timeouts[1].strip_suffix('u').unwrap().parse().unwrap();
    assert!((1_000_000..50_000_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_service_may_set_a_deadline_of_its_own() {
    let backend = Backend::named("hello").await;
    let (mesh, port) = mesh(&[dead(), backend.address], |policy| {
        policy.balancing.algorithm = Algorithm::RoundRobin;
        policy.outlier.consecutive = 0;
        policy.actions.request_headers = vec![HeaderChange::Set("grpc-timeout".into(), "7S".into())];
    })
    .await;
    for _ in 0..2 {
        assert_eq!(ask(port, &call("50S")).await.text(), "hello");
    }
    mesh.shows("retries_total", "web", "", 1).await;
    for request in backend.requests() {
        assert_eq!(request.header("grpc-timeout"), Some("7S"));
    }
}

/// Asks until the timeout was met, and then some times more: who answers.
async fn answers_after_a_timeout(
    port: u16,
    request: &str,
    late: impl Fn(&Message) -> bool,
) -> BTreeSet<String> {
    while !late(&ask(port, request).await) {}
    let mut answers = BTreeSet::new();
    for _ in 0..4 {
        let answer = ask(port, request).await;
        answers.insert(if late(&answer) { "late".to_owned() } else { answer.text().to_owned() });
    }
    answers
}

#[tokio::test]
async fn the_services_own_timeout_speaks_against_the_endpoint() {
    let (mute, quick) = (Backend::slow(NEVER, |_| ok(b"never")).await, Backend::named("quick").await);
    let late = |answer: &Message| flag(answer).is_some();
    let changes: [fn(&mut Policy); 4] = [
        |policy| policy.timeouts.request = Some(SHORT),
        |policy| policy.timeouts.per_try = Some(SHORT),
        |policy| policy.timeouts.stream = Some(SHORT),
        |policy| policy.timeouts.idle = Some(SHORT),
    ];
    for change in changes {
        let (mesh, port) = mesh(&[mute.address, quick.address], |policy| {
            strict(policy);
            change(policy);
        })
        .await;
        let answers = answers_after_a_timeout(port, GET, late).await;
        assert_eq!(answers.into_iter().collect::<Vec<_>>(), ["quick"], "the other is set aside");
        let flags = ["deadline_exceeded", "try_timeout", "idle_timeout"];
        let mut failures = 0;
        for flag in flags {
            failures += mesh.metric("upstream_failures_total", "web", &format!("reason=\"{flag}\"")).await;
        }
        assert_eq!(failures, 1);
    }
}

#[tokio::test]
async fn a_callers_own_deadline_speaks_against_nobody() {
    let (mute, quick) = (Backend::slow(NEVER, |_| ok(b"never")).await, Backend::named("quick").await);
    let (_mesh, port) = mesh(&[mute.address, quick.address], strict).await;
    let late = |answer: &Message| answer.header("grpc-status") == Some("4");
    let answers = answers_after_a_timeout(port, &call("50m"), late).await;
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), ["late", "quick"], "both have their turns");
}

#[tokio::test]
async fn an_endpoint_that_waits_for_its_client_is_not_late() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    for change in
        [(|policy: &mut Policy| policy.timeouts.request = Some(SHORT)) as fn(&mut Policy), |policy| {
            policy.timeouts.per_try = Some(SHORT)
        }]
    {
        let (_mesh, port) = mesh(&[one.address, two.address], |policy| {
            strict(policy);
            change(policy);
        })
        .await;
        for _ in 0..2 {
            let mut client = connect(port).await;
            begin(&mut client, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await;
            assert_eq!(end(&mut client).await.status(), 504);
        }
        let mut answers = BTreeSet::new();
        for _ in 0..2 {
            answers.insert(ask(port, GET).await.text().to_owned());
        }
        assert_eq!(answers.len(), 2, "both have their turns");
    }
}
