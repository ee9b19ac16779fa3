//! The server and the client in one process, over the loopback address.

mod streams;

use crate::{
    answer::Answer,
    arguments::{CommandLine, Connect, Get, Load, Question, Run, Serve, Tcp},
    client::{self, Client},
    load::load,
    raw,
    server::Server,
};
use clap::Parser;
use hyper::Method;
use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

const LIMIT: Duration = Duration::from_secs(5);

struct Running {
    http: String,
    grpc: String,
    tcp: String,
    udp: u16,
    end: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

/// What a command line means.
fn parse(arguments: &str) -> Run {
    CommandLine::parse_from(format!("weft-echo {arguments}").split_whitespace()).run
}

fn start(name: &str, more: &str) -> Running {
    let ports = "--http-port 0 --grpc-port 0 --tcp-port 0 --udp-port 0";
    let Run::Serve(arguments) = parse(&format!("serve --name {name} --node node-1 {ports} {more}")) else {
        panic!()
    };
    let server = Server::bind(Serve { pod: format!("{name}-0"), ..arguments }).unwrap();
    let [http, grpc, tcp, udp] = server.ports();
    let (end, told) = oneshot::channel();
    // A test that does not end it drops the sender, which must not end it either.
    let told = async {
        if told.await.is_err() {
            pending().await
        }
    };
    let ended = tokio::spawn(server.run(told));
    let [http, grpc] = [http, grpc].map(|port| format!("http://127.0.0.1:{port}"));
    Running { http, grpc, tcp: format!("127.0.0.1:{tcp}"), udp, end, ended }
}

impl Running {
    async fn get(&self, path: &str) -> Result<(Answer, String), String> {
        self.connect(path, Connect::default()).await
    }

    async fn connect(&self, path: &str, connect: Connect) -> Result<(Answer, String), String> {
        let client = Client::new(&format!("{}{path}", self.http), connect, LIMIT).unwrap();
        let outcome = client.send(Instant::now()).await;
        outcome.answer.map(|answer| (answer, outcome.body))
    }

    /// Sends text over a connection of its own and returns all that comes back.
    async fn send(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(self.http.trim_start_matches("http://")).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }
}

#[tokio::test]
async fn it_says_who_called_and_where_it_runs() {
    let web = start("web", "");
    for connect in [Connect::default(), Connect { http2: true, ..Connect::default() }] {
        let (answer, _) = web.connect("/cart?item=1", connect).await.unwrap();
        assert_eq!((&*answer.service, &*answer.pod, &*answer.node), ("web", "web-0", "node-1"));
        assert_eq!((&*answer.method, &*answer.path, answer.body_bytes), ("GET", "/cart?item=1", 0));
        assert!(answer.peer.starts_with("127.0.0.1:"), "{}", answer.peer);
    }
    let request = "POST /x HTTP/1.1\r\nHost: web.shop.mesh\r\nX-One: 1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    let answer = web.send(request).await;
    let answer: Answer = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&*answer.method, answer.body_bytes), ("POST", 3));
    assert_eq!(answer.headers["host"], "web.shop.mesh");
    assert_eq!(answer.headers["x-one"], "1");
}

#[tokio::test]
async fn paths_do_what_they_say() {
    let web = start("web", "");
    assert_eq!(web.get("/healthz").await.unwrap().1, "ok\n");
    assert_eq!(web.get("/status/503").await.unwrap_err(), "status 503");
    assert_eq!(web.get("/status/204").await.unwrap().1, "");
    for wrong in ["/status/100", "/status/none", "/bytes/none", "/delay/none"] {
        assert_eq!(web.get(wrong).await.unwrap_err(), "status 400", "{wrong}");
    }
    for count in [0, 1, 64 * 1024, 64 * 1024 + 1, 1_000_000] {
        assert_eq!(web.get(&format!("/bytes/{count}")).await.unwrap().1.len(), count);
    }
    let start = Instant::now();
    assert_eq!(web.get("/delay/100ms").await.unwrap().0.service, "web");
    assert!(start.elapsed() >= Duration::from_millis(100));
    let request = "PUT /echo HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    assert!(web.send(request).await.ends_with("hello"));
}

