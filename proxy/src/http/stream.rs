//! A client's connection as Pingora wants to see it.
//!
//! In: a TCP connection. Out: Pingora's IO traits. Head and body of an answer leave in one system call, an idle
//! connection holds no buffer, and an answer given before the request was read to its end still reaches the client.

use crate::listen::Arrival;
use async_trait::async_trait;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType, raw_connect::ProxyDigest,
};
use std::{
    io,
    os::fd::AsRawFd,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    runtime::Handle,
    time::timeout,
};

/// What is gathered before it is written. A larger piece goes straight through.
const GATHERED: usize = 16 * 1024;
/// How long a client that still sends is listened to after it was answered, so that the answer is not lost to a reset.
const LINGER: Duration = Duration::from_secs(2);

/// How the connection ends when it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nothing is under way, or the client is done: just close it.
    Plain,
    /// The client may still be sending.
    Linger,
}

/// The connection.
#[derive(Debug)]
pub(super) struct ClientStream {
    /// None only while it is dropped.
    tcp: Option<TcpStream>,
    /// Where it arrived.
    pub(super) arrival: Arc<Arrival>,
    gathered: Vec<u8>,
    written: usize,
    end: End,
    /// The answer broke in a way that only a reset shows. Atomic, for Pingora lends its stream out read-only.
    broken: AtomicBool,
}

// === impl ClientStream ===

impl ClientStream {
    pub(super) fn new(tcp: TcpStream, arrival: Arrival) -> Self {
        let arrival = Arc::new(arrival);
        Self {
            tcp: Some(tcp),
            arrival,
            gathered: Vec::new(),
            written: 0,
            end: End::Plain,
            broken: AtomicBool::new(false),
        }
    }

    /// Between two requests.
    pub(super) fn rest(&mut self) {
        self.gathered = Vec::new();
        self.written = 0;
        self.end = End::Plain;
    }

    /// A request begins.
    pub(super) fn wake(&mut self) {
        self.end = End::Linger;
    }

    /// The client must see that its answer is not whole, where only a reset shows it.
    pub(super) fn reset_at_end(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Ends when there is something to read, the end of the connection included.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.tcp.as_ref().ok_or_else(gone)?.readable().await
    }

    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.tcp.as_mut().map(Pin::new).ok_or_else(gone)
    }

    fn poll_gathered(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            let Some(tcp) = self.tcp.as_mut() else { return Poll::Ready(Err(gone())) };
            let written = ready!(Pin::new(tcp).poll_write(context, &self.gathered[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        self.gathered.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// While it waits for an answer, Pingora looks with a buffer of one byte whether the client is still there, and fails
/// the request when the client sends another one behind it. No body is read with such a buffer.
fn is_probe(buffer: &ReadBuf<'_>) -> bool {
    buffer.capacity() == 1 && buffer.initialized().len() == 1
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Pingora waits for the client and for the endpoint at once. Where it waits, what was gathered must not.
        let _still_writing = self.poll_gathered(context)?;
        let tcp = self.tcp()?;
        if is_probe(buffer) {
            let mut byte = [0];
            return match ready!(tcp.poll_peek(context, &mut ReadBuf::new(&mut byte)))? {
                0 => {
                    self.end = End::Plain;
                    Poll::Ready(Ok(()))
                }
                // The next request: it waits in the kernel until this one is answered.
                _ => Poll::Pending,
            };
        }
        let before = buffer.filled().len();
        ready!(tcp.poll_read(context, buffer))?;
        if buffer.filled().len() == before && buffer.remaining() > 0 {
            self.end = End::Plain;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.gathered.len() + bytes.len() > GATHERED {
            ready!(self.poll_gathered(context))?;
        }
        if bytes.len() >= GATHERED {
            return self.tcp()?.poll_write(context, bytes);
        }
        self.gathered.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_gathered(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_gathered(context))?;
        self.tcp()?.poll_shutdown(context)
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        let Some(tcp) = self.tcp.take() else { return };
        if self.broken.load(Ordering::Relaxed) {
            let _ = socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
            return;
        }
        match self.end {
            End::Plain => {}
            End::Linger => {
                if let Ok(runtime) = Handle::try_current() {
                    let rest = self.gathered.split_off(self.written);
                    runtime.spawn(linger(tcp, rest));
                }
            }
        }
    }
}

/// Closing a connection with unread bytes resets it, which destroys what was sent but not yet read. So the sending side
/// is closed first, and what the client still sends is read away.
async fn linger(mut tcp: TcpStream, rest: Vec<u8>) {
    let read_away = async {
        tcp.write_all(&rest).await?;
        tcp.shutdown().await?;
        let mut away = vec![0; GATHERED];
        while tcp.read(&mut away).await? > 0 {}
        io::Result::Ok(())
    };
    // However that went, the connection is closed now.
    let _ = timeout(LINGER, read_away).await;
}

// What Pingora asks of a connection beyond bytes.

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        // Where this fails the connection is gone already.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        self.tcp.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }
}

impl Ssl for ClientStream {}

#[async_trait]
impl Peek for ClientStream {}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}
