//! Tries endpoints until one answers.
//!
//! In: a request that was admitted. Out: an exchange whose final head has come, or why there is none. A try that failed is
//! repeated only where that is safe, where the Service asks for it, and where the budget allows it.

use super::{
    Call, Failed, admit,
    admit::{Admitted, OVERLOADED_RETRY_AFTER},
    deadline::Deadlines,
    one_try::{End, Try},
    outcome,
    record::Record,
    replay::Replay,
};
use crate::{
    balance::{InFlight, NoEndpoint, Want},
    cause::Cause,
    guard::breaker::Sample,
    http::{
        Worker,
        client::Client,
        endpoint::Exchange,
        head::{ResponseHead, framing::Framing},
        wire::alarm::Alarm,
    },
    middleware::Answer,
    retry::{self, Again, Attempt, Failure},
    route::Route,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use weft_contract::policy::Bulkhead;

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
        let mut started = if course.tries == 0 { admitted.ready } else { Instant::now() };
        let mut endpoint = match course.pick(admitted, started) {
            Ok(endpoint) => endpoint,
            Err(NoEndpoint::Full) => {
                let endpoint = Box::pin(course.place(admitted, client, alarm, deadlines)).await?; // rare
                started = Instant::now();
                endpoint
            }
            Err(none) => return Err(course.none(none)),
        };
        deadlines.try_begins(started, route.policy.timeouts.per_try);
        course.tries += 1;
        record.tries(endpoint.address());
        replay.rewind();
        let first = course.tries == 1;
        let one = Try { worker, route, call, admitted, endpoint: &endpoint, first };
        let end = one.run(&mut replay, client, alarm, deadlines).await?;
        let now = Instant::now();
        let again = course.judge(&end, &mut endpoint, now - started, &replay, record, now);
        match (again, end) {
            (Some((again, pause)), _) => {
                course.tried.push(endpoint.address());
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
            (None, End::Late(cause, _)) => return Err(cause.into()),
        }
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

    fn pick(&self, admitted: &Admitted, now: Instant) -> Result<InFlight, NoEndpoint> {
        let (balancer, dice) = (&self.side.balancer, &self.worker.dice);
        let want = Want {
            key: admitted.key,
            sticky: admitted.sticky.as_deref(),
            tried: &self.tried,
            only: admitted.way.only.as_ref(),
        };
        match balancer.pick(&want, dice, now) {
            // There is no other one to be had, and the last try may have failed by bad luck alone.
            Err(NoEndpoint::AllTried | NoEndpoint::Full) if !self.tried.is_empty() => {
                balancer.pick(&Want { tried: &[], ..want }, dice, now)
            }
            picked => picked,
        }
    }

    /// Waits for a place at an endpoint, where all are full.
    async fn place<C: Client>(
        &self,
        admitted: &Admitted,
        client: &mut C,
        alarm: &mut Alarm,
        deadlines: &Deadlines,
    ) -> Result<InFlight, Failed> {
        let Bulkhead { service: _, source: _, endpoint: _, queue, queue_timeout } =
            &self.route.policy.bulkhead;
        if let Some(waiting) = self.side.balancer.wait(admitted.way.only.as_ref(), admitted.source, *queue) {
            let turn = waiting.turn(*queue_timeout, &self.worker.dice);
            if let Some(endpoint) = admit::while_there(client, alarm, deadlines, turn).await? {
                return Ok(endpoint);
            }
        }
        Err(self.none(NoEndpoint::Full))
    }

    /// What is answered where no endpoint can be had.
    fn none(&self, none: NoEndpoint) -> Failed {
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
    }

    /// Learns from a try, and decides whether there is another, and how long its endpoint asks to be left alone.
    fn judge(
        &mut self,
        end: &End,
        endpoint: &mut InFlight,
        latency: Duration,
        replay: &Replay,
        record: &Record,
        now: Instant,
    ) -> Option<(Again, Option<Duration>)> {
        match end {
            End::Answered(_, head, framing) => {
                let grpc_code = outcome::grpc_code(head, *framing);
                endpoint.observe(outcome::of_answer(head, grpc_code, latency), now);
                self.breaker(Some(head.status), latency, now);
                let failure = Failure::Status { status: head.status, grpc_code };
                self.again(&failure, true, replay, false).map(|again| (again, outcome::pause(head)))
            }
            End::Failed(no_answer, sent) => {
                record.failed(no_answer.cause);
                // A kept connection that was closed meanwhile says nothing about its endpoint, nor about the Service.
                if let Some(outcome) = no_answer.outcome {
                    endpoint.observe(outcome, now);
                    self.breaker(None, latency, now);
                }
                self.last = Some(no_answer.cause);
                self.again(&no_answer.failure, *sent, replay, no_answer.unprocessed)
                    .map(|again| (again, None))
            }
            End::Late(cause, outcome) => {
                record.failed(*cause);
                endpoint.observe(*outcome, now);
                self.breaker(None, latency, now);
                None
            }
        }
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