#[tokio::test]
async fn it_calls_others_and_shows_their_answers() {
    let (prices, stock) = (start("prices", ""), start("stock", ""));
    let catalog = start("catalog", &format!("--calls {}/,{}/status/500", prices.http, stock.http));
    let frontend = start("frontend", &format!("--calls {}/", catalog.http));
    let (answer, _) = frontend.get("/").await.unwrap();
    let catalog = &answer.calls[0];
    assert_eq!(catalog["service"], "catalog");
    assert_eq!(catalog["calls"][0]["service"], "prices");
    assert_eq!(catalog["calls"][1]["error"], "status 500");
    assert!(frontend.get("/other").await.unwrap().0.calls.is_empty());
}

#[tokio::test]
async fn tcp_and_udp_come_back_as_they_were() {
    let web = start("web", "");
    for bytes in [0, 1, 3_000_000] {
        let call = Tcp { place: web.tcp.clone(), bytes, timeout: LIMIT };
        let (line, count) = raw::call(&call).await.unwrap();
        let answer: Answer = serde_json::from_str(&line).unwrap();
        assert_eq!((&*answer.pod, count), ("web-0", bytes));
        assert!(answer.peer.starts_with("127.0.0.1:"), "{}", answer.peer);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(b"hello", ("127.0.0.1", web.udp)).await.unwrap();
    let mut datagram = [0; 2000];
    let length = timeout(LIMIT, socket.recv(&mut datagram)).await.unwrap().unwrap();
    let (line, echo) = std::str::from_utf8(&datagram[..length]).unwrap().split_once('\n').unwrap();
    let answer: Answer = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&*answer.node, answer.peer, echo),
        ("node-1", socket.local_addr().unwrap().to_string(), "hello")
    );
}

#[tokio::test]
async fn told_to_end_it_is_not_ready_serves_on_and_finishes() {
    let web = start("web", "--drain 1500ms");
    let (http, tcp) = (web.http.clone(), web.tcp.clone());
    let slow = {
        let client = Client::new(&format!("{http}/delay/2s"), Connect::default(), LIMIT).unwrap();
        tokio::spawn(async move { client.send(Instant::now()).await })
    };
    sleep(Duration::from_millis(100)).await;
    web.end.send(()).unwrap();
    sleep(Duration::from_millis(100)).await;
    let get = async |path: &str| {
        let client = Client::new(&format!("{http}{path}"), Connect::default(), LIMIT).unwrap();
        client.send(Instant::now()).await.answer
    };
    assert_eq!(get("/healthz").await.unwrap_err(), "status 503");
    assert_eq!(get("/").await.unwrap().service, "web");
    assert!(TcpStream::connect(&tcp).await.is_ok());
    assert_eq!(slow.await.unwrap().answer.unwrap().service, "web");
    timeout(LIMIT, web.ended).await.unwrap().unwrap();
    assert!(get("/").await.unwrap_err().starts_with("connect: "));
}

