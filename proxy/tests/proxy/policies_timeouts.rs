//! What may take how long, and what the client is told.

use crate::common::{
    self, GET, Mesh, ask,
    backend::{Backend, ok},
    connect, free_port,
    message::{self, Message, exchange},
    policy::{asking, begin, eventually, flag, request, request_with},
    within,
};
use socket2::{Domain, Socket, Type};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};
use weft_contract::{Policy, policy::RetryOn};

/// Longer than any timeout here.
const NEVER: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(100);

async fn mute() -> Backend {
    Backend::slow(NEVER, |_| ok(b"never")).await
}

async fn mesh(endpoints: &[SocketAddr], change: impl FnOnce(&mut Policy)) -> (Mesh, u16) {
    let port = free_port();
    (Mesh::with(vec![asking("web", port, endpoints, change)]).await, port)
}

#[track_caller]
fn assert_late(answer: &Message, expected: &str) {
    assert_eq!((answer.status(), flag(answer)), (504, Some(expected)), "{}", answer.head);
    assert!(answer.text().starts_with("weft: ") && answer.text().ends_with('\n'), "{:?}", answer.text());
}

/// An endpoint that nobody accepts at, and whose queue of connections is full, so that the kernel answers no more.
struct BlackHole {
    address: SocketAddr,
    _listener: Socket,
    _full: Vec<Socket>,
}

