//! Tries endpoints until one answers.
//!
//! In: a request that was admitted. Out: an exchange whose final head has come, or why there is none. A try that failed is
//! repeated only where that is safe, where the Service asks for it, and where the budget allows it.

use super::{
    Call, Failed, admit,
    admit::{Admitted, OVERLOADED_RETRY_AFTER},
    deadline::Deadlines,
    outcome::{self, NoAnswer},
    record::Record,
    replay::{Fault, Replay},
};
use crate::{
    balance::{InFlight, NoEndpoint, Outcome, Want},
    cause::Cause,
    guard::breaker::Sample,
    http::{
        Worker,
        client::Client,
        endpoint::{Error, Exchange, Sent},
        head::{ResponseHead, framing::Framing},
        wire::{Broken, alarm::Alarm},
    },
    middleware::Answer,
    retry::{self, Again, Attempt, Failure},
    route::Route,
};
use std::{future::poll_fn, net::SocketAddr, sync::Arc, task::Poll, time::Duration};
use tokio::time::{Instant, sleep};

/// How many bytes of interim answers (1xx) one try may bring: each is kept until the client has read it, and a final answer
/// must come some day. As much as one head may have.
const MOST_INTERIM: usize = 256 * 1024;

/// A try that came to an answer.
#[derive(Debug)]
pub struct Tried {
    /// The exchange, behind the head of its answer.
    pub exchange: Exchange,
    /// That head.
    pub head: ResponseHead,
    /// How the answer's body ends.
    pub framing: Framing,
    /// The endpoint, busy until this is dropped.
    pub endpoint: InFlight,
    /// The request's body.
    pub replay: Replay,
}

/// What is known over all tries.
struct Course<'a> {
    worker: &'a Worker,
    route: &'a Arc<Route>,
    /// Whose endpoints are tried; another one's than the route's where that is split.
    side: &'a Route,
    call: &'a Call,
    tried: Vec<SocketAddr>,
    tries: u32,
    /// The answer to give when no endpoint is left.
    last: Option<Cause>,
}

/// How one try ended.
#[allow(clippy::large_enum_variant)] // it lives for a moment, and mostly is the large one
enum End {
    Answered(Exchange, ResponseHead, Framing),
    Failed(NoAnswer, bool),
}

/// Tries endpoints.
#[allow(clippy::too_many_arguments)] // what an exchange has, each borrowed for itself
pub async fn tries<C: Client>(
    worker: &Worker,
    route: &Arc<Route>,
    call: &Call,
    admitted: &Admitted,
    client: &mut C,
    alarm: &mut Alarm,
    deadlines: &mut Deadlines,
    record: &mut Record,
) -> Result<Tried, Failed> {
    let mut course =
        Course { worker, route, side: &admitted.way.side, call, tried: Vec::new(), tries: 0, last: None };
    let mut replay = Replay::new(call, course.keeps(admitted), route.chain.body_bytes());
    loop {
        let started = if course.tries == 0 { admitted.ready } else { Instant::now() };
        let mut endpoint = course.pick(admitted, started)?;
        deadlines.try_begins(started, route.policy.timeouts.per_try);
        course.tries += 1;
        course.tried.push(endpoint.address());
        record.tries(endpoint.address());
        replay.rewind();
        let end = one_try(&course, admitted, &endpoint, &mut replay, client, alarm, deadlines).await?;
        let now = Instant::now();
        let latency = now - started;
        let again = match &end {
            End::Answered(_, head, framing) => {
                let grpc_code = outcome::grpc_code(head, *framing);
                endpoint.observe(outcome::of_answer(head, grpc_code, latency), now);
                course.breaker(Some(head.status), latency, now);
                let failure = Failure::Status { status: head.status, grpc_code };
                course.again(&failure, true, &replay, false).map(|again| (again, outcome::pause(head)))
            }
            End::Failed(no_answer, sent) => {
                record.failed(no_answer.cause);
                // A kept connection that was closed meanwhile says nothing about its endpoint, nor about the Service.
                if let Some(outcome) = no_answer.outcome {
                    endpoint.observe(outcome, now);
                    course.breaker(None, latency, now);
                }
                course.last = Some(no_answer.cause);
                course
                    .again(&no_answer.failure, *sent, &replay, no_answer.unprocessed)
                    .map(|again| (again, None))
            }
        };
        match (again, end) {
            (Some((again, pause)), _) => {
                drop(endpoint);
                record.again();
                deadlines.try_ends();
                Box::pin(course.rest(again, pause, client, alarm, deadlines)).await?; // rare
            }
            (None, End::Answered(exchange, head, framing)) => {
                deadlines.head_has_come(now);
                return Ok(Tried { exchange, head, framing, endpoint, replay });
            }
            (None, End::Failed(no_answer, _)) => return Err(no_answer.cause.into()),
        }
    }
}

