//! Sends datagrams and counts those that arrive.
//!
//! In: from how many sockets, and how. Out: how many were sent and how many came to their end, which is the server's count or,
//! where they are sent back, ours.

use crate::{Target, sum::Sum};
use anyhow::{Context, Result};
use clap::Args;
use rustix::net::sockopt;
use std::{io::ErrorKind, net::SocketAddr, time::Duration};
use tokio::{
    io::AsyncReadExt,
    net::{TcpStream, UdpSocket},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

/// What a datagram begins with that is to be sent back.
pub const SENT_BACK: u8 = 1;

/// After so long without an answer, all that are under way are lost.
const LOST: Duration = Duration::from_millis(200);
/// How often a paced sender sends; more often is beyond tokio's timers.
const TICK: Duration = Duration::from_millis(1);
/// How many a sender at full speed sends before others have their turn.
const BURST: usize = 32;

/// What a socket holds until it is read, where that is allowed: what is lost is to be lost by the proxy, not by a server or a
/// client that waits for its turn on the core that they share.
const HELD: usize = 4 << 20;

/// Has a socket hold much.
pub fn hold_much(socket: &UdpSocket) {
    // With the right to, beyond what the machine allows to everybody.
    if sockopt::set_socket_recv_buffer_size_force(socket, HELD).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(socket, HELD);
    }
}

/// How datagrams are sent.
#[derive(Clone, Copy, Debug, Args)]
pub struct How {
    /// From how many sockets: each is a session.
    #[arg(long, default_value_t = 16)]
    sockets: usize,
    /// How large they are.
    #[arg(long, default_value_t = 100)]
    bytes: usize,
    /// How many of each socket are under way at a time, sent back by the server; 0 is one way.
    #[arg(long, default_value_t = 0)]
    under_way: usize,
    /// How many a second in all, one way; 0 is as fast as it goes.
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// Where the server says how many it counted.
    #[arg(long)]
    count: Option<SocketAddr>,
}

/// Sends until the time is over, and waits for what is under way.
pub async fn datagrams(to: Target, how: How) -> Result<Sum> {
    let mut sockets = Vec::new();
    for _ in 0..how.sockets.max(1) {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(to.address).await?;
        hold_much(&socket);
        sockets.push(socket);
    }
    if how.under_way > 0 { to_and_fro(to, how, sockets).await } else { one_way(to, how, &sockets).await }
}

async fn one_way(to: Target, how: How, sockets: &[UdpSocket]) -> Result<Sum> {
    let count = how.count.context("--count is missing")?;
    let before = counted(count).await?;
    let (begun, end) = (Instant::now(), to.end());
    let datagram = vec![0; how.bytes.max(1)];
    let sent = if how.rate > 0 {
        paced(how.rate, end, sockets, &datagram).await
    } else {
        flood(end, sockets, &datagram).await
    };
    let seconds = begun.elapsed().as_secs_f64();
    let mut arrived = counted(count).await? - before;
    // What is under way still arrives.
    for _ in 0..20 {
        sleep(LOST / 4).await;
        let now = counted(count).await? - before;
        if now == arrived {
            break;
        }
        arrived = now;
    }
    Ok(Sum { ok: arrived as f64, sent: Some(sent), seconds, ..Sum::default() })
}

/// At full speed: how many were sent.
async fn flood(end: Instant, sockets: &[UdpSocket], datagram: &[u8]) -> u64 {
    let mut sent = 0;
    for socket in sockets.iter().cycle() {
        for _ in 0..BURST {
            sent += u64::from(send(socket, datagram).await);
        }
        if Instant::now() >= end {
            break;
        }
        tokio::task::yield_now().await;
    }
    sent
}

/// At a rate: how many were sent.
async fn paced(rate: u32, end: Instant, sockets: &[UdpSocket], datagram: &[u8]) -> u64 {
    let begun = Instant::now();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turns = sockets.iter().cycle();
    let (mut tried, mut sent) = (0, 0);
    while Instant::now() < end {
        ticks.tick().await;
        let due = (begun.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while tried < due {
            let Some(socket) = turns.next() else { return sent };
            sent += u64::from(send(socket, datagram).await);
            tried += 1;
        }
    }
    sent
}

/// Whether it was taken by the kernel.
async fn send(socket: &UdpSocket, datagram: &[u8]) -> bool {
    match socket.try_send(datagram) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let _ = socket.writable().await;
            false
        }
        // An earlier one was refused.
        Err(_) => false,
    }
}

async fn to_and_fro(to: Target, how: How, sockets: Vec<UdpSocket>) -> Result<Sum> {
    let (begun, end) = (Instant::now(), to.end());
    let mut running = JoinSet::new();
    for socket in sockets {
        running.spawn_local(exchange(socket, how, end));
    }
    let (mut sent, mut answered, mut last) = (0, 0, begun);
    while let Some(done) = running.join_next().await {
        let done = done.context("a task broke")?;
        sent += done.sent;
        answered += done.answered;
        last = last.max(done.last);
    }
    // To wait for those that were lost is no part of it.
    let seconds = (last - begun).as_secs_f64().max(to.seconds as f64);
    Ok(Sum { ok: answered as f64, sent: Some(sent), seconds, ..Sum::default() })
}

/// What became of one socket's.
struct Exchanged {
    sent: u64,
    answered: u64,
    /// When the last answer came.
    last: Instant,
}

/// Keeps so many under way on one socket.
async fn exchange(socket: UdpSocket, how: How, end: Instant) -> Exchanged {
    let datagram = vec![SENT_BACK; how.bytes.max(1)];
    let mut buffer = vec![0; 1 << 16];
    let mut done = Exchanged { sent: 0, answered: 0, last: Instant::now() };
    let mut under_way = 0;
    loop {
        let open = Instant::now() < end;
        while open && under_way < how.under_way {
            done.sent += u64::from(send(&socket, &datagram).await);
            under_way += 1;
        }
        if under_way == 0 {
            return done;
        }
        match timeout(LOST, socket.recv(&mut buffer)).await {
            Ok(Ok(_)) => {
                done.answered += 1;
                done.last = Instant::now();
                // One that was given up may come after all.
                under_way = under_way.saturating_sub(1);
            }
            // Refused, which says nothing of the others.
            Ok(Err(_)) => {}
            Err(_) => under_way = 0,
        }
    }
}

/// What the server has counted so far.
async fn counted(address: SocketAddr) -> Result<u64> {
    let mut stream = TcpStream::connect(address).await.context("connect to the count")?;
    stream.read_u64().await.context("read the count")
}
