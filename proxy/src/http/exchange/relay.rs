//! Relays an answer to the client, while what is left of the request still goes to the endpoint.
//!
//! In: an exchange behind the head of its answer. Out: the client has the whole answer, or knows that it has not.

use super::{
    Call, Failed, Known,
    admit::Admitted,
    deadline::Deadlines,
    farewell::{self, Farewell, Kind},
    outcome,
    record::Record,
    replay::{Fault, Replay},
    tries::Tried,
    way,
};
use crate::{
    cause::Cause,
    http::{
        Worker,
        client::Client,
        endpoint::Exchange,
        head::{framing::Framing, websocket::is_websocket},
        mirror,
        wire::{Broken, Side, alarm::Alarm},
    },
    middleware::{self, Answer, Changes, Edit},
    route::Route,
};
use http::{Version, header::SET_COOKIE};
use std::{
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;
use tokio_util::sync::WaitForCancellationFutureOwned;

/// What came of relaying an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relayed {
    /// The client has it; and whether the endpoint has the whole request.
    Whole {
        /// Whether it has.
        uploaded: bool,
    },
    /// It was ended, for the proxy goes.
    Farewell,
}

/// Relays the answer. What was tried is only borrowed, and what is rare lives on the heap: this is the larger part of what
/// each request under way takes.
#[allow(clippy::too_many_arguments)] // what an exchange has, each borrowed for itself
pub async fn relay<C: Client>(
    worker: &Worker,
    known: &Known,
    call: &Call,
    admitted: &mut Admitted,
    tried: &mut Tried,
    client: &mut C,
    alarm: &mut Alarm,
    deadlines: &mut Deadlines,
    record: &mut Record,
) -> Result<Relayed, Failed> {
    let Tried { exchange, head, framing, endpoint, replay } = tried;
    let (head, framing) = (mem::take(head), *framing); // gone with its buffer before the body, which may take long
    stick(admitted, endpoint);
    if worker.is_leaving(known) {
        client.leave();
    }
    let edits = &admitted.changes.response;
    let tunnel = head.status == 101;
    if call.request.protocol.is_some() && !tunnel && (200..300).contains(&head.status) {
        // To this client any 2xx would say that the endpoint agreed (RFC 8441, section 5).
        record.failed(Cause::BadAnswer);
        let text = "the endpoint answered, but did not change the protocol";
        return Err(Answer::of(Cause::BadAnswer).with_text(text).into());
    }
    if tunnel {
        if call.upgrade.is_none() {
            record.failed(Cause::BadAnswer);
            return Err(Cause::BadAnswer.into());
        }
        exchange.tunnel();
        client.put_upgrade(&head, edits);
        *replay = Replay::tunnel();
    } else {
        replay.settle(admitted.changes.mirror);
        client.put_head(&head, edits, framing);
    }
    record.answered(head.status);
    drop(head);
    let hold = tunnel.then(|| way::hold(worker, known, call, &admitted.way.side, endpoint.address()));
    let hold = hold.flatten();
    let mut course = Course {
        cut: hold.as_ref().map(|hold| Box::pin(hold.cut.clone().cancelled_owned())),
        downloaded: framing == Framing::Empty && !tunnel,
        flushed: false,
        upload_failed: false,
        tunnel,
        farewell: Farewell::new(kind(call, tunnel), &worker.status.drain, call.started),
    };
    let relayed = poll_fn(|context| course.poll(context, client, exchange, replay, alarm, deadlines)).await;
    if let Err(Failed::Answer(answer)) = &relayed {
        record.failed(answer.cause);
    }
    match relayed? {
        End::Complete => Ok(Relayed::Whole { uploaded: replay.is_finished() && !course.upload_failed }),
        // Where one of them is gone already, there is nobody to say farewell to.
        End::Farewell => Box::pin(farewell::say(kind(call, tunnel), client, exchange))
            .await
            .map(|()| Relayed::Farewell)
            .map_err(|_| Failed::Client),
    }
}

/// What is left to do when the client has its answer: the connection is given back, and a copy sent where one is wanted.
pub fn finish(
    worker: &Worker,
    known: &Known,
    route: &Route,
    call: &Call,
    changes: &Changes,
    tried: Tried,
    relayed: Relayed,
) {
    let Tried { exchange, head: _, framing: _, endpoint, replay } = tried;
    let Relayed::Whole { uploaded } = relayed else { return };
    exchange.finish(uploaded);
    drop(endpoint);
    if changes.mirror
        && call.upgrade.is_none()
        && let Some(body) = replay.into_kept()
    {
        mirror::send(worker, known, route, call, changes, body);
    }
}

