//! gRPC through the proxy, as bytes on HTTP/2.

use crate::common::{
    self, Mesh, dead, free_port, http,
    http2::{self, Answer, Backend, Stream},
    within,
};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Request, Response};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::mpsc, time::Instant};
use weft_contract::{Policy, policy::Scheme};
use weft_proxy::drain::Patience;

async fn mesh(policy: Policy, endpoints: &[SocketAddr]) -> (Mesh, u16) {
    let port = free_port();
    let mut service = http("web", port, endpoints);
    service.ports[0].scheme = Scheme::H2c;
    service.policy = policy;
    (Mesh::with(vec![service]).await, port)
}

fn call(timeout: Option<&str>) -> Request<()> {
    let mut request = http2::post("/greeter.Greeter/Hello");
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc+proto"));
    headers.insert("te", HeaderValue::from_static("trailers"));
    if let Some(timeout) = timeout {
        headers.insert("grpc-timeout", HeaderValue::from_str(timeout).unwrap());
    }
    request
}

fn message(payload: &[u8]) -> Bytes {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0][..], &length, payload].concat().into()
}

fn status(code: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_str(code).unwrap());
    trailers
}

fn grpc_head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc+proto").body(()).unwrap()
}

/// An answer that is nothing but a head.
fn trailers_only(code: &str) -> Response<()> {
    let mut head = grpc_head();
    head.headers_mut().extend(status(code));
    head
}

async fn unary(client: &SendRequest<Bytes>, request: Request<()>, payload: &[u8]) -> Answer {
    let mut client = within(client.clone().ready()).await.unwrap();
    let (answer, mut send) = client.send_request(request, false).unwrap();
    // An endpoint may answer and end before it has read all.
    let read = async { http2::read(within(answer).await.unwrap()).await.unwrap() };
    let (answer, _) = tokio::join!(read, http2::send(&mut send, message(payload), true));
    answer
}

/// Answers each message with itself, and ends with 0.
async fn echo() -> Backend {
    Backend::streams(|mut stream: Stream| async move {
        let mut send = stream.respond.send_response(grpc_head(), false).unwrap();
        while let Some(Ok(data)) = stream.body.data().await {
            stream.body.flow_control().release_capacity(data.len()).unwrap();
            if http2::send(&mut send, data, false).await.is_err() {
                return;
            }
        }
        let _ = send.send_trailers(status("0")); // the client may have gone
    })
    .await
}

fn code(answer: &Answer) -> &str {
    let trailers = answer.trailers.as_ref().unwrap_or(&answer.headers);
    trailers["grpc-status"].to_str().unwrap()
}

#[tokio::test]
async fn unary_calls_pass_large_ones_too() {
    let backend = echo().await;
    let (_mesh, port) = mesh(Policy::default(), &[backend.address]).await;
    let client = http2::connect(port).await;
    for size in [0, 10, 3 * 1024 * 1024] {
        let payload = vec![7; size];
        let answer = unary(&client, call(None), &payload).await;
        assert_eq!((answer.status, code(&answer)), (200, "0"));
        assert!(answer.body == message(&payload));
        assert!(!answer.headers.contains_key("grpc-status"), "it stands in the trailers");
    }
    let seen = &backend.requests()[0];
    assert_eq!(seen.headers["te"], "trailers");
    assert_eq!(seen.headers["content-type"], "application/grpc+proto");
}

#[tokio::test]
async fn streams_of_both_directions_pass_message_by_message() {
    let backend = echo().await;
    let (_mesh, port) = mesh(Policy::default(), &[backend.address]).await;
    let mut client = http2::connect(port).await;
    let (answer, mut send) = client.send_request(call(None), false).unwrap();
    let mut body = within(answer).await.unwrap().into_body();
    for payload in [&b"one"[..], b"two", b"three"] {
        send.send_data(message(payload), false).unwrap();
        assert_eq!(within(body.data()).await.unwrap().unwrap(), message(payload));
    }
    send.send_data(Bytes::new(), true).unwrap();
    let (rest, trailers) = http2::read_body(&mut body).await.unwrap();
    assert_eq!((rest.len(), &trailers.unwrap()["grpc-status"]), (0, &HeaderValue::from_static("0")));
}

