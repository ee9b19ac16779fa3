//! Tells by a client's first message where its TLS connection goes, and never ends TLS.
//!
//! In: a connection, and the route of the port that it came to. Out: the route of the Service that its server name
//! stands for, and the bytes that were read to learn that, which are the first to go to the endpoint, unaltered; or why
//! the client is refused. Where the port has no routes by server name nothing is read, and nothing waits: the server may be
//! the first to speak.
//!
//! Bytes are read for good rather than looked at in place: what is looked at stays readable, so that waiting for more
//! of it would be a loop that never rests.

pub mod fuzz;
mod hello;
mod refused;

pub use hello::{Broken, Heard, LARGEST, Reader};
pub use refused::Refused;

use crate::{
    plan::SharedPlan,
    route::{Route, ServerNames},
};
use bytes::BufMut;
use std::{io::ErrorKind, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use weft_contract::Transport;

/// How long a client may take to send its first message: as long as an HTTP client for a request's head.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is read at first: most first messages are smaller. Larger ones get twice as much room each time.
const AT_ONCE: usize = 2048;

/// Where the connection goes, and what the client sent already. The plan is the one in force when that is known.
///
/// # Errors
/// Where it goes nowhere.
pub async fn choose(
    client: &TcpStream,
    route: &Arc<Route>,
    plan: &SharedPlan,
) -> Result<(Arc<Route>, Vec<u8>), Refused> {
    let Some(names) = &route.server_names else { return Ok((Arc::clone(route), Vec::new())) };
    let (heard, first) = timeout(PATIENCE, listen(client)).await.unwrap_or(Err(Refused::Late))?;
    let route = find(names, &heard, plan)?;
    Ok((route, first))
}

/// What the client said first, with the version to answer it in.
struct First {
    heard: Heard,
    version: hello::Version,
}

async fn listen(client: &TcpStream) -> Result<(First, Vec<u8>), Refused> {
    let (mut reader, mut received) = (Reader::new(), Vec::new());
    loop {
        // A client that has said nothing yet costs no buffer.
        client.readable().await.map_err(|_| Refused::Gone)?;
        let room = LARGEST - received.len();
        if received.len() == received.capacity() {
            received.reserve(AT_ONCE.min(room));
        }
        match client.try_read_buf(&mut (&mut received).limit(room)) {
            Ok(0) => return Err(Refused::Gone),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(_) => return Err(Refused::Gone),
        }
        match reader.read(&received) {
            Ok(Heard::More) => {}
            Ok(heard) => return Ok((First { heard, version: reader.version() }, received)),
            Err(broken) => return Err(Refused::Broken(broken, reader.version())),
        }
    }
}

fn find(names: &ServerNames, first: &First, plan: &SharedPlan) -> Result<Arc<Route>, Refused> {
    let (name, refused) = match &first.heard {
        Heard::Hello(name) => (name.as_deref(), Refused::UnknownName(first.version)),
        Heard::More | Heard::Other => (None, Refused::NotTls),
    };
    // A route that leads nowhere is as good as none, and never gives way to another: what is meant for one Service must
    // not come to the next best.
    let wanted = names.find(name).ok_or(refused)?;
    let plan = plan.load();
    let found = plan.as_ref().and_then(|plan| plan.route_to(&wanted.service, wanted.port, Transport::Tcp));
    found.cloned().ok_or(refused)
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hello_tests;
#[cfg(test)]
mod tests;
