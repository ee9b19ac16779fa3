//! Who may call whom, over every protocol.

use crate::common::{
    self, Mesh,
    access::{all, controlled, requests},
    backend::Backend,
    free_port, http, http2,
    message::{Message, exchange},
    policy::{connect_from, eventually, flag, one_a_second, request},
    within,
};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderValue, Request};
use std::{io::ErrorKind, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, mpsc},
};
use weft_contract::{
    AccessMode, Caller, NodeConfiguration, ServiceKey, Transport,
    policy::{Actions, Mirror, Scheme},
};

/// The pods of most tests: clients with two accounts, and the endpoints of `web`.
const PODS: [(u8, &str); 4] = [(1, "web"), (7, "front"), (8, "back"), (11, "other")];

async fn mesh(configuration: &NodeConfiguration) -> Mesh {
    let mut mesh = Mesh::start(tempfile::tempdir().unwrap());
    mesh.apply_configuration(configuration).await;
    mesh
}

/// Asks once from an address of this machine, on a connection of its own.
async fn ask_from(last_byte: u8, port: u16, request: &str) -> Message {
    exchange(&mut connect_from(last_byte, port).await, request.as_bytes()).await
}

async fn http2_from(last_byte: u8, port: u16) -> SendRequest<Bytes> {
    let stream = connect_from(last_byte, port).await;
    let (send, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    within(send.ready()).await.unwrap()
}

fn get(path: &str) -> String {
    request(&format!("GET {path}"), &[])
}

#[tokio::test]
async fn a_request_passes_where_it_is_granted_and_is_told_why_where_not() {
    let (backend, port) = (Backend::named("web").await, free_port());
    let grants = vec![requests("front", "web", &["GET"], "/public")];
    let mesh = mesh(&controlled(vec![http("web", port, &[backend.address])], &PODS, grants)).await;
    let answer = ask_from(7, port, &get("/public/1?x=1")).await;
    assert_eq!((answer.status(), answer.text()), (200, "web"));
    for (client, path, who) in [
        (7, "/secret", "weft: the ServiceAccount shop/front is not granted this at shop/web:80\n"),
        (7, "/public/../secret", "weft: the ServiceAccount shop/front is not granted this at shop/web:80\n"),
        (8, "/public/1", "weft: the ServiceAccount shop/back is not granted this at shop/web:80\n"),
        (
            9,
            "/public/1",
            "weft: 127.0.0.9, which is the address of no known pod, is not granted this at shop/web:80\n",
        ),
    ] {
        let answer = ask_from(client, port, &get(path)).await;
        assert_eq!((answer.status(), flag(&answer), answer.text()), (403, Some("denied"), who));
        let status = answer.header("proxy-status").unwrap();
        assert!(status.starts_with("weft; error=http_request_denied; "), "{status}");
    }
    let answer = ask_from(7, port, &request("POST /public/1", &["content-length: 0"])).await;
    assert_eq!(answer.status(), 403, "another method");
    assert_eq!(backend.requests().len(), 1);
    mesh.answers("web", "denied", 5).await;
    mesh.shows("denied_total", "web", "mode=\"enforce\"", 5).await;
}

#[tokio::test]
async fn who_calls_is_known_from_the_connection_alone() {
    let (backend, port) = (Backend::named("web").await, free_port());
    let _mesh =
        mesh(&controlled(vec![http("web", port, &[backend.address])], &PODS, vec![all("front", "web")]))
            .await;
    let forged = [
        "x-forwarded-for: 127.0.0.7",
        "x-real-ip: 127.0.0.7",
        "forwarded: for=127.0.0.7",
        "x-forwarded-client-cert: By=spiffe://shop/web;URI=spiffe://shop/front",
        "x-envoy-external-address: 127.0.0.7",
        "true-client-ip: 127.0.0.7",
        "host: front.shop.mesh",
    ];
    for field in forged {
        let text = format!("GET / HTTP/1.1\r\nhost: web\r\n{field}\r\n\r\n");
        let text = if field.starts_with("host") { text.replace("host: web\r\n", "") } else { text };
        assert_eq!(ask_from(8, port, &text).await.status(), 403, "{field}");
    }
    let mut proxied = connect_from(8, port).await;
    let proxy_protocol = "PROXY TCP4 127.0.0.7 127.0.0.1 4711 80\r\nGET / HTTP/1.1\r\nhost: web\r\n\r\n";
    assert_eq!(exchange(&mut proxied, proxy_protocol.as_bytes()).await.status(), 400);
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn each_request_of_a_kept_connection_is_looked_at_by_the_plan_in_force() {
    let (backend, port) = (Backend::named("web").await, free_port());
    let with = |grants| controlled(vec![http("web", port, &[backend.address])], &PODS, grants);
    let mut mesh = mesh(&with(vec![all("front", "web")])).await;
    let mut kept = connect_from(7, port).await;
    let mut client = http2_from(7, port).await;
    let path = get("/");
    assert_eq!(exchange(&mut kept, path.as_bytes()).await.status(), 200);
    assert_eq!(http2::ask(&client, http2::get("/")).await.unwrap().status, 200);
    mesh.apply_configuration(&with(vec![all("back", "web")])).await;
    assert_eq!(exchange(&mut kept, path.as_bytes()).await.status(), 403);
    assert_eq!(http2::ask(&client, http2::get("/")).await.unwrap().status, 403);
    mesh.apply_configuration(&with(vec![all("front", "web")])).await;
    assert_eq!(exchange(&mut kept, path.as_bytes()).await.status(), 200);
    // The address is another pod's now.
    let mut moved = with(vec![all("front", "web")]);
    moved.sources = vec![common::access::pod(1, "web"), common::access::pod(7, "back")];
    mesh.apply_configuration(&moved).await;
    assert_eq!(exchange(&mut kept, path.as_bytes()).await.status(), 403);
    client = within(client.ready()).await.unwrap();
    assert_eq!(http2::ask(&client, http2::get("/")).await.unwrap().status, 403);
    assert_eq!(backend.requests().len(), 3);
}

#[tokio::test]
async fn a_head_that_comes_slowly_is_judged_when_it_is_there() {
    let (backend, port) = (Backend::named("web").await, free_port());
    let with = |grants| controlled(vec![http("web", port, &[backend.address])], &PODS, grants);
    let mut mesh = mesh(&with(vec![all("front", "web")])).await;
    let mut stream = connect_from(7, port).await;
    assert_eq!(exchange(&mut stream, get("/").as_bytes()).await.status(), 200);
    within(stream.write_all(b"GET / HTTP/1.1\r\n")).await.unwrap();
    // Another request shows that the first bytes were read, as far as that can be shown from here.
    assert_eq!(ask_from(7, port, &get("/")).await.status(), 200);
    mesh.apply_configuration(&with(vec![])).await;
    assert_eq!(exchange(&mut stream, b"host: web\r\n\r\n").await.status(), 403);
}

#[tokio::test]
async fn only_endpoints_with_the_destinations_identity_get_the_traffic_and_the_tries() {
    let (web, other, port) = (Backend::named("web").await, Backend::named_at(11, "other").await, free_port());
    let endpoints = [web.address, other.address];
    let with = |grants| controlled(vec![http("web", port, &endpoints)], &PODS, grants);
    let mut mesh = mesh(&with(vec![all("front", "web")])).await;
    for _ in 0..50 {
        assert_eq!(ask_from(7, port, &get("/")).await.text(), "web");
    }
    mesh.apply_configuration(&with(vec![all("front", "other")])).await;
    for _ in 0..50 {
        assert_eq!(ask_from(7, port, &get("/")).await.text(), "other");
    }
    // It refuses now, and no try goes to the one that would answer.
    let refusing = SocketAddr::new(other.address.ip(), free_port());
    let endpoints = [web.address, refusing];
    let services = vec![http("web", port, &endpoints)];
    mesh.apply_configuration(&controlled(services, &PODS, vec![all("front", "other")])).await;
    let before = web.requests().len();
    for _ in 0..20 {
        assert_eq!(ask_from(7, port, &get("/")).await.status(), 502);
    }
    assert_eq!(web.requests().len(), before);
}

#[tokio::test]
async fn where_no_endpoint_that_is_open_is_ready_there_is_none() {
    let (web, port) = (Backend::named("web").await, free_port());
    let mut service = http("web", port, &[web.address, "127.0.0.11:9".parse().unwrap()]);
    for endpoint in &mut service.ports[0].endpoints {
        endpoint.ready = endpoint.address == web.address.ip();
    }
    let _mesh = mesh(&controlled(vec![service], &PODS, vec![all("front", "other")])).await;
    let answer = ask_from(7, port, &get("/")).await;
    assert_eq!((answer.status(), flag(&answer)), (503, Some("no_endpoint")));
    assert!(web.requests().is_empty());
}

#[tokio::test]
async fn what_is_refused_uses_nothing_up() {
    let (backend, port) = (Backend::named("web").await, free_port());
    let mut service = http("web", port, &[backend.address]);
    service.policy.rate_limit = Some(one_a_second());
    let mut limited = one_a_second();
    limited.key = weft_contract::policy::RateLimitKey::Service;
    service.policy.rate_limit = Some(limited);
    let _mesh = mesh(&controlled(vec![service], &PODS, vec![all("front", "web")])).await;
    for _ in 0..10 {
        assert_eq!(ask_from(8, port, &get("/")).await.status(), 403);
    }
    assert_eq!(ask_from(7, port, &get("/")).await.status(), 200);
}

#[tokio::test]
async fn grpc_calls_are_refused_as_grpc_says_it() {
    let backend = http2::Backend::streams(|mut stream| async move {
        let mut head = http::Response::new(());
        head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        head.headers_mut().insert("grpc-status", HeaderValue::from_static("0"));
        stream.respond.send_response(head, true).unwrap();
    })
    .await;
    let port = free_port();
    let mut service = http("web", port, &[backend.address]);
    service.ports[0].scheme = Scheme::H2c;
    let grants = vec![requests("front", "web", &["POST"], "/greeter.Greeter/Hello$")];
    let _mesh = mesh(&controlled(vec![service], &PODS, grants)).await;
    let call = |path: &str| {
        let mut call: Request<()> = http2::post(path);
        call.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        call
    };
    for (client, path, code) in [
        (7, "/greeter.Greeter/Hello", "0"),
        (7, "/greeter.Greeter/Bye", "7"),
        (8, "/greeter.Greeter/Hello", "7"),
    ] {
        let answer = http2::ask(&http2_from(client, port).await, call(path)).await.unwrap();
        assert_eq!((answer.status, answer.headers["grpc-status"].to_str().unwrap()), (200, code), "{path}");
    }
}

#[tokio::test]
async fn a_copy_goes_only_where_the_client_may_go() {
    let (web, copy, port) = (Backend::named("web").await, Backend::named_at(11, "copy").await, free_port());
    let mut service = http("web", port, &[web.address]);
    let mirror = Mirror { service: ServiceKey::new("shop", "copy"), port: 80, percent: 100 };
    service.policy.actions = Actions { mirror: Some(mirror), ..Actions::default() };
    let services = vec![service, http("copy", free_port(), &[copy.address])];
    let grants = vec![all("front", "web"), requests("front", "other", &[], "/copied")];
    let _mesh = mesh(&controlled(services, &PODS, grants)).await;
    assert_eq!(ask_from(7, port, &get("/not")).await.status(), 200);
    assert_eq!(ask_from(7, port, &get("/copied")).await.status(), 200);
    eventually("the copy came", async || !copy.requests().is_empty()).await;
    assert!(copy.requests().iter().all(|request| request.head.starts_with("GET /copied ")));
}

#[tokio::test]
async fn audited_access_passes_and_is_counted_and_told() {
    let (web, other, port) = (Backend::named("web").await, Backend::named_at(11, "other").await, free_port());
    let services = vec![http("web", port, &[web.address, other.address])];
    let mut audited = controlled(services, &PODS, vec![all("front", "web")]);
    audited.access.as_mut().unwrap().mode = AccessMode::Audit;
    let mesh = mesh(&audited).await;
    for (client, times) in [(8, 3), (9, 2), (7, 1)] {
        for _ in 0..times {
            assert_eq!(ask_from(client, port, &get("/")).await.status(), 200);
        }
    }
    mesh.shows("denied_total", "web", "mode=\"audit\"", 5).await;
    let denied = mesh.confirmation().await.denied;
    let told: Vec<_> = denied.iter().map(|denial| (denial.source.clone(), denial.times)).collect();
    let back = Caller { namespace: "shop".into(), service_account: "back".into() };
    assert_eq!(told, [(None, 2), (Some(back), 3)]);
    assert!(denied.iter().all(|denial| denial.service == ServiceKey::new("shop", "web")
        && denial.port == 80
        && denial.transport == Transport::Tcp));
}

#[tokio::test]
async fn what_a_client_may_do_changes_under_load_without_one_request_judged_wrongly() {
    let (backend, port) = (Backend::named("web").await, free_port());
    let steady = requests("front", "web", &[], "/steady");
    let with = |grants| controlled(vec![http("web", port, &[backend.address])], &PODS, grants);
    let mut mesh = mesh(&with(vec![steady.clone()])).await;
    // Requests without a pause, until nobody listens any more.
    let load = |path: &'static str, expected: u16| {
        let (answered, answers) = mpsc::unbounded_channel();
        let requests = tokio::spawn(async move {
            let mut stream = connect_from(7, port).await;
            while answered.send(()).is_ok() {
                assert_eq!(exchange(&mut stream, get(path).as_bytes()).await.status(), expected, "{path}");
            }
        });
        (requests, answers)
    };
    let mut loads = [load("/steady", 200), load("/never", 403)];
    for number in 0..30 {
        let changing = requests("front", "web", &[], &format!("/changing-{number}"));
        mesh.apply_configuration(&with(vec![changing, steady.clone()])).await;
        for (_, answers) in &mut loads {
            while answers.try_recv().is_ok() {}
            for _ in 0..5 {
                within(answers.recv()).await.expect("the requests go on");
            }
        }
    }
    for (requests, answers) in loads {
        drop(answers);
        within(requests).await.unwrap();
    }
}

/// What one of the raw tests reads next: bytes, or how the connection ended.
async fn read(stream: &mut TcpStream) -> Result<Vec<u8>, ErrorKind> {
    let mut bytes = vec![0; 64];
    match within(stream.read(&mut bytes)).await {
        Ok(length) => Ok(bytes[..length].to_vec()),
        Err(error) => Err(error.kind()),
    }
}

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n";
const AGREED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: key\r\n\r\n";

#[tokio::test]
async fn a_websocket_is_cut_when_its_grant_goes_and_a_request_under_way_is_finished() {
    let go_on = Arc::new(Notify::new());
    let told = Arc::clone(&go_on);
    let backend = Backend::connections(move |mut stream, _, _| {
        let told = Arc::clone(&told);
        async move {
            let Ok(Some(head)) = common::message::head(&mut stream).await else { return };
            if head.to_lowercase().contains("upgrade") {
                stream.write_all(AGREED).await.unwrap();
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await; // the other side may reset it
            } else {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n").await.unwrap();
                told.notified().await;
                stream.write_all(b"whole!").await.unwrap();
            }
        }
    })
    .await;
    let port = free_port();
    let with = |grants| controlled(vec![http("web", port, &[backend.address])], &PODS, grants);
    let chat = || requests("front", "web", &["GET"], "/chat");
    let mut mesh = mesh(&with(vec![all("front", "web"), all("back", "web")])).await;
    let mut sockets = Vec::new();
    for client in [7, 8] {
        let mut socket = connect_from(client, port).await;
        within(socket.write_all(UPGRADE.as_bytes())).await.unwrap();
        assert!(common::message::head(&mut socket).await.unwrap().unwrap().contains(" 101 "));
        sockets.push(socket);
    }
    let mut request = connect_from(8, port).await;
    within(request.write_all(get("/slow").as_bytes())).await.unwrap();
    assert!(common::message::head(&mut request).await.unwrap().unwrap().contains(" 200 "));
    mesh.apply_configuration(&with(vec![chat()])).await;
    assert!(matches!(read(&mut sockets[1]).await, Err(ErrorKind::ConnectionReset)));
    within(sockets[0].write_all(b"still here")).await.unwrap();
    assert_eq!(read(&mut sockets[0]).await.unwrap(), b"still here", "it may still ask for this");
    go_on.notify_one();
    let mut body = [0; 6];
    within(request.read_exact(&mut body)).await.unwrap();
    assert_eq!(&body, b"whole!");
}
