//! gRPC: the service `weft.Echo`.
//!
//! In: calls. Out: each is answered with who called and where this runs, or as it asks; and a client that demands that.
//!
//! | method | takes | gives |
//! |---|---|---|
//! | `Unary` | an Ask | a Reply |
//! | `Client` | Asks | a Reply, whose `number` says how many there were |
//! | `Server` | an Ask | as many Replies as its `messages` says, `interval_ms` apart, numbered from 0 |
//! | `Bidi` | Asks | a Reply to each |
//!
//! Metadata that the server knows: `echo-status: 14` is answered with that status and nothing else (trailers-only),
//! `echo-delay: 500ms` waits before the first byte, `echo-trailer: NAME=VALUE` comes back behind the answer.

mod call;
mod message;
mod serve;

#[cfg(test)]
pub use call::one;
pub use call::run;
pub use serve::respond;

use clap::ValueEnum;

/// The name of the service in paths.
const SERVICE: &str = "/weft.Echo/";

/// The methods of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// One message each way.
    Unary,
    /// Many messages to the server, one back.
    Client,
    /// One message to the server, many back.
    Server,
    /// Many messages each way, each answered before the next is sent.
    Bidi,
}

impl Kind {
    /// Its name in paths.
    fn name(self) -> &'static str {
        match self {
            Self::Unary => "Unary",
            Self::Client => "Client",
            Self::Server => "Server",
            Self::Bidi => "Bidi",
        }
    }

    /// The method that a path asks for.
    fn of(path: &str) -> Option<Self> {
        let name = path.strip_prefix(SERVICE)?;
        Self::value_variants().iter().copied().find(|kind| kind.name() == name)
    }
}
