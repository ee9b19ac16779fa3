//! The command line.
//!
//! In: arguments. Out: what to do.

use crate::grpc::Kind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use hyper::{
    Method,
    header::{HeaderName, HeaderValue},
};
use std::{
    num::{NonZeroU16, NonZeroU64},
    time::Duration,
};

/// An echo server and a client of several protocols.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub run: Run,
}

/// What it can do.
#[derive(Debug, Subcommand)]
pub enum Run {
    /// Echo HTTP, WebSockets, gRPC, TCP and UDP.
    Serve(Serve),
    /// Send HTTP requests, each when one before it was answered.
    Get(Get),
    /// Send HTTP requests at a constant rate.
    Load(Load),
    /// Call the echo server's methods of gRPC.
    Grpc(Grpc),
    /// Send messages over WebSockets and demand them back.
    Websocket(WebSocket),
    /// Send bytes over TCP and demand the same back.
    Tcp(Tcp),
    /// Send messages over TCP or UDP and demand them back.
    Messages(Messages),
    /// Look up a name.
    Resolve(Resolve),
    /// Do nothing until told to end, so that a pod can be called into.
    Sleep,
}

/// The settings of the server.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// The port for HTTP.
    #[arg(long, default_value_t = 8080)]
    pub http_port: u16,
    /// The port for gRPC.
    #[arg(long, default_value_t = 9090)]
    pub grpc_port: u16,
    /// The port for TCP.
    #[arg(long, default_value_t = 9000)]
    pub tcp_port: u16,
    /// The port for UDP.
    #[arg(long, default_value_t = 9001)]
    pub udp_port: u16,
    /// The name it says it has.
    #[arg(long, env = "ECHO_NAME", default_value = "echo")]
    pub name: String,
    /// The pod it says it is.
    #[arg(long, env = "POD_NAME", default_value = "")]
    pub pod: String,
    /// The node it says it is on.
    #[arg(long, env = "NODE_NAME", default_value = "")]
    pub node: String,
    /// URLs that are called, and their answers shown, when `/` is asked for.
    #[arg(long, env = "ECHO_CALLS", value_delimiter = ',')]
    pub calls: Vec<String>,
    /// How long it still takes connections after it was told to end.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub drain: Duration,
}

/// The settings of requests that wait for one another.
#[derive(Clone, Debug, Args)]
pub struct Get {
    /// What to call.
    pub url: String,
    /// How often.
    #[arg(long, default_value_t = 1)]
    pub count: u64,
    /// How many at a time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
    /// How long to wait before each but the first.
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub interval: Duration,
    /// How long one request may take.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub timeout: Duration,
    /// How to connect.
    #[command(flatten)]
    pub connect: Connect,
    /// What to send.
    #[command(flatten)]
    pub question: Question,
    /// Print each outcome as a line of JSON: the answer or the error, and how long it took.
    #[arg(long, conflicts_with = "summary")]
    pub json: bool,
    /// Print one line of JSON about all instead of each answer.
    #[arg(long)]
    pub summary: bool,
}

/// How to connect.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Connect {
    /// Use a connection of its own for each request.
    #[arg(long)]
    pub no_keep_alive: bool,
    /// Use a connection again; this is the default, and takes back --no-keep-alive before it.
    #[arg(long, overrides_with = "no_keep_alive")]
    pub keep_alive: bool,
    /// Speak HTTP/2 without TLS from the first byte.
    #[arg(long)]
    pub http2: bool,
}

