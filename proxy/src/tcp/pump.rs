//! Moves bytes one way.
//!
//! In: two sockets. Out: what one sends arrives at the other, in order, until its end. The buffer is the worker's, not
//! the connection's: an idle connection holds none, and one that cannot write keeps only what it could not write.

use std::{
    cell::RefCell,
    io::{self, ErrorKind},
    net::Shutdown,
};
use tokio::net::TcpStream;

/// What is read at once: measured, 64 KiB takes a third less CPU per gigabyte than 8 KiB, and more gains little.
const BUFFER: usize = 64 * 1024;

thread_local! {
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

/// What one turn did.
enum Turn {
    /// Nothing was there to read after all.
    Idle,
    /// This many bytes moved; these could not be written yet.
    Moved(usize, Vec<u8>),
    /// The sender is done.
    End,
}

/// Moves bytes until the end, then closes that direction.
pub(super) async fn pump(from: &TcpStream, to: &TcpStream, count: impl Fn(u64)) -> io::Result<()> {
    loop {
        from.readable().await?;
        match turn(from, to)? {
            Turn::Idle => {}
            Turn::Moved(bytes, rest) => {
                write_all(to, &rest).await?;
                count(bytes as u64);
                // A fast sender must not keep the worker from its other connections.
                tokio::task::consume_budget().await;
            }
            Turn::End => return finish(to),
        }
    }
}

fn turn(from: &TcpStream, to: &TcpStream) -> io::Result<Turn> {
    SHARED.with_borrow_mut(|buffer| {
        let bytes = match from.try_read(buffer) {
            Ok(0) => return Ok(Turn::End),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Idle),
            Err(error) => return Err(error),
        };
        let written = match to.try_write(&buffer[..bytes]) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        Ok(Turn::Moved(bytes, buffer[written..bytes].to_vec()))
    })
}

pub(super) async fn write_all(to: &TcpStream, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        to.writable().await?;
        match to.try_write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn finish(to: &TcpStream) -> io::Result<()> {
    match socket2::SockRef::from(to).shutdown(Shutdown::Write) {
        // It closed both directions already, which is fine: there is nothing left to send.
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
        outcome => outcome,
    }
}