/// What it is that would go on for ever.
fn kind(call: &Call, tunnel: bool) -> Kind {
    if tunnel && call.upgrade.as_deref().is_some_and(is_websocket) {
        Kind::WebSocket
    } else if call.request.is_grpc() && call.request.version == Version::HTTP_2 {
        Kind::Grpc
    } else {
        Kind::Other
    }
}

/// Sends a client its sticky cookie, where it has none for this endpoint.
fn stick(admitted: &mut Admitted, endpoint: &crate::balance::InFlight) {
    let Some(sticky) = admitted.way.side.balancer.sticky() else { return };
    let value = endpoint.state().cookie_value();
    if admitted.sticky.as_deref() != Some(value.as_bytes())
        && let Some(line) = middleware::set_cookie(&sticky.name, &value)
    {
        admitted.changes.response.push(Edit::Add(SET_COOKIE, line));
    }
}

/// How far the relaying is.
struct Course {
    /// The endpoint has sent all.
    downloaded: bool,
    /// The client has been sent all.
    flushed: bool,
    /// The endpoint takes no more of the request.
    upload_failed: bool,
    /// The protocol was changed: each direction ends for itself.
    tunnel: bool,
    farewell: Farewell,
    /// Ends when it is no longer granted.
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// How the relaying ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client has all.
    Complete,
    /// The proxy goes, and this would go on.
    Farewell,
}

// === impl Course ===

impl Course {
    fn poll<C: Client>(
        &mut self,
        context: &mut Context<'_>,
        client: &mut C,
        exchange: &mut Exchange,
        replay: &mut Replay,
        alarm: &mut Alarm,
        deadlines: &mut Deadlines,
    ) -> Poll<Result<End, Failed>> {
        let before = replay.moved;
        self.poll_upload(context, client, exchange, replay)?;
        let up = replay.moved != before;
        let mut down = false;
        if let Poll::Ready(done) = self.poll_download(context, client, exchange, &mut down) {
            done?;
        }
        let uploaded = replay.is_finished() || self.upload_failed;
        if self.flushed && (uploaded || !self.tunnel) {
            return Poll::Ready(Ok(End::Complete));
        }
        if up || down {
            deadlines.moved();
            self.farewell.moved(up, down);
        }
        if client.poll_gone(context).is_ready() {
            return Poll::Ready(Err(Failed::Client));
        }
        if let Some(cut) = &mut self.cut
            && cut.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(Cause::Denied.into()));
        }
        let uploading = replay.is_awaited() && !self.tunnel && !self.upload_failed;
        let farewell = self.farewell.poll(context);
        let deadline = deadlines.nearest(uploading);
        loop {
            let Some(nearest) = farewell.into_iter().chain(deadline).min() else { return Poll::Pending };
            ready!(alarm.poll(context, nearest));
            let now = Instant::now();
            if self.farewell.is_due(now) {
                return Poll::Ready(Ok(End::Farewell));
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Poll::Ready(Err(deadlines.passed(now, uploading).into()));
            }
            // The client waits for an answer: its coming wakes this up.
            if let Some(deadline) = deadline {
                ready!(alarm.poll(context, deadline));
            } else {
                return Poll::Pending;
            }
        }
    }

    fn poll_upload<C: Client>(
        &mut self,
        context: &mut Context<'_>,
        client: &mut C,
        exchange: &mut Exchange,
        replay: &mut Replay,
    ) -> Result<(), Failed> {
        if replay.is_finished() || self.upload_failed {
            return Ok(());
        }
        match replay.poll_upload(context, client, exchange) {
            Poll::Ready(Err(Fault::Client(failed))) => Err(failed),
            // Its answer is on its way; what is wrong shows there.
            Poll::Ready(Err(Fault::Endpoint(_))) => {
                self.upload_failed = true;
                Ok(())
            }
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn poll_download<C: Client>(
        &mut self,
        context: &mut Context<'_>,
        client: &mut C,
        exchange: &mut Exchange,
        moved: &mut bool,
    ) -> Poll<Result<(), Failed>> {
        let gone = |_: Broken| Failed::Client;
        while !self.downloaded {
            ready!(client.poll_ready(context)).map_err(gone)?;
            match exchange.poll_frame(context) {
                Poll::Ready(Ok(frame)) => {
                    *moved = true;
                    self.downloaded = frame.is_last();
                    client.put(frame);
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(outcome::cause(&error).into()));
                }
                Poll::Pending => {
                    ready!(client.poll_flush(context)).map_err(gone)?;
                    return Poll::Pending;
                }
            }
        }
        ready!(client.poll_flush(context)).map_err(gone)?;
        self.flushed = true;
        Poll::Ready(Ok(()))
    }
}
