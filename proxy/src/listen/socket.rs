//! Opens sockets.
//!
//! In: an address. Out: a socket that listens there, for IPv4 too where the address is `[::]`.

use nix::sys::socket::{
    setsockopt,
    sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo, UdpGroSegment},
};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    time::Duration,
};

/// How many connections may wait to be accepted: a burst of clients must not meet a refusal.
const BACKLOG: i32 = 1024;

/// How many bytes of datagrams may wait to be read, as far as `net.core.rmem_max` allows: a burst of clients must find room
/// while the worker is busy with others.
const DATAGRAMS: usize = 4 * 1024 * 1024;

/// Listens at `address`. A connection accepted there inherits its options, which saves setting them on each. `[::]`
/// becomes `0.0.0.0` where the node has no IPv6.
///
/// # Errors
/// What the operating system says.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    with_or_without_ipv6(address, bind_exactly)
}

/// Receives datagrams at `address`, each with the address that it was sent to. `[::]` becomes `0.0.0.0` where the node has no
/// IPv6.
///
/// # Errors
/// What the operating system says.
pub fn bind_datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    with_or_without_ipv6(address, bind_datagrams_exactly)
}

fn with_or_without_ipv6<T>(address: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match bind(address) {
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() && lacks_ipv6(&error) => {
            bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
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

fn bind_datagrams_exactly(address: SocketAddr) -> io::Result<UdpSocket> {
    let kind = Type::DGRAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
        // For IPv4 too, whose addresses come as IPv6's.
        setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(&socket, Ipv4PacketInfo, &true)?;
    }
    let _ = setsockopt(&socket, UdpGroSegment, &true); // not where the kernel is old
    socket.set_recv_buffer_size(DATAGRAMS)?;
    // No address is shared: whoever came last would get every datagram.
    socket.bind(&address.into())?;
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
