//! Ends a connection whose client may still be sending.
//!
//! In: the connection. Out: nothing; the client has its answer. Closing a connection with unread bytes resets it, which
//! destroys what was sent but not yet read. So the sending side is closed first, and what still comes is read away.

use crate::http::wire::stream::Stream;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// How long a client that still sends is listened to after it was answered.
const LINGER: Duration = Duration::from_secs(2);
/// What is read away at once.
const AWAY: usize = 16 * 1024;

/// Reads away what comes for a while, but at most so many bytes.
pub(super) async fn linger(mut stream: Stream, most: u64) {
    let read_away = async {
        stream.shutdown().await?;
        let mut away = vec![0; AWAY];
        let mut left = most;
        while left > 0 {
            let read = stream.read(&mut away).await?;
            left = if read == 0 { 0 } else { left.saturating_sub(read as u64) };
        }
        std::io::Result::Ok(())
    };
    // However that went, the connection is closed now.
    let _ = timeout(LINGER, read_away).await;
}