#[tokio::test]
async fn a_series_ends_well_only_if_every_request_did() {
    let web = start("web", "");
    let get = async |arguments: String| {
        let Run::Get(arguments) = parse(&format!("get {arguments}")) else { panic!() };
        client::get(arguments as Get).await.unwrap()
    };
    assert!(get(format!("{}/ --count 20 --concurrency 4 --no-keep-alive --summary", web.http)).await);
    assert!(get(format!("{}/ --count 2 --json --interval 1ms", web.http)).await);
    assert!(!get(format!("{}/status/500 --count 2", web.http)).await);
    assert!(!get(format!("{}/delay/5s --timeout 50ms --json", web.http)).await);
    for wrong in ["web.shop.mesh/", "https://web.shop.mesh/", "/", "http:///"] {
        assert!(Client::new(wrong, Connect::default(), LIMIT).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_request_has_the_method_the_body_and_the_headers_asked_for() {
    let web = start("web", "");
    for http2 in ["", "--http2"] {
        let ask = format!("get {}/x --method POST --body 70000 --header X-User:7 {http2}", web.http);
        let Run::Get(Get { url, connect, question, .. }) = parse(&ask) else { panic!() };
        let outcome = Client::new(&url, connect, LIMIT).unwrap().asking(question).send(Instant::now()).await;
        let answer = outcome.answer.unwrap();
        assert_eq!((&*answer.method, answer.body_bytes, outcome.status), ("POST", 70_000, 200));
        assert_eq!(answer.headers["x-user"], "7");
        assert!(outcome.headers.contains_key("date"), "{:?}", outcome.headers);
    }
}

#[tokio::test]
async fn so_many_connections_are_used() {
    let web = start("web", "");
    for connections in [1, 3] {
        let text = format!("load {}/ --connections {connections} --http2", web.http);
        let Run::Load(Load { url, connect, connections: within, .. }) = parse(&text) else { panic!() };
        let client = Client::new(&url, connect, LIMIT).unwrap().within(within);
        let mut peers = BTreeSet::new();
        for _ in 0..9 {
            peers.insert(client.send(Instant::now()).await.answer.unwrap().peer);
        }
        assert_eq!(peers.len(), connections, "{peers:?}");
    }
}

#[tokio::test]
async fn a_load_has_its_rate_and_its_end() {
    let web = start("web", "");
    let send = async |path: &str, told: Option<Duration>| {
        let text = format!("load {}{path} --rate 100 --duration 500ms --timeout 1s", web.http);
        let Run::Load(arguments) = parse(&text) else { panic!() };
        let told = async { if let Some(time) = told { sleep(time).await } else { pending().await } };
        load(arguments as Load, told).await.unwrap()
    };
    let all = send("/", None).await;
    assert_eq!((all.sent, all.ok, all.failed), (50, 50, 0));
    assert_eq!(all.nodes["node-1"], 50);
    assert_eq!(all.peers["127.0.0.1"], 50);
    // It goes on at its rate, whatever becomes of the requests before.
    let slow = send("/delay/600ms", None).await;
    assert_eq!((slow.sent, slow.ok), (50, 50));
    let failed = send("/status/500", None).await;
    assert_eq!((failed.sent, failed.errors["status 500"]), (50, 50));
    // Two connections are too few for answers that take so long; what waited counts from when it was meant to be sent.
    let few =
        format!("load {}/delay/50ms --rate 100 --duration 500ms --timeout 200ms --connections 2", web.http);
    let Run::Load(few) = parse(&few) else { panic!() };
    let few = load(few, pending()).await.unwrap();
    assert!(few.sent == 50 && few.ok <= 30 && few.errors["timeout"] > 0, "{few:?}");
    let cut = send("/", Some(Duration::from_millis(100))).await;
    assert!(cut.sent > 0 && cut.sent < 50 && cut.all_ok(), "{cut:?}");
}

#[tokio::test]
async fn http_has_streams_headers_trailers_and_a_share_of_failures() {
    let web = start("web", "");
    assert_eq!(web.get("/stream?count=3&interval=1ms").await.unwrap().1, "0\n1\n2\n");
    assert_eq!(web.get("/stream?count=x").await.unwrap_err(), "status 400");
    let headers: BTreeMap<String, String> =
        serde_json::from_str(&web.get("/headers").await.unwrap().1).unwrap();
    assert_eq!(headers["host"], web.http.trim_start_matches("http://"));
    let mut failed = 0;
    for _ in 0..10 {
        failed +=
            u32::from(web.get("/fail?percent=50&status=502").await.is_err_and(|error| error == "status 502"));
    }
    assert_eq!(failed, 5);

    let request = "POST /trailers HTTP/1.1\r\nHost: web\r\nTE: trailers\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let answer = web.send(request).await;
    assert!(answer.ends_with("5\r\nhello\r\n0\r\necho-bytes: 5\r\n\r\n"), "{answer}");
    let chunked = "Transfer-Encoding: chunked\r\nTrailer: x-sum\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n";
    let answer = web.send(&format!("POST /x HTTP/1.1\r\nHost: web\r\n{chunked}")).await;
    let answer: Answer = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((answer.body_bytes, &*answer.trailers["x-sum"]), (3, "7"));
}

#[tokio::test]
async fn a_pod_can_be_switched_to_fail_and_back() {
    let web = start("web", "");
    let post = async |path: &str| {
        let question = Question { method: Method::POST, ..Question::default() };
        let client = Client::new(&format!("{}{path}", web.http), Connect::default(), LIMIT).unwrap();
        client.asking(question).send(Instant::now()).await.answer.map(drop)
    };
    post("/admin/fail?status=502&percent=100").await.unwrap();
    assert_eq!(web.get("/").await.unwrap_err(), "status 502");
    assert_eq!(web.grpc("").await.errors["grpc 14 as switched"], 1);
    assert!(web.get("/healthz").await.is_ok(), "it is still ready");
    assert_eq!(web.get("/admin/heal").await.unwrap_err(), "status 405");
    assert_eq!(post("/admin/fail?status=nine").await.unwrap_err(), "status 400");
    assert_eq!(post("/admin/other").await.unwrap_err(), "status 404");
    post("/admin/heal").await.unwrap();
    assert!(web.get("/").await.is_ok());
}
