//! Opens sockets.
//!
//! In: an address. Out: a socket that listens there, for IPv4 too where the address is `[::]`.

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

/// How many connections may wait to be accepted: a burst of clients must not meet a refusal.
const BACKLOG: i32 = 1024;

/// Listens at `address`. A connection accepted there inherits its options, which saves setting them on each. `[::]`
/// becomes `0.0.0.0` where the node has no IPv6.
///
/// # Errors
/// What the operating system says.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match bind_exactly(address) {
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() && lacks_ipv6(&error) => {
            bind_exactly(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
        }
        outcome => outcome,
    }
}

/// Has the kernel ask after a silent peer, so that one that vanished without a word does not hold a connection for
/// ever: after two minutes of silence, three times, half a minute apart.
///
/// # Errors
/// What the operating system says.
pub fn keep_alive(socket: &SockRef<'_>) -> io::Result<()> {
    let patience = TcpKeepalive::new()
        .with_time(Duration::from_secs(120))
        .with_interval(Duration::from_secs(30))
        .with_retries(3);
    socket.set_tcp_keepalive(&patience)
}

fn bind_exactly(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restarted proxy must not wait for connections of the one before it to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    keep_alive(&SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(
        errno,
        Some(
            rustix::io::Errno::AFNOSUPPORT
                | rustix::io::Errno::ADDRNOTAVAIL
                | rustix::io::Errno::PROTONOSUPPORT
        )
    )
}
