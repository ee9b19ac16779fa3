//! Endpoints that speak TLS are verified, whatever happens.

use crate::common::{
    GET, Mesh, ask,
    backend::Backend,
    certificates::{Authority, backend},
    connect, free_port, http,
    http2::{self, get},
    message, within,
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use weft_contract::{
    Service,
    policy::{Scheme, UpstreamTls},
};

/// The name that is asked for where a Service says nothing.
const NAME: &str = "web.shop.svc";
const BOTH: [&str; 2] = ["h2", "http/1.1"];

fn https(port: u16, backend: &Backend, ca: Option<&Authority>, server_name: Option<&str>) -> Service {
    let mut service = http("web", port, &[backend.address]);
    service.ports[0].scheme = Scheme::Https;
    service.policy.tls =
        UpstreamTls { ca: ca.map(Authority::pem), server_name: server_name.map(ToOwned::to_owned) };
    service
}

async fn mesh(backend: &Backend, ca: &Authority) -> (Mesh, u16) {
    let port = free_port();
    (Mesh::with(vec![https(port, backend, Some(ca), None)]).await, port)
}

#[tokio::test]
async fn an_endpoint_is_spoken_to_in_the_best_version_that_it_offers() {
    let authority = Authority::new();
    for (protocols, expected) in [
        (&BOTH[..], "h2 https web.shop.svc"),
        (&["http/1.1"][..], "http/1.1 web.shop.svc"),
        (&[][..], "http/1.1 web.shop.svc"),
    ] {
        let backend = backend(authority.sign(NAME, protocols)).await;
        let (_mesh, port) = mesh(&backend, &authority).await;
        for _ in 0..4 {
            assert_eq!(ask(port, GET).await.text(), expected);
            let answer = http2::ask(&http2::connect(port).await, get("/")).await.unwrap();
            assert_eq!(answer.body, expected.as_bytes());
        }
        assert!(backend.opened() <= 2, "{protocols:?}: connections are kept, one for each worker");
    }
}

#[tokio::test]
async fn what_cannot_be_verified_is_not_spoken_to() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = backend(authority.sign(NAME, &BOTH)).await;
    let misnamed = backend(authority.sign("elsewhere.shop.svc", &BOTH)).await;
    let expired = backend(authority.sign_expired(NAME)).await;
    let plain = Backend::connections(|mut stream, _, _| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await; // else the end might overtake it
    })
    .await;
    for (what, backend, ca, name) in [
        ("another authority", &good, Some(&other), None),
        ("nothing to trust", &good, None, None),
        ("a name of the Service's own", &good, Some(&authority), Some("api.example.org")),
        ("not a name", &good, Some(&authority), Some("not a name")),
        ("the wrong name", &misnamed, Some(&authority), None),
        ("expired", &expired, Some(&authority), None),
        ("no TLS", &plain, Some(&authority), None),
    ] {
        let port = free_port();
        let _mesh = Mesh::with(vec![https(port, backend, ca, name)]).await;
        let answer = ask(port, GET).await;
        assert_eq!(answer.status(), 502, "{what}: {answer:?}");
        assert!(answer.header("proxy-status").unwrap().contains("tls_failed"), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn the_name_is_the_one_that_the_service_says() {
    let authority = Authority::new();
    let backend = backend(authority.sign("api.example.org", &[])).await;
    let port = free_port();
    let _mesh = Mesh::with(vec![https(port, &backend, Some(&authority), Some("api.example.org"))]).await;
    assert_eq!(ask(port, GET).await.text(), "http/1.1 api.example.org");
}

#[tokio::test]
async fn connections_that_another_authority_vouched_for_are_not_used() {
    let (authority, other) = (Authority::new(), Authority::new());
    for protocols in [&BOTH[..], &["http/1.1"]] {
        let backend = backend(authority.sign(NAME, protocols)).await;
        let (mut mesh, port) = mesh(&backend, &authority).await;
        let mut client = connect(port).await;
        assert_eq!(message::exchange(&mut client, GET.as_bytes()).await.status(), 200);
        mesh.apply(vec![https(port, &backend, Some(&other), None)]).await;
        assert_eq!(message::exchange(&mut client, GET.as_bytes()).await.status(), 502);
        mesh.apply(vec![https(port, &backend, Some(&authority), None)]).await;
        assert_eq!(message::exchange(&mut client, GET.as_bytes()).await.status(), 200);
    }
}

#[tokio::test]
async fn a_websocket_is_asked_for_in_http1_whatever_else_is_offered() {
    let authority = Authority::new();
    let backend = backend(authority.sign(NAME, &BOTH)).await;
    let (_mesh, port) = mesh(&backend, &authority).await;
    assert_eq!(ask(port, GET).await.text(), "h2 https web.shop.svc");
    for _ in 0..3 {
        let mut client = connect(port).await;
        let upgrade = "GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
        client.write_all(upgrade.as_bytes()).await.unwrap();
        let head = within(message::head(&mut client)).await.unwrap().unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client.write_all(b"echo").await.unwrap();
        let mut echo = [0; 4];
        within(client.read_exact(&mut echo)).await.unwrap();
        assert_eq!(&echo, b"echo");
    }
    assert_eq!(ask(port, GET).await.text(), "h2 https web.shop.svc", "and others go on in HTTP/2");
}

/// Also where TLS itself does not answer: a deadline is a deadline, and not a failed connection.
#[tokio::test]
async fn a_grpc_deadline_that_passes_while_connecting_is_deadline_exceeded() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = Authority::new();
    let port = free_port();
    let mut service = http("web", port, &[listener.local_addr().unwrap()]);
    service.ports[0].scheme = Scheme::Https;
    service.policy.tls.ca = Some(authority.pem());
    service.policy.timeouts.connect = Some(Duration::from_secs(20));
    let _mesh = Mesh::with(vec![service]).await;
    let mut request = http2::post("/a/b");
    request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    request.headers_mut().insert("grpc-timeout", "200m".parse().unwrap());
    let answer = http2::ask(&http2::connect(port).await, request).await.unwrap();
    assert_eq!(answer.headers["grpc-status"], "4");
}
