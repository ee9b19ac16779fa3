//! What a client of HTTP/2 can do to wear the proxy or a backend out ends, while others are served.

use crate::common::{
    self, Mesh,
    backend::{Backend, ok},
    connect,
    frames::{
        self, CONTINUATION, END_HEADERS, END_STREAM, FINE, HEADERS, Outcome, PING, PREFACE, RST_STREAM, Raw,
        SETTINGS,
    },
    free_port, http, http2,
    http2::{get, post},
    within,
};
use bytes::Bytes;
use h2::{Reason, client::SendRequest};
use std::time::Duration;
use tokio::{io::AsyncWriteExt, sync::watch, time::timeout};
use weft_contract::{Policy, policy::Scheme};

const MIB: usize = 1024 * 1024;

async fn mesh(policy: Policy, backend: &Backend) -> (Mesh, u16) {
    let port = free_port();
    let mut service = http("web", port, &[backend.address]);
    service.policy = policy;
    (Mesh::with(vec![service]).await, port)
}

/// Never answers.
async fn silent() -> Backend {
    Backend::connections(|mut stream, _, noted| async move {
        while let Ok(Some(head)) = common::message::head(&mut stream).await {
            noted.lock().unwrap().push(common::message::Message { head, body: vec![] });
        }
    })
    .await
}

