//! The server that all loads end at.
//!
//! In: ports. Out: on each, what its kind does. Each kind has several ports in a row, which are the endpoints of a Service.

use anyhow::{Context, Result};
use clap::Args;
use rustix::net::RecvFlags;
use std::{
    cell::{Cell, RefCell},
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
    task::spawn_local,
};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4096;
/// What is thrown away at once.
const AT_ONCE: usize = 1 << 20;
/// More than any exchange here has.
const EXCHANGE: usize = 256;

/// The first port of each kind.
#[derive(Debug, Args)]
pub struct Ports {
    /// Where bytes are thrown away; how many, in 8 bytes, is the answer to the end of them.
    #[arg(long)]
    bulk: u16,
    /// Where what comes is sent back.
    #[arg(long)]
    echo: u16,
    /// Where one byte is answered by one, and then the end.
    #[arg(long)]
    fresh: u16,
    /// Where datagrams come: those that begin with 1 are sent back, others counted.
    #[arg(long)]
    datagrams: u16,
    /// Where it is said how many datagrams were counted so far, in 8 bytes.
    #[arg(long)]
    count: u16,
    /// How many ports each kind has.
    #[arg(long, default_value_t = 4)]
    endpoints: u16,
}

/// Serves until the program is ended.
pub async fn serve(ports: Ports) -> Result<()> {
    let Ports { bulk, echo, fresh, datagrams, count, endpoints } = ports;
    let counted: Rc<Cell<u64>> = Rc::default();
    for number in 0..endpoints {
        accept(bulk + number, throw_away)?;
        accept(echo + number, send_back)?;
        accept(fresh + number, answer)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, datagrams + number));
        let socket = UdpSocket::bind(address).await.with_context(|| address.to_string())?;
        crate::datagrams::hold_much(&socket);
        spawn_local(receive(socket, Rc::clone(&counted)));
    }
    accept(count, move |stream| {
        let counted = Rc::clone(&counted);
        async move { say(stream, counted.get()).await }
    })?;
    std::future::pending().await
}

/// Serves every connection to a port, each as a task.
fn accept<F>(port: u16, serve: impl Fn(TcpStream) -> F + 'static) -> Result<()>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into()).with_context(|| format!("port {port}"))?;
    let listener: TcpListener = socket.listen(BACKLOG)?;
    spawn_local(async move {
        loop {
            // What cannot be accepted now is accepted when there is room.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let served = serve(stream);
            // A client that goes away first has its own word for it.
            spawn_local(async move {
                let _ = served.await;
            });
        }
    });
    Ok(())
}

thread_local! {
    /// Never written to: the kernel throws away what would be.
    static NOWHERE: RefCell<Vec<u8>> = RefCell::new(vec![0; AT_ONCE]);
}

async fn throw_away(mut stream: TcpStream) -> io::Result<()> {
    let mut total = 0;
    loop {
        stream.readable().await?;
        let thrown = stream.try_io(Interest::READABLE, || {
            NOWHERE.with_borrow_mut(|buffer| {
                let (_, count) = rustix::net::recv(&stream, &mut buffer[..], RecvFlags::TRUNC)?;
                Ok(count)
            })
        });
        match thrown {
            Ok(0) => break,
            Ok(count) => {
                total += count as u64;
                tokio::task::consume_budget().await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    stream.write_all(&total.to_be_bytes()).await?;
    stream.shutdown().await
}

async fn send_back(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; EXCHANGE];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count]).await?,
        }
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let byte = stream.read_u8().await?;
    stream.write_u8(byte).await?;
    stream.shutdown().await
}

async fn say(mut stream: TcpStream, number: u64) -> io::Result<()> {
    stream.write_all(&number.to_be_bytes()).await
}

async fn receive(socket: UdpSocket, counted: Rc<Cell<u64>>) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match socket.try_recv_from(&mut buffer) {
            Ok((count, from)) => {
                let datagram = &buffer[..count];
                if datagram.first() == Some(&crate::datagrams::SENT_BACK) {
                    // What does not fit is lost, as datagrams are.
                    let _ = socket.try_send_to(datagram, from);
                } else {
                    counted.set(counted.get() + 1);
                }
                tokio::task::consume_budget().await;
            }
            // Nothing is there, or an earlier answer's client is gone.
            Err(_) => {
                let _ = socket.readable().await;
            }
        }
    }
}
