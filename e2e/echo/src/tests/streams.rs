//! gRPC, WebSockets and messages over TCP and UDP, and what becomes of their streams when a server goes.

use super::{LIMIT, Running, parse, start};
use crate::{arguments::Run, grpc, messages, server::Server, summary::Summary, websocket};
use std::{future::pending, time::Duration};
use tokio::{
    net::{TcpListener, UdpSocket},
    time::{sleep, timeout},
};

impl Running {
    pub(super) async fn grpc(&self, arguments: &str) -> Summary {
        let Run::Grpc(arguments) = parse(&format!("grpc {} --summary {arguments}", self.grpc)) else {
            panic!()
        };
        grpc::run(arguments).await.unwrap()
    }

    async fn websocket(&self, arguments: &str) -> Summary {
        let url = self.http.replace("http", "ws");
        let text = format!("websocket {url}/ws --summary {arguments}");
        let Run::Websocket(arguments) = parse(&text) else { panic!() };
        websocket::run(arguments).await.unwrap()
    }
}

#[tokio::test]
async fn every_kind_of_call_is_answered() {
    let web = start("web", "");
    for kind in ["unary", "client", "server"] {
        let all =
            web.grpc(&format!("--kind {kind} --count 5 --messages 3 --concurrency 2 --payload 70000")).await;
        assert!(all.all_ok(), "{kind} {all:?}");
        assert_eq!((all.sent, all.pods["web-0"], all.nodes["node-1"]), (5, 5, 5));
        assert_eq!(all.peers["127.0.0.1"], 5);
    }
    let all = web.grpc("--kind bidi --count 4 --messages 3 --connections 2 --reconnect").await;
    assert_eq!((all.sent, all.ok, all.opened, all.resent), (12, 12, 4, 0), "{all:?}");
}

#[tokio::test]
async fn statuses_deadlines_and_trailers_come_as_asked() {
    let web = start("web", "");
    for kind in ["unary", "client", "server", "bidi"] {
        let all = web.grpc(&format!("--kind {kind} --code 9")).await;
        assert_eq!(all.errors["grpc 9 as asked"], 1, "{kind}");
        let all = web.grpc(&format!("--kind {kind} --metadata echo-status:8")).await;
        assert_eq!(all.errors["grpc 8 as asked"], 1, "{kind}");
    }
    let all = web.grpc("--metadata echo-delay:5s --timeout 50ms").await;
    assert_eq!(all.errors["timeout"], 1);
    let all = web.grpc("--metadata echo-delay:soon").await;
    assert!(all.errors.keys().all(|error| error.starts_with("grpc 3 ")), "{all:?}");

    let outcome = async |arguments: &str| {
        let Run::Grpc(arguments) = parse(&format!("grpc {} {arguments}", web.grpc)) else { panic!() };
        grpc::one(arguments).await.unwrap()
    };
    for kind in ["unary", "client", "server"] {
        let outcome = outcome(&format!("--kind {kind} --metadata echo-trailer:x-one=1 --deadline 2s")).await;
        assert_eq!(outcome.headers["x-one"], "1", "{kind}");
        let received = outcome.answer.unwrap().headers;
        assert_eq!((&*received["echo-trailer"], &*received["grpc-timeout"]), ("x-one=1", "2000000u"));
    }
}

#[tokio::test]
async fn websockets_echo() {
    let web = start("web", "");
    let all = web.websocket("--count 20 --connections 2").await;
    assert_eq!((all.sent, all.ok, all.opened), (20, 20, 2), "{all:?}");
    assert_eq!((all.pods["web-0"], all.peers["127.0.0.1"]), (20, 20));
    assert_eq!(web.get("/ws").await.unwrap_err(), "status 400", "without a handshake");
    let wrong = format!("websocket {}/ws", web.http);
    let Run::Websocket(wrong) = parse(&wrong) else { panic!() };
    assert!(websocket::run(wrong).await.is_err());
}