/// One try, up to the final head of its answer. An error is the client's, or a deadline of the whole request.
async fn one_try<C: Client>(
    course: &Course<'_>,
    admitted: &Admitted,
    endpoint: &InFlight,
    replay: &mut Replay,
    client: &mut C,
    alarm: &mut Alarm,
    deadlines: &mut Deadlines,
) -> Result<End, Failed> {
    let mut exchange = match connect(course, endpoint, client, alarm, deadlines).await? {
        Ok(exchange) => exchange,
        Err(error) => return Ok(End::Failed(of_connect(&error), false)),
    };
    let call = course.call;
    if exchange.is_http2() && call.upgrade.is_some() {
        let text = "an endpoint that speaks HTTP/2 cannot be asked to change the protocol";
        return Err(Answer::of(Cause::NotImplemented).with_text(text).into());
    }
    let target = admitted.changes.target.as_deref().map_or(&call.request.target[..], str::as_bytes);
    let sent = Sent {
        request: &call.request,
        target,
        hop: &call.hop,
        edits: &admitted.changes.request,
        framing: call.framing,
        upgrade: call.upgrade.as_deref(),
    };
    if let Err(error) = admit::while_there(client, alarm, deadlines, exchange.begin(sent)).await? {
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
        Err(no_answer) => Ok(End::Failed(no_answer, true)),
    }
}

async fn connect<C: Client>(
    course: &Course<'_>,
    endpoint: &InFlight,
    client: &mut C,
    alarm: &mut Alarm,
    deadlines: &Deadlines,
) -> Result<Result<Exchange, Error>, Failed> {
    let Course { worker, route, side, call, .. } = course;
    let upgrade = call.upgrade.is_some();
    // After a stale connection the next ones of the pool may be stale too, so a second try opens its own.
    if course.tries <= 1
        && let Some(exchange) = worker.pool.kept(endpoint.state(), &side.upstream, upgrade)
    {
        return Ok(Ok(exchange));
    }
    let limit = route.policy.timeouts.connect.unwrap_or(worker.limits.connect);
    // On the heap, for it is rare and large: every exchange would be as large otherwise.
    let open = Box::pin(worker.pool.open(endpoint.state(), &side.upstream, upgrade, limit));
    match admit::while_there(client, alarm, deadlines, open).await {
        // The time of this try alone is over, and nothing was sent.
        Err(Failed::Answer(answer)) if answer.cause == Cause::TryTimeout => Ok(Err(Error::Late)),
        opened => opened,
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
) -> Result<Result<ResponseHead, NoAnswer>, Failed> {
    let mut upload_failed = None;
    let mut interim = 0;
    let (reused, begun) = (exchange.reused, Instant::now());
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
                        return Poll::Ready(Ok(Err(outcome::of_broken(&flood, false))));
                    }
                    client.put_interim(&head);
                }
                Poll::Ready(Ok(head)) => return Poll::Ready(Ok(Ok(head))),
                Poll::Ready(Err(error)) => {
                    let error = upload_failed.take().unwrap_or(error);
                    return Poll::Ready(Ok(Err(outcome::of_broken(&error, reused))));
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
            return Poll::Ready(late(deadlines.passed(Instant::now(), uploading), begun.elapsed()));
        }
        Poll::Pending
    })
    .await
}