/// What to send.
#[derive(Clone, Debug, Default, Args)]
pub struct Question {
    /// The method.
    #[arg(long, default_value_t = Method::GET)]
    pub method: Method,
    /// How many bytes the body has.
    #[arg(long, default_value_t = 0)]
    pub body: usize,
    /// A header field, NAME:VALUE; as often as there are some.
    #[arg(long = "header", value_parser = header)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// The settings of requests at a constant rate.
#[derive(Clone, Debug, Args)]
pub struct Load {
    /// What to call.
    pub url: String,
    /// Requests per second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// For how long.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// How long one request may take.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub timeout: Duration,
    /// How to connect.
    #[command(flatten)]
    pub connect: Connect,
    /// How many connections at most; as many as it takes if not given. Over HTTP/2 it is so many, taken in turn.
    #[arg(long)]
    pub connections: Option<NonZeroU16>,
    /// What to send.
    #[command(flatten)]
    pub question: Question,
}

/// The settings of a series of calls or messages.
#[derive(Clone, Copy, Debug, Args)]
pub struct Series {
    /// How many, over all connections.
    #[arg(long, default_value_t = 1)]
    pub count: u64,
    /// How many connections, at the same time.
    #[arg(long, default_value = "1")]
    pub connections: NonZeroU16,
    /// How long to wait before each but the first of a connection.
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub interval: Duration,
    /// How long one may take.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub timeout: Duration,
    /// Connect again where the other side ends a stream or WebSocket in good order; without it, each end is a failure.
    #[arg(long)]
    pub reconnect: bool,
}

/// The settings of calls of gRPC.
#[derive(Clone, Debug, Args)]
pub struct Grpc {
    /// What to call: http://HOST:PORT.
    pub url: String,
    /// Which method.
    #[arg(long, value_enum, default_value_t = Kind::Unary)]
    pub kind: Kind,
    /// How many and how fast; over a stream both ways the interval is that between its messages.
    #[command(flatten)]
    pub series: Series,
    /// How many calls at the same time on each connection.
    #[arg(long, default_value = "1")]
    pub concurrency: NonZeroU16,
    /// How many messages each stream has.
    #[arg(long, default_value = "1")]
    pub messages: NonZeroU64,
    /// How many bytes each message carries.
    #[arg(long, default_value_t = 0)]
    pub payload: usize,
    /// The status to ask the server for.
    #[arg(long, default_value_t = 0)]
    pub code: i32,
    /// A field of metadata, NAME:VALUE; as often as there are some.
    #[arg(long, value_parser = header)]
    pub metadata: Vec<(HeaderName, HeaderValue)>,
    /// The deadline that is told to the server. The client waits for as long as its timeout, whatever this is.
    #[arg(long, value_parser = duration)]
    pub deadline: Option<Duration>,
    /// Print one line of JSON about all instead of each outcome.
    #[arg(long)]
    pub summary: bool,
}

/// The settings of messages over WebSockets.
#[derive(Clone, Debug, Args)]
pub struct WebSocket {
    /// What to call: ws://HOST/ws.
    pub url: String,
    /// How many and how fast.
    #[command(flatten)]
    pub series: Series,
    /// Print one line of JSON about all instead of each outcome.
    #[arg(long)]
    pub summary: bool,
}

/// The settings of bytes over TCP.
#[derive(Clone, Debug, Args)]
pub struct Tcp {
    /// HOST:PORT.
    pub place: String,
    /// How many bytes.
    #[arg(long, default_value_t = 1000)]
    pub bytes: usize,
    /// How long all may take.
    #[arg(long, default_value = "20s", value_parser = duration)]
    pub timeout: Duration,
}

/// The settings of messages over TCP or UDP.
#[derive(Clone, Debug, Args)]
pub struct Messages {
    /// What to call: tcp://HOST:PORT or udp://HOST:PORT.
    pub place: String,
    /// How many and how fast. A connection of UDP is a port that datagrams are sent from.
    #[command(flatten)]
    pub series: Series,
    /// After how many a new connection is opened; without it one has them all.
    #[arg(long)]
    pub per_line: Option<NonZeroU64>,
    /// Print one line of JSON about all instead of each outcome.
    #[arg(long)]
    pub summary: bool,
}

/// The settings of a look-up.
#[derive(Clone, Debug, Args)]
pub struct Resolve {
    /// The name, in full.
    pub name: String,
    /// The type of record.
    #[arg(long = "type", value_enum, default_value_t = Record::A, ignore_case = true)]
    pub record: Record,
}

/// A type of record.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Record {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Ports of a service.
    Srv,
}

/// Reads a time such as `500ms` or `2s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time such as 500ms or 2s");
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, Duration::from_millis(1)),
        None => (text.strip_suffix('s').ok_or_else(wrong)?, Duration::from_secs(1)),
    };
    let number = number.parse::<u32>().map_err(|_| wrong())?;
    Ok(unit * number)
}

/// Reads a header field such as `x-user: 7`.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or_else(|| format!("{text:?} is not NAME:VALUE"))?;
    let name = name.trim().parse().map_err(|error| format!("{name:?}: {error}"))?;
    let value = value.trim().parse().map_err(|error| format!("{value:?}: {error}"))?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn times_are_read() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("4294967295s"), Ok(Duration::from_secs(u32::MAX.into())));
        for wrong in ["", "5", "s", "-1s", "1h", "4294967296s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn header_fields_are_read() {
        let (name, value) = header("X-User: a:b ").unwrap();
        assert_eq!((name.as_str(), value.as_bytes()), ("x-user", &b"a:b"[..]));
        for wrong in ["x-user", ": 7", "x user: 7", "x-user: a\0b"] {
            assert!(header(wrong).is_err(), "{wrong}");
        }
    }
}