fn hasty(stream: u32) -> Vec<u8> {
    let ask = frames::frame(HEADERS, END_HEADERS | END_STREAM, stream, &frames::block(&FINE));
    [ask, frames::frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
}

/// CVE-2023-44487, in one go.
#[tokio::test]
async fn requests_that_are_reset_at_once_end_the_connection() {
    let backend = silent().await;
    let (_mesh, port) = mesh(Policy::default(), &backend).await;
    let mut raw = Raw::connect(port).await;
    let flood: Vec<u8> = (0..5_000).flat_map(|index| hasty(index * 2 + 1)).collect();
    let _ = within(raw.stream.write_all(&flood)).await; // the connection may end meanwhile
    let outcome = raw.outcome(u32::MAX).await;
    assert!(matches!(outcome, Outcome::GoAway(Reason::ENHANCE_YOUR_CALM) | Outcome::Closed), "{outcome:?}");
    assert!(backend.requests().len() < 500, "{}", backend.requests().len());
    assert_eq!(backend.opened(), backend.requests().len());
}

/// The same at a pace at which each request is on its way before it is reset.
#[tokio::test]
async fn requests_that_are_reset_one_by_one_end_the_connection() {
    let backend = silent().await;
    let (_mesh, port) = mesh(Policy::default(), &backend).await;
    let mut raw = Raw::connect(port).await;
    let mut ended = None;
    for index in 0..2_000 {
        raw.ask(index * 2 + 1, &FINE).await;
        raw.send(PING, 0, 0, &[0; 8]).await;
        // The answer to the PING tells that the request before it was read.
        loop {
            match raw.next().await {
                Some(frame) if frame.kind == PING => break,
                Some(frame) if frame.kind == frames::GOAWAY => ended = Some(frame),
                Some(_) => {}
                None => break,
            }
            if ended.is_some() {
                break;
            }
        }
        if ended.is_some() {
            break;
        }
        raw.send(RST_STREAM, 0, index * 2 + 1, &8_u32.to_be_bytes()).await;
    }
    let reason = ended.expect("it is ended").payload[4..8].to_vec();
    assert_eq!(reason, u32::from(Reason::ENHANCE_YOUR_CALM).to_be_bytes());
    assert!(backend.requests().len() < 500, "{}", backend.requests().len());
}

#[tokio::test]
async fn a_client_that_gives_up_now_and_then_goes_on() {
    let backend = Backend::slow(Duration::from_millis(1), |_| ok(b"hello")).await;
    let (_mesh, port) = mesh(Policy::default(), &backend).await;
    let client = http2::connect(port).await;
    for _ in 0..300 {
        let (given_up, _) = client.clone().ready().await.unwrap().send_request(get("/"), true).unwrap();
        drop(given_up);
        assert_eq!(http2::ask(&client, get("/")).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_head_without_end_ends_the_connection() {
    let backend = Backend::named("hello").await;
    let (_mesh, port) = mesh(Policy::default(), &backend).await;
    let mut raw = Raw::connect(port).await;
    raw.send(HEADERS, END_STREAM, 1, &frames::block(&FINE)).await;
    let piece = frames::frame(CONTINUATION, 0, 1, &frames::block(&[("x-a", &[b'x'; 1_000])]));
    let mut sent = 0;
    while within(raw.stream.write_all(&piece)).await.is_ok() {
        sent += piece.len();
        assert!(sent < 32 * MIB, "it is read without end");
    }
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn a_head_that_is_too_large_is_told_so_and_the_connection_goes_on() {
    let backend = Backend::named("hello").await;
    let (_mesh, port) = mesh(Policy::default(), &backend).await;
    let mut raw = Raw::connect(port).await;
    let large = vec![b'x'; 15_000];
    let many = [("x-a", &large[..]); 5];
    raw.send(HEADERS, END_STREAM, 1, &frames::block(&FINE)).await;
    for (index, field) in many.iter().enumerate() {
        let last = if index == many.len() - 1 { END_HEADERS } else { 0 };
        raw.send(CONTINUATION, last, 1, &frames::block(&[*field])).await;
    }
    assert_eq!(raw.outcome(1).await, Outcome::Answer(431));
    let small: Vec<frames::Field<'_>> = FINE.into_iter().chain([("x", &b""[..]); 300]).collect();
    raw.ask(3, &small).await;
    assert_eq!(raw.outcome(3).await, Outcome::Answer(431), "too many fields");
    raw.ask(5, &FINE).await;
    assert_eq!(raw.outcome(5).await, Outcome::Answer(200));
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn a_client_that_opens_no_window_is_cut_and_its_other_streams_go_on() {
    let backend = Backend::http(|request| match request.head.contains("/large") {
        true => ok(&[0; 100_000]),
        false => ok(b""),
    })
    .await;
    let mut policy = Policy::default();
    policy.timeouts.idle = Some(Duration::from_millis(300));
    let (_mesh, port) = mesh(policy, &backend).await;
    let mut raw = Raw { stream: connect(port).await };
    raw.stream.write_all(PREFACE).await.unwrap();
    // SETTINGS_HEADER_TABLE_SIZE and SETTINGS_INITIAL_WINDOW_SIZE are 0.
    raw.send(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await;
    let large = [FINE[0], FINE[1], (":path", b"/large"), FINE[3]];
    raw.ask(1, &large).await;
    assert_eq!(raw.outcome(1).await, Outcome::Answer(200));
    raw.ask(3, &FINE).await;
    assert_eq!(raw.outcome(3).await, Outcome::Answer(200), "what needs no window passes");
    assert_eq!(raw.outcome(1).await, Outcome::Reset(Reason::INTERNAL_ERROR), "in the end it is cut");
    raw.ask(5, &FINE).await;
    assert_eq!(raw.outcome(5).await, Outcome::Answer(200));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let backend = Backend::http(|_| ok(b"")).await;
    let mut policy = Policy::default();
    policy.limits.body_timeout = Duration::from_millis(300);
    let (_mesh, port) = mesh(policy, &backend).await;
    let mut raw = Raw::connect(port).await;
    let upload = [(":method", &b"POST"[..]), FINE[1], FINE[2], FINE[3]];
    raw.send(HEADERS, END_HEADERS, 1, &frames::block(&upload)).await;
    assert_eq!(raw.outcome(1).await, Outcome::Answer(408));
    raw.ask(3, &FINE).await;
    assert_eq!(raw.outcome(3).await, Outcome::Answer(200));
}

/// Whoever asks for answers and does not read them is not read from.
#[tokio::test]
async fn questions_whose_answers_nobody_reads_are_not_read_without_end() {
    let backend = Backend::named("hello").await;
    let (_mesh, port) = mesh(Policy::default(), &backend).await;
    for flood in [
        frames::frame(PING, 0, 0, &[0; 8]),
        frames::frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]),
        frames::frame(SETTINGS, 0, 0, &[]),
    ] {
        let mut raw = Raw::connect(port).await;
        let many = flood.repeat(MIB / flood.len());
        let mut sent = 0;
        // It stands still, or the connection ends.
        while let Ok(Ok(())) = timeout(Duration::from_millis(500), raw.stream.write_all(&many)).await {
            sent += many.len();
            assert!(sent < 64 * MIB, "it is read without end");
        }
    }
    assert_eq!(common::ask(port, common::GET).await.status(), 200);
}

/// A client that does not mind how many small pieces wait in its own memory.
async fn patient(port: u16) -> SendRequest<Bytes> {
    let mut settings = h2::client::Builder::new();
    settings.data_frame_budget(usize::MAX / 2);
    let (send, connection) = within(settings.handshake(connect(port).await)).await.unwrap();
    tokio::spawn(connection);
    within(send.ready()).await.unwrap()
}

/// They share a connection to the endpoint with others, and its window.
#[tokio::test]
async fn clients_that_do_not_read_hold_up_nobody_else() {
    for piece in [65_536, 20] {
        let (sent, mut moved) = watch::channel(());
        let backend = http2::Backend::streams(move |mut stream: http2::Stream| {
            let sent = sent.clone();
            async move {
                if stream.request.uri.path() == "/small" {
                    return stream.answer(b"hello").await;
                }
                let mut send = stream.begin();
                let piece = Bytes::from(vec![0; piece]);
                while http2::send(&mut send, piece.clone(), false).await.is_ok() {
                    sent.send_replace(());
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
        let port = free_port();
        let mut service = http("web", port, &[backend.address]);
        service.ports[0].scheme = Scheme::H2c;
        let _mesh = Mesh::with(vec![service]).await;
        let mut stalled = Vec::new();
        for _ in 0..24 {
            let mut client = patient(port).await;
            let (answer, send) = client.send_request(get("/large"), true).unwrap();
            stalled.push((within(answer).await.unwrap(), send, client));
        }
        // All that can move has moved when nothing does for a while.
        while timeout(Duration::from_millis(300), moved.changed()).await.is_ok() {}
        for _ in 0..4 {
            let answer = http2::ask(&http2::connect(port).await, post("/small")).await.unwrap();
            assert_eq!(answer.body, b"hello", "pieces of {piece}");
        }
        assert!(backend.opened() <= 2, "on the same connections: {}", backend.opened());
        for (answer, _, _) in &mut stalled {
            // More than can wait at the client: the stream is alive up to the endpoint.
            let mut came = 0;
            while came < 100_000 {
                let data = within(answer.body_mut().data()).await.unwrap().unwrap();
                answer.body_mut().flow_control().release_capacity(data.len()).unwrap();
                came += data.len();
            }
        }
    }
}
