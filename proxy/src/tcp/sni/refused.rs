//! Why a TLS connection goes nowhere, and how its client is told.
//!
//! In: the reason. Out: a TLS alert where the client speaks TLS and said what it wants, else a reset, so that it does not
//! think that the Service had nothing to say; counted with the reason's flag.

use super::{
    LARGEST,
    hello::{Broken, Version},
};
use crate::{cause::Cause, metrics::Traffic};
use socket2::SockRef;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, sink},
    net::TcpStream,
    time::timeout,
};

/// How long a client that was told may take to close. What it still sends is thrown away meanwhile: to close with
/// something unread is a reset, which can overtake the alert.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a connection goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The client went away before it said what it wants. Nobody is there to be told, and it is not counted.
    #[error("the client went away")]
    Gone,
    /// It did not say in time what it wants.
    #[error("the ClientHello did not arrive in time")]
    Late,
    /// It does not speak TLS, and there is no route for that.
    #[error("the client does not speak TLS")]
    NotTls,
    /// What it sent is not to be read.
    #[error("{0}")]
    Broken(Broken, Version),
    /// No route fits its name, or its having none; or the one that fits leads to a Service that is not there.
    #[error("no route fits the server name, or it leads nowhere")]
    UnknownName(Version),
}

/// The descriptions of fatal alerts (RFC 8446, section 6).
#[derive(Clone, Copy)]
enum Alert {
    UnexpectedMessage = 10,
    RecordOverflow = 22,
    IllegalParameter = 47,
    DecodeError = 50,
    UnrecognizedName = 112,
}

// === impl Refused ===

impl Refused {
    /// What it is counted as.
    #[must_use]
    pub fn cause(self) -> Option<Cause> {
        match self {
            Self::Gone => None,
            Self::Late => Some(Cause::RequestTimeout),
            Self::NotTls => Some(Cause::NotTls),
            Self::Broken(Broken::TooLarge, _) => Some(Cause::HeadTooLarge),
            Self::Broken(Broken::Record | Broken::Unexpected | Broken::Malformed | Broken::Ambiguous, _) => {
                Some(Cause::BadRequest)
            }
            Self::UnknownName(_) => Some(Cause::UnknownServerName),
        }
    }

    /// Tells the client, and counts. The connection is to be closed then.
    pub async fn tell(self, client: &mut TcpStream, traffic: &Traffic) {
        if let Some(cause) = self.cause() {
            traffic.refused(cause);
        }
        match self.record() {
            Some(record) => {
                // Who does not take it in time has no use for it.
                let _ = timeout(PATIENCE, farewell(client, record)).await;
            }
            None => {
                let _ = SockRef::from(&*client).set_linger(Some(Duration::ZERO));
            }
        }
    }

    fn record(self) -> Option<[u8; 7]> {
        let (alert, (major, minor)) = match self {
            Self::Gone | Self::Late | Self::NotTls => return None,
            Self::Broken(broken, version) => (alert(broken), version),
            Self::UnknownName(version) => (Alert::UnrecognizedName, version),
        };
        // A record of the kind "alert", two bytes long, and in it a fatal one.
        Some([21, major, minor, 0, 2, 2, alert as u8])
    }
}

fn alert(broken: Broken) -> Alert {
    match broken {
        Broken::Record => Alert::RecordOverflow,
        Broken::Unexpected => Alert::UnexpectedMessage,
        Broken::Malformed | Broken::TooLarge => Alert::DecodeError,
        Broken::Ambiguous => Alert::IllegalParameter,
    }
}

async fn farewell(client: &mut TcpStream, record: [u8; 7]) -> std::io::Result<()> {
    client.write_all(&record).await?;
    client.shutdown().await?;
    copy(&mut client.take(LARGEST as u64), &mut sink()).await?;
    Ok(())
}
