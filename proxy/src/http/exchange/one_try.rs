//! One try: a request sent to one endpoint, up to the final head of its answer.
//!
//! In: a request that was admitted, and the endpoint that was picked for it. Out: the exchange behind the head of its answer,
//! or how it failed and what that says about the endpoint. Whether there is another try is decided elsewhere.

use super::{
    Call, Failed, admit,
    admit::Admitted,
    deadline::Deadlines,
    outcome::{self, NoAnswer},
    replay::{Fault, Replay},
};
use crate::{
    balance::{InFlight, Outcome},
    cause::Cause,
    http::{
        Worker,
        client::Client,
        endpoint::{Error, Exchange, Sent},
        head::{ResponseHead, framing::Framing, write::is_edited},
        wire::{Broken, alarm::Alarm},
    },
    middleware::{Answer, Edit},
    retry::Failure,
    route::Route,
};
use http::HeaderName;
use std::{borrow::Cow, future::poll_fn, task::Poll};
use tokio::time::Instant;

/// How many bytes of interim answers (1xx) one try may bring: each is kept until the client has read it, and a final answer
/// must come some day. As much as one head may have.
const MOST_INTERIM: usize = 256 * 1024;
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// What a try is made of.
pub struct Try<'a> {
    pub worker: &'a Worker,
    pub route: &'a Route,
    pub call: &'a Call,
    pub admitted: &'a Admitted,
    pub endpoint: &'a InFlight,
    /// It is the first.
    pub first: bool,
}

/// How one try ended.
#[allow(clippy::large_enum_variant)] // it lives for a moment, and mostly is the large one
pub enum End {
    /// With the head of an answer.
    Answered(Exchange, ResponseHead, Framing),
    /// Without; whether anything was sent.
    Failed(NoAnswer, bool),
    /// There is no time left for another, and it is the endpoint that took it.
    Late(Cause, Outcome),
}

// === impl Try ===

impl Try<'_> {
    /// Makes the try. An error is the client's, or a deadline that says nothing about the endpoint.
    pub async fn run<C: Client>(
        &self,
        replay: &mut Replay,
        client: &mut C,
        alarm: &mut Alarm,
        deadlines: &mut Deadlines,
    ) -> Result<End, Failed> {
        let mut exchange = match self.connect(client, alarm, deadlines).await? {
            Ok(exchange) => exchange,
            Err(end) => return Ok(end),
        };
        let Self { call, admitted, .. } = self;
        if call.upgrade.as_deref().is_some_and(|protocol| !exchange.can_change_to(protocol, call.framing)) {
            let text = "the endpoint, which speaks HTTP/2, cannot be asked to change the protocol";
            return Err(Answer::of(Cause::NotImplemented).with_text(text).into());
        }
        let open = poll_fn(|context| exchange.poll_open(context));
        admit::while_there(client, alarm, deadlines, open).await?;
        let sent = Sent {
            request: &call.request,
            target: admitted.changes.target.as_ref().unwrap_or(&call.request.target),
            hop: &call.hop,
            edits: &edits(&admitted.changes.request, deadlines),
            framing: call.framing,
            upgrade: call.upgrade.as_deref(),
        };
        if let Err(error) = exchange.begin(sent) {
            // HTTP/2 cannot say what this request says; that is no fault of the endpoint's.
            if let Broken::Protocol(what) = error {
                return Err(Answer::of(Cause::BadRequest).with_text(what).into());
            }
            let no_answer = NoAnswer { unprocessed: true, ..outcome::of_broken(&error, exchange.reused) };
            return Ok(End::Failed(no_answer, false));
        }
        match await_head(&mut exchange, replay, client, alarm, deadlines).await? {
            Ok(head) => match exchange.expect_body(&head) {
                Ok(framing) => Ok(End::Answered(exchange, head, framing)),
                Err(error) => Ok(End::Failed(outcome::of_broken(&error, false), true)),
            },
            Err(end) => Ok(end),
        }
    }

    async fn connect<C: Client>(
        &self,
        client: &mut C,
        alarm: &mut Alarm,
        deadlines: &Deadlines,
    ) -> Result<Result<Exchange, End>, Failed> {
        let Self { worker, route, call, admitted, endpoint, first } = self;
        let upgrade = call.upgrade.is_some();
        // After a stale connection the next ones of the pool may be stale too, so a second try opens its own.
        if *first
            && let Some(exchange) = worker.pool.kept(endpoint.state(), &admitted.way.side.upstream, upgrade)
        {
            return Ok(Ok(exchange));
        }
        let limit = route.policy.timeouts.connect.unwrap_or(worker.limits.connect);
        let began = Instant::now();
        // On the heap, for it is rare and large: every exchange would be as large otherwise.
        let open = Box::pin(worker.pool.open(endpoint.state(), &admitted.way.side.upstream, upgrade, limit));
        match admit::while_there(client, alarm, deadlines, open).await {
            Ok(opened) => Ok(opened.map_err(|error| End::Failed(of_connect(&error), false))),
            // The time of this try alone is over, and nothing was sent.
            Err(Failed::Answer(answer)) if answer.cause == Cause::TryTimeout => {
                Ok(Err(End::Failed(of_connect(&Error::Late), false)))
            }
            Err(Failed::Answer(answer)) => late(answer.cause, began, deadlines, false).map(Err),
            Err(Failed::Client) => Err(Failed::Client),
        }
    }
}

