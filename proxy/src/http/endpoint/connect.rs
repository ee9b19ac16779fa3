//! Opens a connection to an endpoint.
//!
//! In: an address and what is spoken there. Out: a connection of HTTP/1, or one of HTTP/2 that streams can be opened on.

use super::pool::{MOST_STREAMS, Multiplexed, Turn};
use crate::{
    cause::Cause,
    http::{
        http2::{Connection, Ours},
        wire::{http1::Http1, stream::Stream},
    },
    route::Upstream,
};
use socket2::SockRef;
use std::{io, net::SocketAddr};
use tokio::net::TcpStream;
use weft_contract::policy::Scheme;

/// How much of one answer an endpoint may send before it is asked for more: what a fast network carries within one round
/// trip.
const STREAM_WINDOW: u32 = 256 * 1024;
/// And of all answers of a connection: of each stream that it has, so that clients who do not read hold up nobody else.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS;
/// The largest head of an answer.
const LARGEST_HEAD: u32 = 256 * 1024;

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Refused, or no way there.
    #[error("cannot connect: {0}")]
    Refused(#[source] io::Error),
    /// Not accepted in time.
    #[error("the connection was not accepted in time")]
    Late,
    /// The endpoint could not be verified, or does not speak TLS.
    #[error("TLS failed: {0}")]
    Tls(#[source] io::Error),
    /// There is nothing to verify it with.
    #[error("there is no certificate to verify the endpoint with")]
    Unverifiable,
    /// It chose a protocol that it was not offered.
    #[error("the endpoint speaks HTTP/2 where HTTP/1 was asked for")]
    Unasked,
}

/// A connection that was opened.
pub(super) enum Opened {
    One(Box<Http1>),
    Many(Multiplexed),
}

// === impl Error ===

impl Error {
    /// What it means for the request.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Refused(_) => Cause::ConnectFailed,
            Self::Late => Cause::ConnectTimeout,
            Self::Tls(_) | Self::Unverifiable | Self::Unasked => Cause::TlsFailed,
        }
    }
}

/// Opens a connection, TLS included; of HTTP/1 where that can be chosen and `http1` is set. `turn` is let go when it can be
/// told whether the connection has room for others.
pub(super) async fn open(
    address: SocketAddr,
    upstream: &Upstream,
    http1: bool,
    turn: Option<Turn>,
) -> Result<Opened, Error> {
    let tcp = tcp(address).await.map_err(Error::Refused)?;
    match upstream.scheme {
        Scheme::Http => Ok(Opened::One(Box::new(Http1::new(Stream::Plain(tcp))))),
        Scheme::H2c => Ok(multiplexed(Stream::Plain(tcp), turn)),
        Scheme::Https => {
            let tls = upstream.tls.as_ref().ok_or(Error::Unverifiable)?;
            let stream = tls.connect(tcp, http1).await.map_err(Error::Tls)?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let stream = Stream::Tls(Box::new(stream));
            if http2 { Ok(multiplexed(stream, turn)) } else { Ok(Opened::One(Box::new(Http1::new(stream)))) }
        }
    }
}

async fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // Finds an endpoint that is gone while an answer is awaited, which may take as long as without the mesh.
    crate::listen::keep_alive(&SockRef::from(&stream))?;
    Ok(stream)
}

fn multiplexed(stream: Stream, turn: Option<Turn>) -> Opened {
    let ours = Ours {
        stream_window: STREAM_WINDOW,
        connection_window: CONNECTION_WINDOW,
        head_bytes: LARGEST_HEAD,
        streams: 0,
    };
    let (connection, opener) = Connection::client(ours, stream);
    Opened::Many(Multiplexed::drive(opener, connection, turn))
}