#[tokio::test]
async fn a_server_that_ends_a_call_early_is_heard() {
    let backend = Backend::streams(|mut stream: Stream| async move {
        let mut send = stream.respond.send_response(grpc_head(), false).unwrap();
        stream.body.data().await.unwrap().unwrap();
        send.send_data(message(b"enough"), false).unwrap();
        send.send_trailers(status("9")).unwrap();
    })
    .await;
    let (_mesh, port) = mesh(Policy::default(), &[backend.address]).await;
    let mut client = http2::connect(port).await;
    let (answer, mut send) = client.send_request(call(None), false).unwrap();
    send.send_data(message(b"first"), false).unwrap();
    let answer = http2::read(within(answer).await.unwrap()).await.unwrap();
    assert_eq!((&answer.body[..], code(&answer)), (&message(b"enough")[..], "9"));
}

#[tokio::test]
async fn an_answer_of_trailers_only_stays_one() {
    let backend = Backend::streams(|mut stream: Stream| async move {
        stream.respond.send_response(trailers_only("5"), true).unwrap();
    })
    .await;
    let (_mesh, port) = mesh(Policy::default(), &[backend.address]).await;
    let answer = unary(&http2::connect(port).await, call(None), b"x").await;
    assert_eq!((answer.status, answer.headers["grpc-status"].to_str().unwrap()), (200, "5"));
    assert!(answer.trailers.is_none() && answer.body.is_empty());
}

#[tokio::test]
async fn calls_of_one_connection_are_balanced_one_by_one() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    let (_mesh, port) = mesh(Policy::default(), &[one.address, two.address]).await;
    let client = http2::connect(port).await;
    for _ in 0..40 {
        unary(&client, call(None), b"x").await;
    }
    let (first, second) = (one.requests().len(), two.requests().len());
    assert_eq!(first + second, 40);
    assert!(first > 0 && second > 0, "{first} {second}");
    assert!(one.opened() + two.opened() <= 4, "one connection for each worker and endpoint");
}

#[tokio::test]
async fn what_the_proxy_says_itself_is_a_status_of_grpc() {
    for (endpoints, expected) in [(vec![], "14"), (vec![dead()], "14")] {
        let (_mesh, port) = mesh(Policy::default(), &endpoints).await;
        let client = http2::connect(port).await;
        let answer = unary(&client, call(None), b"x").await;
        assert_eq!((answer.status, code(&answer)), (200, expected));
        assert!(answer.headers["grpc-message"].to_str().unwrap().starts_with("weft: "));
        assert!(answer.headers.contains_key("proxy-status"));
        assert_eq!(answer.headers["content-type"], "application/grpc");
        assert!(answer.trailers.is_none() && answer.body.is_empty());
    }
}

/// An address that takes connections and never says anything.
async fn silent() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap(), listener)
}

