//! Every pair of versions, HTTP/1 and HTTP/2 at the client and at the endpoint, carries the same.

use crate::common::{
    self, Mesh, connect,
    either::{Backend, PAIRS, Said, Speaks},
    free_port, http,
    http2::{self, Stream, get, post},
    message::{self, exchange},
    within,
};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use std::{net::SocketAddr, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MIB: usize = 1024 * 1024;

/// A mesh with one Service whose endpoints speak this.
async fn mesh(speaks: Speaks, endpoints: &[SocketAddr]) -> (Mesh, u16) {
    let port = free_port();
    let mut service = http("web", port, endpoints);
    service.ports[0].scheme = speaks.scheme();
    (Mesh::with(vec![service]).await, port)
}

async fn answering(
    speaks: Speaks,
    answer: impl Fn(&Said) -> Said + Clone + Send + Sync + 'static,
) -> (Mesh, u16, Backend) {
    let backend = Backend::answering(speaks, answer).await;
    let (mesh, port) = mesh(speaks, &[backend.address]).await;
    (mesh, port, backend)
}

#[tokio::test]
async fn heads_and_bodies_pass() {
    for (client, endpoint) in PAIRS {
        let (_mesh, port, backend) = answering(endpoint, |request| {
            Said::answer(201, request.body.as_deref().unwrap_or_default()).with("x-answer", "yes")
        })
        .await;
        let request = Said::post("/a%20b?c=d&e", b"hello").with("x-many", "1").with("x-many", "2");
        let answer = client.ask(port, &request).await;
        assert_eq!((answer.status, answer.text()), (201, "hello"), "{client:?} to {endpoint:?}");
        assert_eq!(answer.header("x-answer"), Some("yes"));
        let seen = &backend.asked()[0];
        assert_eq!((&*seen.method, &*seen.path, &*seen.host), ("POST", "/a%20b?c=d&e", "web.shop.mesh"));
        assert_eq!(seen.text(), "hello");
        assert_eq!(seen.all("x-many"), ["1", "2"]);
        assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(seen.all("x-forwarded-host"), ["web.shop.mesh"]);
        if endpoint == Speaks::Http2 {
            assert_eq!(seen.header("host"), None, "it is :authority");
        }
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    for (client, endpoint) in PAIRS {
        let (_mesh, port, backend) =
            answering(endpoint, |_| Said::answer(200, b"data").trailer("x-after", "answer")).await;
        let mut request = Said::post("/", b"data").trailer("x-sum", "request");
        if client == Speaks::Http2 {
            request = request.with("te", "trailers");
        } else {
            request = request.with("te", "trailers").with("connection", "te");
        }
        let answer = client.ask(port, &request).await;
        assert_eq!(answer.text(), "data", "{client:?} to {endpoint:?}");
        assert_eq!(answer.trailers.get("x-after").unwrap(), "answer", "{client:?} to {endpoint:?}");
        let seen = &backend.asked()[0];
        assert_eq!(seen.trailers.get("x-sum").unwrap(), "request", "{client:?} to {endpoint:?}");
        assert_eq!(seen.header("te"), Some("trailers"));
    }
}

#[tokio::test]
async fn fields_of_a_connection_do_not_pass_as_trailers() {
    for (client, endpoint) in PAIRS {
        let (_mesh, port, backend) = answering(endpoint, |_| Said::answer(200, b"data")).await;
        let mut request = Said::post("/", b"data")
            .trailer("content-length", "3")
            .trailer("host", "elsewhere")
            .trailer("x-sum", "1");
        if client == Speaks::Http1 {
            request = request.trailer("transfer-encoding", "chunked").trailer("connection", "close");
        }
        let answer = client.ask(port, &request).await;
        assert_eq!(answer.status, 200, "{client:?} to {endpoint:?}");
        let seen = &backend.asked()[0];
        assert_eq!(seen.trailers.len(), 1, "{endpoint:?}: {:?}", seen.trailers);
        assert_eq!(seen.trailers.get("x-sum").unwrap(), "1");
    }
}

#[tokio::test]
async fn answers_without_a_body_are_told_as_they_were() {
    for (client, endpoint) in PAIRS {
        let (_mesh, port, backend) =
            answering(endpoint, |request| match (&*request.method, &*request.path) {
                ("HEAD", _) => Said::head(200).with("content-length", "1000"),
                (_, "/204") => Said::head(204),
                (_, "/304") => Said::head(304).with("etag", "x").with("content-length", "1000"),
                _ => Said::head(200),
            })
            .await;
        let pair = format!("{client:?} to {endpoint:?}");
        let head = Said { method: "HEAD".into(), ..Said::get("/head") };
        for (request, status, length) in [
            (head, 200, Some("1000")),
            (Said::get("/204"), 204, None),
            (Said::get("/304"), 304, Some("1000")),
        ] {
            let answer = client.ask(port, &request).await;
            assert_eq!((answer.status, answer.text()), (status, ""), "{pair}: {request:?}");
            assert_eq!(answer.header("content-length"), length, "{pair}: {request:?}");
        }
        assert_eq!(client.ask(port, &Said::get("/")).await.text(), "");
        assert_eq!(backend.asked().len(), 4);
        assert!(backend.asked().iter().all(|request| request.body.is_none()), "{pair}");
    }
}

#[tokio::test]
async fn a_length_that_is_known_stays_known() {
    for (client, endpoint) in PAIRS {
        let (_mesh, port, backend) =
            answering(endpoint, |_| Said::answer(200, b"four").with("content-length", "4")).await;
        let answer = client.ask(port, &Said::post("/", b"hello").with("content-length", "5")).await;
        assert_eq!(answer.header("content-length"), Some("4"), "{client:?} to {endpoint:?}");
        assert_eq!(answer.text(), "four");
        let seen = &backend.asked()[0];
        assert_eq!((seen.header("content-length"), seen.text()), (Some("5"), "hello"));
        assert_eq!(seen.header("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn heads_larger_than_a_frame_pass() {
    for (client, endpoint) in PAIRS {
        let large = "x".repeat(15_000);
        let kept = large.clone();
        let (_mesh, port, backend) = answering(endpoint, move |_| {
            Said::head(200).with("x-one", &kept).with("x-two", &kept).with("x-three", &kept)
        })
        .await;
        let request = Said::get("/").with("x-one", &large).with("x-two", &large).with("x-three", &large);
        let answer = client.ask(port, &request).await;
        assert_eq!(answer.status, 200, "{client:?} to {endpoint:?}");
        for name in ["x-one", "x-two", "x-three"] {
            assert_eq!(answer.header(name), Some(&*large), "{client:?} to {endpoint:?}");
            assert_eq!(backend.asked()[0].header(name), Some(&*large), "{client:?} to {endpoint:?}");
        }
    }
}

#[tokio::test]
async fn cookies_of_several_lines_are_joined() {
    for endpoint in [Speaks::Http1, Speaks::Http2] {
        let (_mesh, port, backend) =
            answering(endpoint, |_| Said::head(200).with("set-cookie", "a=1").with("set-cookie", "b=2"))
                .await;
        let request = Said::get("/").with("cookie", "a=1").with("cookie", "b=2").with("cookie", "c=3");
        let answer = Speaks::Http2.ask(port, &request).await;
        assert_eq!(backend.asked()[0].all("cookie"), ["a=1; b=2; c=3"], "{endpoint:?}");
        assert_eq!(answer.all("set-cookie"), ["a=1", "b=2"], "those are never joined");
    }
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let large: Vec<u8> = (0..10 * MIB).map(|index| (index * 31 % 251) as u8).collect();
    for (client, endpoint) in PAIRS {
        let (_mesh, port, _backend) =
            answering(endpoint, |request| Said::answer(200, request.body.as_deref().unwrap())).await;
        let answer = client.ask(port, &Said::post("/", &large)).await;
        assert!(answer.body.as_deref() == Some(&large[..]), "{client:?} to {endpoint:?}");
    }
}

#[tokio::test]
async fn interim_answers_reach_the_client() {
    for endpoint in [Speaks::Http1, Speaks::Http2] {
        let one = common::backend::Backend::connections(|mut stream, _, _| async move {
            while let Ok(Some(head)) = message::head(&mut stream).await {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
                let request = message::Message { head, body: vec![] };
                message::body(&mut stream, &request).await.unwrap();
                stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
        })
        .await;
        let two = http2::Backend::streams(|mut stream: Stream| async move {
            let interim = |status: StatusCode| Response::builder().status(status);
            let go_on = interim(StatusCode::CONTINUE).body(()).unwrap();
            stream.respond.send_informational(go_on).unwrap();
            http2::read_body(&mut stream.body).await.unwrap();
            let hints = interim(StatusCode::EARLY_HINTS).header("link", "</a>").body(()).unwrap();
            stream.respond.send_informational(hints).unwrap();
            stream.respond.send_response(Response::new(()), true).unwrap();
        })
        .await;
        let address = if endpoint == Speaks::Http1 { one.address } else { two.address };
        let (_mesh, port) = mesh(endpoint, &[address]).await;

        let mut client = connect(port).await;
        let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
        assert_eq!(exchange(&mut client, head.as_bytes()).await.status(), 100, "{endpoint:?}");
        let hints = exchange(&mut client, b"hello").await;
        assert_eq!((hints.status(), hints.header("link")), (103, Some("</a>")), "{endpoint:?}");
        assert_eq!(within(message::read(&mut client, false)).await.unwrap().unwrap().status(), 200);

        let mut client = http2::connect(port).await;
        let mut request = post("/");
        request.headers_mut().insert("expect", "100-continue".parse().unwrap());
        let (mut answer, mut body) = client.send_request(request, false).unwrap();
        let interim = within(std::future::poll_fn(|context| answer.poll_informational(context))).await;
        assert_eq!(interim.unwrap().unwrap().status(), 100, "{endpoint:?}");
        body.send_data("hello".into(), true).unwrap();
        let interim = within(std::future::poll_fn(|context| answer.poll_informational(context))).await;
        assert_eq!(interim.unwrap().unwrap().headers()["link"], "</a>", "{endpoint:?}");
        assert_eq!(within(answer).await.unwrap().status(), 200);
    }
}

/// Sends back each byte as it comes, on whichever version.
async fn echo(speaks: Speaks) -> (SocketAddr, Box<dyn Send>) {
    match speaks {
        Speaks::Http1 => {
            let backend = common::backend::Backend::connections(|mut stream, _, _| async move {
                message::head(&mut stream).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await; // chunk by chunk
            })
            .await;
            (backend.address, Box::new(backend))
        }
        Speaks::Http2 => {
            let backend = http2::Backend::streams(|mut stream: Stream| async move {
                let mut send = stream.begin();
                while let Some(Ok(data)) = stream.body.data().await {
                    stream.body.flow_control().release_capacity(data.len()).unwrap();
                    send.send_data(data, false).unwrap();
                }
                let trailers = stream.body.trailers().await.unwrap().unwrap_or_default();
                send.send_trailers(trailers).unwrap();
            })
            .await;
            (backend.address, Box::new(backend))
        }
    }
}

#[tokio::test]
async fn a_byte_passes_before_the_next_is_sent() {
    for (client, endpoint) in PAIRS {
        let (address, _backend) = echo(endpoint).await;
        let (_mesh, port) = mesh(endpoint, &[address]).await;
        match client {
            Speaks::Http1 => {
                let mut stream = connect(port).await;
                let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).await.unwrap();
                let head = within(message::head(&mut stream)).await.unwrap().unwrap();
                assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                for byte in *b"abc" {
                    let chunk = [b'1', b'\r', b'\n', byte, b'\r', b'\n'];
                    stream.write_all(&chunk).await.unwrap();
                    let mut came = [0; 6];
                    within(stream.read_exact(&mut came)).await.unwrap();
                    assert_eq!(came, chunk, "{endpoint:?}");
                }
                stream.write_all(b"0\r\n\r\n").await.unwrap();
                let mut came = [0; 5];
                within(stream.read_exact(&mut came)).await.unwrap();
                assert_eq!(&came, b"0\r\n\r\n");
            }
            Speaks::Http2 => {
                let mut connection = http2::connect(port).await;
                let (answer, mut send) = connection.send_request(post("/"), false).unwrap();
                let mut body = within(answer).await.unwrap().into_body();
                for byte in ["a", "b", "c"] {
                    send.send_data(byte.into(), false).unwrap();
                    assert_eq!(within(body.data()).await.unwrap().unwrap(), byte, "{endpoint:?}");
                }
                let mut trailers = HeaderMap::new();
                trailers.insert("x-end", "1".parse().unwrap());
                send.send_trailers(trailers).unwrap();
                assert!(within(body.data()).await.is_none());
                assert_eq!(within(body.trailers()).await.unwrap().unwrap()["x-end"], "1");
            }
        }
    }
}

/// A client that does not read holds up the endpoint, and not the memory of the proxy.
#[tokio::test]
async fn what_the_client_does_not_read_is_not_asked_for() {
    for endpoint in [Speaks::Http1, Speaks::Http2] {
        let (told, mut taken) = tokio::sync::watch::channel(0_usize);
        let (one_told, two_told) = (told.clone(), told);
        let one = common::backend::Backend::connections(move |mut stream, _, _| {
            let told = one_told.clone();
            async move {
                message::head(&mut stream).await.unwrap();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 200 * MIB);
                stream.write_all(head.as_bytes()).await.unwrap();
                while stream.write_all(&[0; 65_536]).await.is_ok() {
                    told.send_modify(|taken| *taken += 65_536);
                }
            }
        })
        .await;
        let two = http2::Backend::streams(move |mut stream: Stream| {
            let told = two_told.clone();
            async move {
                let mut send = stream.begin();
                while http2::send(&mut send, Bytes::from_static(&[0; 65_536]), false).await.is_ok() {
                    told.send_modify(|taken| *taken += 65_536);
                }
            }
        })
        .await;
        let address = if endpoint == Speaks::Http1 { one.address } else { two.address };
        let (_mesh, port) = mesh(endpoint, &[address]).await;
        let mut client = http2::connect(port).await;
        let (answer, _) = client.send_request(get("/"), true).unwrap();
        let answer = within(answer).await.unwrap();
        // It stands still when nothing has moved for a while.
        let mut came = 0;
        while tokio::time::timeout(Duration::from_millis(500), taken.changed()).await.is_ok() {
            came = *taken.borrow_and_update();
            assert!(came < 32 * MIB, "{endpoint:?}: all is taken though nobody reads");
        }
        assert!(came > 0);
        drop(answer);
    }
}

#[tokio::test]
async fn what_the_endpoint_does_not_read_is_not_asked_for() {
    for endpoint in [Speaks::Http1, Speaks::Http2] {
        let one = common::backend::Backend::connections(|stream, _, _| async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(stream);
        })
        .await;
        let two = http2::Backend::streams(|stream: Stream| async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(stream);
        })
        .await;
        let address = if endpoint == Speaks::Http1 { one.address } else { two.address };
        let (_mesh, port) = mesh(endpoint, &[address]).await;
        let mut client = http2::connect(port).await;
        let (_answer, mut send) = client.send_request(post("/"), false).unwrap();
        let mut sent = 0;
        loop {
            let piece = http2::send(&mut send, Bytes::from_static(&[0; 65_536]), false);
            let Ok(done) = tokio::time::timeout(Duration::from_millis(500), piece).await else { break };
            done.unwrap();
            sent += 65_536;
            assert!(sent < 32 * MIB, "{endpoint:?}: all is taken though nobody reads");
        }
        assert!(sent > 0);
    }
}
