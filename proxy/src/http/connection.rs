//! The life of a client's connection: one request after another.
//!
//! In: a connection. Out: Pingora gets it only while there is a request; while it rests it costs a small task. It ends
//! at once when its listener goes or when it rested too long.

use super::{service::Service, stream::ClientStream};
use crate::listen::Arrival;
use pingora_core::{apps::HttpServerApp, protocols::http::ServerSession, server::ShutdownWatch};
use pingora_proxy::HttpProxy;
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// How long a client may take between two parts of a request's head, in seconds.
const HEAD_SECONDS: u64 = 10;
/// How long a client may pause within a body, or not read an answer. Long, for uploads may wait for a person; bounded,
/// for a client that stands still must not hold an endpoint for ever.
const STALLED: Duration = Duration::from_secs(300);
/// How long a client that connected just before its listener went may still send its first request.
const FIRST: Duration = Duration::from_millis(500);

pub(super) async fn serve(proxy: &Arc<HttpProxy<Service>>, idle: Duration, tcp: TcpStream, arrival: Arrival) {
    let stop = arrival.stop.clone();
    let mut stream = Box::new(ClientStream::new(tcp, arrival));
    // Pingora would learn by this that it has to end; here, this loop and the response filter see to it.
    let (_never, shutdown): (_, ShutdownWatch) = watch::channel(false);
    let mut grace = FIRST;
    loop {
        stream.rest();
        tokio::select! {
            // A request that is already there is served, also when the listener goes at the same moment.
            biased;
            readable = stream.readable() => if readable.is_err() { return },
            () = stopped(&stop, grace) => return,
            () = sleep(idle) => return,
        }
        grace = Duration::ZERO;
        stream.wake();
        let mut session = ServerSession::new_http1(stream);
        session.set_keepalive(Some(HEAD_SECONDS));
        session.set_read_timeout(Some(STALLED));
        session.set_write_timeout(Some(STALLED));
        // A client that closed its sending side still wants its answer.
        session.set_abort_on_close(false);
        let Some(reusable) = proxy.process_new_http(session, &shutdown).await else { return };
        let (next, _settings) = reusable.consume();
        let Ok(next) = next.into_any().downcast::<ClientStream>() else { return };
        stream = next;
    }
}

async fn stopped(stop: &CancellationToken, grace: Duration) {
    stop.cancelled().await;
    if !grace.is_zero() {
        sleep(grace).await;
    }
}