#[tokio::test]
async fn a_deadline_that_passes_before_an_answer_is_deadline_exceeded() {
    let waits = Backend::streams(|stream: Stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let (nobody, _listener) = silent().await;
    for endpoint in [waits.address, nobody] {
        let (_mesh, port) = mesh(Policy::default(), &[endpoint]).await;
        let client = http2::connect(port).await;
        let begun = Instant::now();
        let answer = unary(&client, call(Some("200m")), b"x").await;
        assert_eq!((answer.status, code(&answer)), (200, "4"));
        assert!(begun.elapsed() >= Duration::from_millis(200));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

#[tokio::test]
async fn a_deadline_that_passes_within_an_answer_is_deadline_exceeded_and_ends_the_call() {
    let (told, mut ended) = mpsc::unbounded_channel();
    let backend = Backend::streams(move |mut stream: Stream| {
        let told = told.clone();
        async move {
            let mut send = stream.respond.send_response(grpc_head(), false).unwrap();
            send.send_data(message(b"one"), false).unwrap();
            let reset = std::future::poll_fn(|context| send.poll_reset(context)).await;
            told.send(reset.unwrap()).unwrap();
        }
    })
    .await;
    let (_mesh, port) = mesh(Policy::default(), &[backend.address]).await;
    let client = http2::connect(port).await;
    let answer = unary(&client, call(Some("300m")), b"x").await;
    assert_eq!((&answer.body[..], code(&answer)), (&message(b"one")[..], "4"));
    assert_eq!(within(ended.recv()).await.unwrap(), h2::Reason::CANCEL);
}

#[tokio::test]
async fn an_endpoint_that_dies_within_an_answer_is_unavailable() {
    let backend = Backend::streams(|mut stream: Stream| async move {
        let mut send = stream.respond.send_response(grpc_head(), false).unwrap();
        send.send_data(message(b"one"), false).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        send.send_reset(h2::Reason::INTERNAL_ERROR);
    })
    .await;
    let (_mesh, port) = mesh(Policy::default(), &[backend.address]).await;
    let answer = unary(&http2::connect(port).await, call(None), b"x").await;
    assert_eq!((&answer.body[..], code(&answer)), (&message(b"one")[..], "14"));
}

#[tokio::test]
async fn unavailable_is_tried_again_where_the_service_asks_for_it() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let backend = Backend::streams(move |mut stream: Stream| {
        let calls = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let (body, _) = http2::read_body(&mut stream.body).await.unwrap();
            assert_eq!(body, message(b"again"), "the body is sent again");
            if calls < 2 {
                stream.respond.send_response(trailers_only("14"), true).unwrap();
            } else {
                let mut send = stream.respond.send_response(grpc_head(), false).unwrap();
                send.send_trailers(status("0")).unwrap();
            }
        }
    })
    .await;
    let mut policy = Policy::default();
    let (_mesh, port) = mesh(policy.clone(), &[backend.address]).await;
    let answer = unary(&http2::connect(port).await, call(None), b"again").await;
    assert_eq!(code(&answer), "14", "not by default");
    calls.store(0, Ordering::SeqCst);
    policy.retry.on.grpc_codes = vec![14];
    let (_mesh, port) = mesh(policy, &[backend.address]).await;
    let answer = unary(&http2::connect(port).await, call(None), b"again").await;
    assert_eq!((code(&answer), calls.load(Ordering::SeqCst)), ("0", 3));
}

#[tokio::test]
async fn a_call_that_the_client_cancels_ends_at_the_backend() {
    let (told, mut ended) = mpsc::unbounded_channel();
    let (begun, mut begins) = mpsc::unbounded_channel();
    let backend = Backend::streams(move |mut stream: Stream| {
        let (told, begun) = (told.clone(), begun.clone());
        async move {
            begun.send(()).unwrap();
            let reset = if stream.request.uri.path().ends_with("Hello") {
                std::future::poll_fn(|context| stream.respond.poll_reset(context)).await
            } else {
                let mut send = stream.respond.send_response(grpc_head(), false).unwrap();
                send.send_data(message(b"one"), false).unwrap();
                std::future::poll_fn(|context| send.poll_reset(context)).await
            };
            told.send(reset.unwrap()).unwrap();
        }
    })
    .await;
    let (_mesh, port) = mesh(Policy::default(), &[backend.address]).await;
    // Before an answer, within one, and by the end of the whole connection.
    let mut client = http2::connect(port).await;
    let (answer, mut send) = client.send_request(call(None), false).unwrap();
    within(begins.recv()).await.unwrap();
    send.send_reset(h2::Reason::CANCEL);
    assert_eq!(within(ended.recv()).await.unwrap(), h2::Reason::CANCEL);
    drop(answer);

    let mut within_one = call(None);
    *within_one.uri_mut() = "http://web.shop.mesh/greeter.Greeter/Stream".parse().unwrap();
    let (answer, send) = client.send_request(within_one, false).unwrap();
    let answer = within(answer).await.unwrap();
    drop((answer, send));
    assert_eq!(within(ended.recv()).await.unwrap(), h2::Reason::CANCEL);

    let stream = common::connect(port).await;
    let (mut client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let (_answer, _send) = client.send_request(call(None), false).unwrap();
    for _ in 0..2 {
        within(begins.recv()).await.unwrap();
    }
    driver.abort();
    assert_eq!(within(ended.recv()).await.unwrap(), h2::Reason::CANCEL);
}

#[tokio::test]
async fn a_proxy_that_drains_says_goaway_and_finishes_what_is_under_way() {
    let backend = echo().await;
    let (mesh, port) = mesh(Policy::default(), &[backend.address]).await;
    let mut client = http2::connect(port).await;
    let (answer, mut send) = client.send_request(call(None), false).unwrap();
    let mut body = within(answer).await.unwrap().into_body();
    let patience = Patience { quiet: Duration::from_millis(300), deadline: Duration::from_secs(20) };
    let gone = tokio::spawn(mesh.proxy.drain(patience));
    within(async {
        // No new stream once GOAWAY is there.
        while client.clone().ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    for payload in [&b"still"[..], b"there"] {
        send.send_data(message(payload), false).unwrap();
        assert_eq!(within(body.data()).await.unwrap().unwrap(), message(payload));
    }
    send.send_data(Bytes::new(), true).unwrap();
    let (_, trailers) = http2::read_body(&mut body).await.unwrap();
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
    assert!(within(gone).await.unwrap(), "and then nothing is left");
}