/// What a deadline means that passed before the head came: another try, or the end.
fn late(cause: Cause, after: Duration) -> Result<Result<ResponseHead, NoAnswer>, Failed> {
    match cause {
        Cause::TryTimeout => Ok(Err(NoAnswer {
            cause,
            failure: Failure::TryTimeout,
            outcome: Some(Outcome::TimedOut { after }),
            unprocessed: false,
        })),
        cause => Err(cause.into()),
    }
}

// === impl Course ===

impl Course<'_> {
    /// How many bytes of the body are kept for another try.
    fn keeps(&self, admitted: &Admitted) -> u64 {
        let retry = &self.route.policy.retry;
        let may_repeat = retry.attempts > 1;
        if may_repeat || admitted.changes.mirror { u64::from(retry.buffer_bytes) } else { 0 }
    }

    fn pick(&self, admitted: &Admitted, now: Instant) -> Result<InFlight, Failed> {
        let balancer = &self.side.balancer;
        let want = Want {
            key: admitted.key,
            sticky: admitted.sticky.as_deref(),
            tried: &self.tried,
            only: admitted.way.only.as_ref(),
        };
        let picked = match balancer.pick(&want, &self.worker.dice, now) {
            // There is no other one, and the last try may have failed by bad luck alone.
            Err(NoEndpoint::AllTried) => balancer.pick(&Want { tried: &[], ..want }, &self.worker.dice, now),
            picked => picked,
        };
        picked.map_err(|none| {
            if let Some(cause) = self.last {
                return cause.into();
            }
            let target = &self.side.target;
            let answer = |cause, text| {
                let text = format!("no endpoint of {}:{} {text}", target.service, target.port);
                Answer::of(cause).with_text(text)
            };
            match none {
                NoEndpoint::NoneReady | NoEndpoint::AllTried => answer(Cause::NoEndpoint, "is ready").into(),
                NoEndpoint::Full => answer(Cause::Overloaded, "has room for another request")
                    .with_retry_after(OVERLOADED_RETRY_AFTER)
                    .into(),
            }
        })
    }

    fn breaker(&self, status: Option<u16>, latency: Duration, now: Instant) {
        if let Some(breaker) = &self.route.guards.breaker {
            breaker.observe(Sample { status, latency }, now);
        }
    }

    /// Whether there is another try.
    fn again(&self, failure: &Failure, sent: bool, replay: &Replay, unprocessed: bool) -> Option<Again> {
        let retry = &self.route.policy.retry;
        let attempt = Attempt {
            tries: self.tries,
            idempotent: self.call.request.method.is_idempotent(),
            sent: sent && !unprocessed,
            replayable: replay.is_whole(),
        };
        let failure = if unprocessed { &Failure::Connect } else { failure };
        let again = retry::again(retry, failure, &attempt)?;
        self.route.budget.withdraw(Instant::now()).then_some(again)
    }

    /// Pauses between two tries.
    async fn rest<C: Client>(
        &self,
        again: Again,
        asked: Option<Duration>,
        client: &mut C,
        alarm: &mut Alarm,
        deadlines: &Deadlines,
    ) -> Result<(), Failed> {
        let retry = &self.route.policy.retry;
        let pause = match again {
            Again::AtOnce => return Ok(()),
            Again::AfterBackoff => retry::pause(retry, self.tries, &self.worker.dice),
        };
        // What asks to be left alone is not asked again before; another endpoint may be.
        let others = self.side.balancer.endpoints().len() > self.tried.len();
        let pause = if others { pause } else { asked.map_or(pause, |asked| asked.max(pause)) };
        admit::while_there(client, alarm, deadlines, sleep(pause)).await
    }
}