/// What is changed in this try: the deadline of a gRPC call is less than it came with, if time has gone by.
fn edits<'a>(changes: &'a [Edit], deadlines: &Deadlines) -> Cow<'a, [Edit]> {
    match deadlines.grpc_left() {
        // Unless the Service sets its own.
        Some(left) if !is_edited(GRPC_TIMEOUT.as_str().as_bytes(), changes) => {
            [changes, &[Edit::Set(GRPC_TIMEOUT, left)]].concat().into()
        }
        Some(_) | None => changes.into(),
    }
}

fn of_connect(error: &Error) -> NoAnswer {
    NoAnswer {
        cause: error.cause(),
        failure: Failure::Connect,
        outcome: Some(Outcome::ConnectFailed),
        unprocessed: false,
    }
}

/// Sends the body, and waits for the final head of the answer.
async fn await_head<C: Client>(
    exchange: &mut Exchange,
    replay: &mut Replay,
    client: &mut C,
    alarm: &mut Alarm,
    deadlines: &mut Deadlines,
) -> Result<Result<ResponseHead, End>, Failed> {
    let mut upload_failed = None;
    let mut interim = 0;
    let (reused, began) = (exchange.reused, Instant::now());
    let broken = |error: &Broken, reused| Ok(Err(End::Failed(outcome::of_broken(error, reused), true)));
    poll_fn(|context| {
        if !replay.is_finished() && upload_failed.is_none() {
            let before = replay.moved;
            match replay.poll_upload(context, client, exchange) {
                Poll::Ready(Err(Fault::Client(failed))) => return Poll::Ready(Err(failed)),
                // Maybe it has answered already, as one does that wants no more of a body.
                Poll::Ready(Err(Fault::Endpoint(error))) => upload_failed = Some(error),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            if replay.moved != before {
                deadlines.moved();
            }
        }
        loop {
            match exchange.poll_head(context) {
                Poll::Ready(Ok(head)) if (100..200).contains(&head.status) && head.status != 101 => {
                    interim += head.head.size();
                    if interim > MOST_INTERIM {
                        let flood = Broken::Protocol("the interim answers have no end".to_owned());
                        return Poll::Ready(broken(&flood, false));
                    }
                    client.put_interim(&head);
                }
                Poll::Ready(Ok(head)) => return Poll::Ready(Ok(Ok(head))),
                Poll::Ready(Err(error)) => {
                    let error = upload_failed.take().unwrap_or(error);
                    return Poll::Ready(broken(&error, reused));
                }
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(Err(_)) = client.poll_flush(context) {
            return Poll::Ready(Err(Failed::Client));
        }
        if client.poll_gone(context).is_ready() {
            return Poll::Ready(Err(Failed::Client));
        }
        let uploading = replay.is_awaited();
        if let Some(deadline) = deadlines.nearest(uploading)
            && alarm.poll(context, deadline).is_ready()
        {
            let cause = deadlines.passed(Instant::now(), uploading);
            return Poll::Ready(late(cause, began, deadlines, replay.is_starved()).map(Err));
        }
        Poll::Pending
    })
    .await
}

/// What a deadline means that passed before the head came: another try, or the end. Where the endpoint still waits for its
/// client, that is `starved`, and no fault of the endpoint's.
fn late(cause: Cause, began: Instant, deadlines: &Deadlines, starved: bool) -> Result<End, Failed> {
    let blamed = !starved && deadlines.blames_endpoint(Instant::now());
    let outcome = Outcome::TimedOut { after: began.elapsed() };
    match cause {
        Cause::TryTimeout => {
            let (failure, outcome) = (Failure::TryTimeout, blamed.then_some(outcome));
            Ok(End::Failed(NoAnswer { cause, failure, outcome, unprocessed: false }, true))
        }
        Cause::DeadlineExceeded | Cause::IdleTimeout if blamed => Ok(End::Late(cause, outcome)),
        cause => Err(cause.into()),
    }
}
