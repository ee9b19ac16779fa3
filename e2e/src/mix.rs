//! Clients of every kind at once, as a cluster has them.
//!
//! In: clients on nodes, and for how long. Out: what came of each kind, over all nodes.

use crate::traffic::{ClientPod, Summary};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use tokio::task::JoinHandle;

/// Streams and WebSockets that each client pod holds open.
const LINES: u32 = 10;
/// How long each of them is silent between two messages.
const SILENCE_MS: u32 = 200;

/// The kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// HTTP/1.1 over connections that are used again.
    KeepAlive,
    /// HTTP/1.1 over a connection for each request.
    NewConnections,
    /// HTTP/2 without TLS.
    Http2,
    /// gRPC streams both ways, which are opened again where they end in good order.
    GrpcStreams,
    /// WebSockets, which are opened again where they are closed in good order.
    WebSockets,
}

/// Where they call: hosts of Services by their mesh names.
#[derive(Clone, Debug)]
pub struct Targets {
    /// For HTTP and WebSockets, on port 80.
    pub http: String,
    /// For gRPC, on port 9090.
    pub grpc: String,
}

/// Clients that run.
pub struct Mix {
    running: Vec<(Kind, JoinHandle<Result<Summary>>)>,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::KeepAlive, Self::NewConnections, Self::Http2, Self::GrpcStreams, Self::WebSockets];

    /// How many requests or messages a second one client sends.
    #[must_use]
    pub fn rate(self) -> u32 {
        match self {
            Self::KeepAlive => 120,
            Self::NewConnections => 20,
            Self::Http2 => 60,
            Self::GrpcStreams | Self::WebSockets => LINES * 1000 / SILENCE_MS,
        }
    }

    /// The echo client's arguments.
    fn arguments(self, targets: &Targets, seconds: u32) -> Vec<String> {
        let Targets { http, grpc } = targets;
        let load = |more: &str| {
            let rate = self.rate();
            format!("load http://{http}/ --rate {rate} --duration {seconds}s --connections 50 {more}")
        };
        let messages = seconds * 1000 / SILENCE_MS;
        let lines = format!("--connections {LINES} --interval {SILENCE_MS}ms --reconnect --summary");
        let text = match self {
            Self::KeepAlive => load(""),
            Self::NewConnections => load("--no-keep-alive"),
            // Few connections, so that each carries much.
            Self::Http2 => load("--http2").replace("--connections 50", "--connections 3"),
            Self::GrpcStreams => {
                format!("grpc http://{grpc}:9090 --kind bidi --count {LINES} --messages {messages} {lines}")
            }
            Self::WebSockets => format!("websocket ws://{http}/ws --count {} {lines}", messages * LINES),
        };
        text.split_whitespace().map(str::to_owned).collect()
    }
}

impl Mix {
    /// Starts every kind in every client pod.
    pub fn start<'a>(clients: impl Iterator<Item = &'a ClientPod>, targets: &Targets, seconds: u32) -> Self {
        let start = |client: &ClientPod, kind: Kind| (kind, client.start(kind.arguments(targets, seconds)));
        let running = clients.flat_map(|client| Kind::ALL.map(|kind| start(client, kind)));
        Self { running: running.collect() }
    }

    /// Whether all of them are still at it.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.running.iter().all(|(_, client)| !client.is_finished())
    }

    /// Waits for their end; what came of each kind, over all client pods.
    ///
    /// # Errors
    /// When a client could not be run.
    pub async fn end(self) -> Result<BTreeMap<Kind, Summary>> {
        let mut sums: BTreeMap<Kind, Summary> = BTreeMap::new();
        for (kind, client) in self.running {
            let summary = client.await??;
            sums.entry(kind).or_default().add(&summary);
        }
        Ok(sums)
    }

    /// The same, and demands that nothing failed; how many requests and messages there were.
    ///
    /// # Errors
    /// When one failed.
    pub async fn all_ok(self) -> Result<u64> {
        let sums = self.end().await?;
        for (kind, sum) in &sums {
            let Summary { sent, ok, failed, opened, resent, p99_ms, .. } = sum;
            println!(
                "{kind:?}: {sent} sent, {ok} ok, {failed} failed, {opened} lines opened, {resent} sent once more, p99 {p99_ms:.1} ms"
            );
        }
        let failed: Vec<_> = sums.iter().filter(|(_, sum)| sum.all_ok().is_err()).collect();
        ensure!(failed.is_empty(), "requests failed: {failed:?}");
        Ok(sums.values().map(|sum| sum.sent).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_every_kind_sends_what_it_is_said_to() {
        let targets = Targets { http: "web".into(), grpc: "grpc".into() };
        for kind in Kind::ALL {
            let arguments = kind.arguments(&targets, 60);
            let value = |name: &str| {
                let at = arguments.iter().position(|argument| argument == name)?;
                arguments[at + 1].parse::<u32>().ok()
            };
            let sent = match kind {
                Kind::GrpcStreams => value("--count").unwrap() * value("--messages").unwrap(),
                Kind::WebSockets => value("--count").unwrap(),
                Kind::KeepAlive | Kind::NewConnections | Kind::Http2 => value("--rate").unwrap() * 60,
            };
            assert_eq!(sent, kind.rate() * 60, "{arguments:?}");
        }
    }
}