impl BlackHole {
    fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut full = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            match socket.connect_timeout(&address.into(), Duration::from_millis(100)) {
                Ok(()) => full.push(socket),
                Err(_) => return Self { address, _listener: listener, _full: full },
            }
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_does_not_accept_in_time_costs_no_request() {
    let (hole, backend) = (BlackHole::new(), Backend::named("there").await);
    let (mesh, port) = mesh(&[hole.address, backend.address], |policy| {
        policy.timeouts.connect = Some(SHORT);
    })
    .await;
    for _ in 0..10 {
        assert_eq!(ask(port, &request_with("POST /", "body")).await.text(), "there");
    }
    assert_eq!(backend.requests().len(), 10);
    assert!(mesh.metric("upstream_failures_total", "web", "reason=\"connect_timeout\"").await > 0);
}

#[tokio::test]
async fn when_none_accepts_in_time_the_answer_says_so() {
    let hole = BlackHole::new();
    let (mesh, port) = mesh(&[hole.address], |policy| {
        policy.timeouts.connect = Some(SHORT);
        policy.retry.attempts = 2;
    })
    .await;
    let start = Instant::now();
    assert_late(&ask(port, GET).await, "connect_timeout");
    assert!(start.elapsed() >= 2 * SHORT);
    mesh.answers("web", "connect_timeout", 1).await;
    mesh.shows("upstream_failures_total", "web", "reason=\"connect_timeout\"", 2).await;
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_made_elsewhere() {
    let (slow, quick) = (mute().await, Backend::named("quick").await);
    let on = [
        RetryOn { server_error: true, ..RetryOn::default() },
        RetryOn { gateway_error: true, ..RetryOn::default() },
        RetryOn { statuses: vec![504], ..RetryOn::default() },
    ];
    for on in on {
        let before = slow.requests().len();
        let (mesh, port) = mesh(&[slow.address, quick.address], |policy| {
            policy.timeouts.per_try = Some(SHORT);
            policy.retry.on = on;
        })
        .await;
        while slow.requests().len() == before {
            assert_eq!(ask(port, GET).await.text(), "quick");
        }
        mesh.shows("upstream_failures_total", "web", "reason=\"try_timeout\"", 1).await;
        mesh.shows("retries_total", "web", "", 1).await;
    }
}

#[tokio::test]
async fn where_no_try_is_in_time_the_answer_is_504() {
    let slow = mute().await;
    let (mesh, port) = mesh(&[slow.address], |policy| {
        policy.timeouts.per_try = Some(SHORT);
        policy.retry.on.server_error = true;
        policy.retry.attempts = 2;
    })
    .await;
    assert_late(&ask(port, GET).await, "try_timeout");
    assert_eq!(slow.requests().len(), 2);
    assert_late(&ask(port, &request_with("POST /", "body")).await, "try_timeout");
    assert_eq!(slow.requests().len(), 3, "a POST may be under way still");
    mesh.answers("web", "try_timeout", 2).await;
}

#[tokio::test]
async fn the_timeout_of_a_request_is_over_all_tries() {
    let slow = mute().await;
    let (mesh, port) = mesh(&[slow.address], |policy| {
        policy.timeouts.per_try = Some(SHORT);
        policy.timeouts.request = Some(SHORT * 7 / 2);
        policy.retry.on.server_error = true;
        policy.retry.attempts = 100;
        policy.outlier.consecutive = 0;
    })
    .await;
    let start = Instant::now();
    assert_late(&ask(port, GET).await, "deadline_exceeded");
    assert!(start.elapsed() >= SHORT * 7 / 2);
    assert!((2..=4).contains(&slow.requests().len()), "{}", slow.requests().len());
    mesh.answers("web", "deadline_exceeded", 1).await;
}

/// Begins an answer at once, and goes on with it after `pause`.
async fn streaming(pause: Duration) -> Backend {
    Backend::connections(move |mut stream, _, noted| async move {
        while let Ok(Some(request)) = message::read(&mut stream, false).await {
            noted.lock().unwrap().push(request);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha").await.unwrap();
            sleep(pause).await;
            if stream.write_all(b"lf").await.is_err() {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_stream_is_not_cut_by_the_timeout_of_its_request() {
    let backend = streaming(3 * SHORT).await;
    let (_mesh, port) = mesh(&[backend.address], |policy| {
        policy.timeouts.request = Some(SHORT);
        policy.timeouts.per_try = Some(SHORT);
    })
    .await;
    assert_eq!(ask(port, GET).await.text(), "half");
}

/// Reads an answer that breaks off, which the client must be able to tell.
async fn broken_off(port: u16) {
    let mut client = connect(port).await;
    begin(&mut client, GET).await;
    let head = within(message::head(&mut client)).await.unwrap().unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut rest = Vec::new();
    assert!(within(client.read_to_end(&mut rest)).await.is_err() || rest.len() < 4);
}

#[tokio::test]
async fn a_stream_is_cut_where_that_is_asked_for() {
    let backend = streaming(NEVER).await;
    let (mesh, port) = mesh(&[backend.address], |policy| policy.timeouts.stream = Some(SHORT)).await;
    broken_off(port).await;
    mesh.answers("web", "deadline_exceeded", 1).await;
    mesh.shows("requests_total", "web", "code=\"2xx\"", 1).await;
}

#[tokio::test]
async fn what_stands_still_is_ended() {
    let (mute, streaming) = (mute().await, streaming(NEVER).await);
    let (first, second) = (free_port(), free_port());
    let idle = |policy: &mut Policy| policy.timeouts.idle = Some(SHORT);
    let mesh = Mesh::with(vec![
        asking("mute", first, &[mute.address], idle),
        asking("web", second, &[streaming.address], idle),
    ])
    .await;
    assert_late(&ask(first, GET).await, "idle_timeout");
    mesh.answers("mute", "idle_timeout", 1).await;
    broken_off(second).await;
    mesh.answers("web", "idle_timeout", 1).await;
}

#[tokio::test]
async fn what_moves_is_not_idle() {
    let backend = Backend::connections(|mut stream, _, _| async move {
        message::read(&mut stream, false).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n").await.unwrap();
        for _ in 0..12 {
            sleep(Duration::from_millis(30)).await;
            stream.write_all(b".").await.unwrap();
        }
    })
    .await;
    let (_mesh, port) =
        mesh(&[backend.address], |policy| policy.timeouts.idle = Some(Duration::from_millis(300))).await;
    assert_eq!(ask(port, GET).await.text(), "............");
}

#[tokio::test]
async fn a_websocket_that_is_silent_is_ended() {
    let backend = Backend::connections(|mut stream, _, noted| async move {
        let request = message::read(&mut stream, true).await.unwrap().unwrap();
        noted.lock().unwrap().push(request);
        let accepted =
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
        stream.write_all(accepted.as_bytes()).await.unwrap();
        let mut byte = [0];
        while stream.read_exact(&mut byte).await.is_ok() {
            stream.write_all(&byte).await.unwrap();
        }
    })
    .await;
    let (mesh, port) = mesh(&[backend.address], |policy| {
        policy.timeouts.idle = Some(3 * SHORT);
        policy.timeouts.request = Some(SHORT);
    })
    .await;
    let mut client = connect(port).await;
    let upgrade = b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    client.write_all(upgrade).await.unwrap();
    let head = within(message::head(&mut client)).await.unwrap().unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for _ in 0..5 {
        sleep(SHORT).await;
        client.write_all(b".").await.unwrap();
        let mut byte = [0];
        within(client.read_exact(&mut byte)).await.unwrap();
    }
    let mut rest = Vec::new();
    let _ = within(client.read_to_end(&mut rest)).await; // by whichever end
    assert!(rest.is_empty());
    eventually("it is counted", async || mesh.own_answers("web", "idle_timeout").await == 1).await;
}

#[tokio::test]
async fn a_grpc_deadline_holds_like_a_timeout_of_the_service() {
    let slow = mute().await;
    let (_mesh, port) = mesh(&[slow.address], |_| {}).await;
    let call = "POST /a.B/C HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ngrpc-timeout: 100m\r\n\
        content-length: 0\r\n\r\n";
    let answer = ask(port, call).await;
    assert_eq!((answer.status(), answer.header("grpc-status")), (200, Some("4")), "{}", answer.head);
}

#[tokio::test]
async fn a_request_that_is_no_grpc_call_has_no_grpc_deadline() {
    let backend = Backend::slow(SHORT, |_| ok(b"hello")).await;
    let (_mesh, port) = mesh(&[backend.address], |_| {}).await;
    assert_eq!(ask(port, &request("GET /", &["grpc-timeout: 1n"])).await.text(), "hello");
    assert_eq!(backend.requests()[0].header("grpc-timeout"), Some("1n"));
}

#[tokio::test]
async fn a_connection_goes_on_after_a_request_that_was_late() {
    let backend = Backend::connections(|mut stream, number, noted| async move {
        while let Ok(Some(request)) = message::read(&mut stream, false).await {
            noted.lock().unwrap().push(request);
            if number == 1 {
                sleep(NEVER).await;
            }
            stream.write_all(&ok(b"quick")).await.unwrap();
        }
    })
    .await;
    let (_mesh, port) = mesh(&[backend.address], |policy| policy.timeouts.request = Some(SHORT)).await;
    let mut client = connect(port).await;
    assert_late(&exchange(&mut client, GET.as_bytes()).await, "deadline_exceeded");
    assert_eq!(exchange(&mut client, GET.as_bytes()).await.text(), "quick", "on another connection to it");
}

#[tokio::test]
async fn a_client_that_stands_still_in_its_body_is_told() {
    let backend = Backend::named("hello").await;
    let (mesh, port) = mesh(&[backend.address], |policy| policy.limits.body_timeout = SHORT).await;
    let mut client = connect(port).await;
    begin(&mut client, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await;
    let answer = common::policy::end(&mut client).await;
    assert_eq!((answer.status(), flag(&answer)), (408, Some("request_timeout")));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(within(message::read(&mut client, false)).await.unwrap().is_none(), "and the connection ends");
    mesh.answers("web", "request_timeout", 1).await;
}