#[tokio::test]
async fn clients_that_connect_again_lose_nothing_when_a_server_goes_and_another_comes() {
    let old = start("old", "--drain 0s");
    let [http, grpc] = [&old.http, &old.grpc].map(|url| url.rsplit_once(':').unwrap().1.to_owned());
    let sending = {
        let Running { http, grpc, .. } = &old;
        let web = Running { http: http.clone(), grpc: grpc.clone(), ..start("unused", "") };
        let series = "--count 100 --interval 10ms --reconnect";
        tokio::spawn(async move {
            let bidi = format!("--kind bidi --messages 100 {series}").replace("--count 100", "--count 1");
            tokio::join!(web.grpc(&bidi), web.websocket(series))
        })
    };
    sleep(Duration::from_millis(300)).await;
    old.end.send(()).unwrap();
    // The ports are free as soon as the old server listens no more, while it says goodbye.
    let new = timeout(LIMIT, async {
        loop {
            let ports = format!(
                "serve --name new --pod new-0 --http-port {http} --grpc-port {grpc} --tcp-port 0 --udp-port 0"
            );
            let Run::Serve(arguments) = parse(&ports) else { panic!() };
            if let Ok(server) = Server::bind(arguments) {
                return server;
            }
            tokio::task::yield_now().await;
        }
    });
    tokio::spawn(new.await.unwrap().run(pending()));
    let (bidi, websocket) = sending.await.unwrap();
    for all in [bidi, websocket] {
        assert_eq!((all.sent, all.ok, all.opened), (100, 100, 2), "{all:?}");
        assert!(all.pods["old-0"] > 0 && all.pods["new-0"] > 0, "{all:?}");
    }
    timeout(LIMIT, old.ended).await.unwrap().unwrap();
}

async fn messages(place: &str, arguments: &str) -> Summary {
    let Run::Messages(arguments) = parse(&format!("messages {place} --summary {arguments}")) else {
        panic!()
    };
    messages::run(arguments).await.unwrap()
}

#[tokio::test]
async fn messages_come_back_over_tcp_and_udp() {
    let web = start("web", "");
    for place in [format!("tcp://{}", web.tcp), format!("udp://127.0.0.1:{}", web.udp)] {
        let all = messages(&place, "--count 20 --connections 2 --per-line 5").await;
        assert_eq!((all.sent, all.ok, all.opened), (20, 20, 4), "{all:?}");
        assert_eq!((all.pods["web-0"], all.peers["127.0.0.1"]), (20, 20));
    }
    for wrong in ["127.0.0.1:1", "http://127.0.0.1:1", "tcp://127.0.0.1"] {
        let Run::Messages(wrong) = parse(&format!("messages {wrong}")) else { panic!() };
        assert!(messages::run(wrong).await.is_err());
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_its_time_is_a_failure() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("tcp://{}", closed.local_addr().unwrap());
    tokio::spawn(async move { while closed.accept().await.is_ok() {} });
    let all = messages(&place, "--count 3").await;
    assert_eq!((all.failed, all.errors["closed"]), (3, 3), "{all:?}");
}

#[tokio::test]
async fn a_datagram_that_does_not_come_back_is_sent_again_from_the_same_port() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let place = format!("udp://{}", server.local_addr().unwrap());
    let sending = tokio::spawn(async move { messages(&place, "--count 1").await });
    let mut datagram = [0; 100];
    let mut next = async || timeout(LIMIT, server.recv_from(&mut datagram)).await.unwrap().unwrap();
    let (lost, second) = (next().await, next().await);
    assert_eq!(lost, second);
    let answer = crate::answer::Answer { pod: "web-0".into(), ..Default::default() };
    server.send_to((answer.line() + "0").as_bytes(), second.1).await.unwrap();
    let all = sending.await.unwrap();
    assert_eq!((all.ok, all.opened, all.pods["web-0"]), (1, 1, 1), "{all:?}");
}
