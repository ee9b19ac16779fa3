//! Answers that two programs could read differently go nowhere, and neither does what HTTP/2 cannot say.

use crate::common::{
    Mesh,
    backend::Backend,
    free_port, http,
    raw::{Raw, mesh, statuses, text, until_closed},
};
use weft_contract::policy::Scheme;

const GET: &[u8] = b"GET /behind HTTP/1.1\r\nhost: a\r\n\r\n";

/// Answers of an endpoint that go nowhere.
const ANSWERS: &[(&str, &[u8])] = &[
    (
        "length and coding",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!"),
    ("list of lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"),
    ("length +2", b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
    (
        "coding that is not chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    (
        "two codings",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("coding in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status 099", b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status 600", b"HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status in letters", b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok"),
    ("no status", b"HTTP/1.1\r\nContent-Length: 2\r\n\r\nok"),
    ("HTTP/2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("HTTP/0.9", b"hello, world\r\n\r\n"),
    ("folded", b"HTTP/1.1 200 OK\r\nX: one\r\n two\r\nContent-Length: 2\r\n\r\nok"),
    ("line feeds alone", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    ("a carriage return alone", b"HTTP/1.1 200 OK\r\nX: y\rZ: z\r\nContent-Length: 2\r\n\r\nok"),
    ("a space before the colon", b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
    ("zero in a value", b"HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 2\r\n\r\nok"),
    (
        "101 that nobody asked for",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ),
];

#[tokio::test]
async fn answers_that_can_be_read_in_two_ways_are_refused() {
    let flood = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(10_000);
    let long =
        [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &b"y".repeat(300 * 1024), b"\r\nContent-Length: 2\r\n\r\nok"]
            .concat();
    let many = [b"HTTP/1.1 200 OK\r\n".as_slice(), &b"x: y\r\n".repeat(600), b"Content-Length: 2\r\n\r\nok"]
        .concat();
    let more: &[(&str, &[u8])] =
        &[("interim answers without end", &flood), ("long head", &long), ("many fields", &many)];
    let cases: Vec<_> = ANSWERS.iter().chain(more).collect();
    let mut backends = Vec::new();
    for (_, answer) in &cases {
        backends.push(Raw::answering(*answer).await);
    }
    let (_mesh, ports) = mesh(&backends).await;
    let exchanges = ports
        .iter()
        .map(|port| until_closed(*port, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok", true));
    let answers = futures::future::join_all(exchanges).await;
    let mut wrong = Vec::new();
    for (((name, _), backend), came) in cases.iter().zip(&backends).zip(&answers) {
        let answer = text(came);
        let last = statuses(came).last().copied();
        let said = answer.contains("proxy-status: weft; error=http_protocol_error");
        if last != Some(502) || !said || backend.requests().len() != 1 {
            wrong.push(format!("{name}: {:?}, {last:?}", answer.get(..400).unwrap_or(&answer)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn bytes_behind_an_answer_are_no_answer_to_the_next_request() {
    let smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
    for head in [
        "HTTP/1.1 204 No Content\r\nContent-Length: 45\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 45\r\n\r\n",
    ] {
        let backends = [Raw::answering([head.as_bytes(), smuggled].concat()).await];
        let (_mesh, ports) = mesh(&backends).await;
        let came = text(&until_closed(ports[0], &GET.repeat(3), true).await);
        let status: u16 = head[9..12].parse().unwrap();
        assert_eq!(statuses(came.as_bytes()), [status; 3], "{came}");
        assert!(!came.contains("smuggled"), "{came}");
        assert_eq!(came.contains("45"), head.contains("304"), "a 204 has no length: {came}");
    }
}

#[tokio::test]
async fn what_http_2_cannot_say_is_the_clients_fault_and_not_the_endpoints() {
    let backend = Backend::connections(|stream, _, _| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_response(::http::Response::new(()), true).unwrap();
        }
    })
    .await;
    let port = free_port();
    let mut service = http("web", port, &[backend.address]);
    service.ports[0].scheme = Scheme::H2c;
    let mesh = Mesh::with(vec![service]).await;
    // More than it takes to eject an endpoint.
    for _ in 0..20 {
        for request in ["GET / HTTP/1.1\r\nHost: a\"b\r\n\r\n", "GET / HTTP/1.1\r\nHost: [\r\n\r\n"] {
            let came = until_closed(port, &[request.as_bytes(), GET].concat(), false).await;
            assert_eq!(statuses(&came), [400], "{}", text(&came));
        }
    }
    let came = until_closed(port, GET, true).await;
    assert!(came.starts_with(b"HTTP/1.1 200 "), "{}", text(&came));
    let metrics = mesh.admin("/metrics").await;
    let failures = metrics.text().lines().filter(|line| line.starts_with("weft_upstream_failures_total{"));
    let failures: Vec<_> = failures.filter(|line| !line.ends_with(" 0")).collect();
    assert!(failures.is_empty(), "{failures:?}");
}
