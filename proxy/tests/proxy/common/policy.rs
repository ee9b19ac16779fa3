//! Services that ask for something, and what a proxy says of them.

use super::{Mesh, http, message, message::Message, within};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep},
};
use weft_contract::{
    Confirmation, NodeConfiguration, Policy, Service, encode,
    policy::{RateLimit, RateLimitKey, RateLimitScope},
};
use weft_proxy::configuration::Content;

/// A Service whose policy is the default but for what `change` does.
pub fn asking(
    name: &str,
    listener: u16,
    endpoints: &[SocketAddr],
    change: impl FnOnce(&mut Policy),
) -> Service {
    let mut service = http(name, listener, endpoints);
    change(&mut service.policy);
    service
}

/// A limit of one request a second for each client.
pub fn one_a_second() -> RateLimit {
    let (key, scope) = (RateLimitKey::default(), RateLimitScope::default());
    RateLimit { average: 1, burst: 1, key, scope, proxies: 1 }
}

/// A request without a body.
pub fn request(line: &str, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("{line} HTTP/1.1\r\nhost: web.shop.mesh\r\n{fields}\r\n")
}

/// A request with a body.
pub fn request_with(line: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: web.shop.mesh\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Connects from another address of this machine: another client.
pub async fn connect_from(last_byte: u8, port: u16) -> TcpStream {
    try_connect_from(last_byte, port).await.unwrap()
}

/// The same where it may be refused: a reset may come that soon.
pub async fn try_connect_from(last_byte: u8, port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, last_byte), 0).into()).unwrap();
    within(socket.connect((Ipv4Addr::LOCALHOST, port).into())).await
}

/// Waits until something holds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < super::PATIENCE, "it never came about that {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// The response flag of an answer of the proxy's own, from `proxy-status`.
pub fn flag(answer: &Message) -> Option<&str> {
    let (_, details) = answer.header("proxy-status")?.split_once("details=\"")?;
    details.split('"').next()
}

impl Mesh {
    /// Applies a whole configuration and waits until it is in force.
    pub async fn apply_configuration(&mut self, configuration: &NodeConfiguration) {
        let encoded = encode(configuration).unwrap();
        let revision = encoded.revision.clone();
        self.proxy.take(&Content { revision: Some(encoded.revision), ..encoded.body.into() });
        self.in_force(&revision).await;
    }

    /// The number that `/metrics` shows for a series of the port 80 of a Service of the namespace `shop`, such as
    /// `retries_total`; 0 where it shows none. `label` is one label more, as it is written.
    pub async fn metric(&self, name: &str, service: &str, label: &str) -> u64 {
        let comma = if label.is_empty() { "" } else { "," };
        let series =
            format!("weft_{name}{{namespace=\"shop\",service=\"{service}\",port=\"80\"{comma}{label}}} ");
        let metrics = self.admin("/metrics").await;
        let number = metrics.text().lines().find_map(|line| line.strip_prefix(&series)?.parse().ok());
        number.unwrap_or(0)
    }

    /// How often the proxy answered itself with this flag, or broke an answer off.
    pub async fn own_answers(&self, service: &str, flag: &str) -> u64 {
        self.metric("own_answers_total", service, &format!("flag=\"{flag}\"")).await
    }

    /// Waits until `/metrics` shows this number: a request is counted when it ends, after its client has the answer.
    pub async fn shows(&self, name: &str, service: &str, label: &str, expected: u64) {
        let what = format!("{name} of {service} with {label} is {expected}");
        eventually(&what, async || self.metric(name, service, label).await == expected).await;
    }

    /// The same of the proxy's own answers with this flag.
    pub async fn answers(&self, service: &str, flag: &str, expected: u64) {
        self.shows("own_answers_total", service, &format!("flag=\"{flag}\""), expected).await;
    }

    /// The same of TCP connections that were refused.
    pub async fn refused(&self, service: &str, flag: &str, expected: u64) {
        self.shows("tcp_refused_total", service, &format!("flag=\"{flag}\""), expected).await;
    }

    /// What the operator is told.
    pub async fn confirmation(&self) -> Confirmation {
        serde_json::from_slice(&self.admin("/revision").await.body).unwrap()
    }
}

/// Sends a request that is not answered yet.
pub async fn begin(stream: &mut TcpStream, request: &str) {
    use tokio::io::AsyncWriteExt;
    within(stream.write_all(request.as_bytes())).await.unwrap();
}

/// The answer to a request that was begun.
pub async fn end(stream: &mut TcpStream) -> Message {
    within(message::read(stream, false)).await.unwrap().expect("an answer")
}
