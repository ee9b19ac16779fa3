//! Decides whether a request goes on at all, and what is changed on its way.
//!
//! In: a request on its route. Out: what it may take with it, or the answer instead. The cheapest refusals come first.

use super::{Call, Failed, Known, deadline::Deadlines, way};
use crate::{
    balance::{self, Dice},
    cause::Cause,
    guard::{
        bulkhead::{Bulkhead, Entry, Permit, Waiting},
        rate::RateKey,
    },
    http::{Worker, client::Client, head::websocket::is_websocket, wire::alarm::Alarm},
    middleware::{self, Answer, Changes, Edit, Request},
    route::{NoWay, Route, Way},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{
    HeaderValue, Method,
    header::{SEC_WEBSOCKET_KEY, SET_COOKIE},
};
use std::{
    future::{Future, poll_fn},
    net::IpAddr,
    pin::pin,
    task::Poll,
    time::Duration,
};
use tokio::time::Instant;
use weft_contract::policy::{HashKey, RateLimitKey};

/// When to come again where there was no room: what is under way takes no longer, mostly.
pub const OVERLOADED_RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a request that was admitted has with it.
#[derive(Debug)]
pub struct Admitted {
    /// Where it goes.
    pub way: Way,
    /// What is changed.
    pub changes: Changes,
    /// The hash that an endpoint is chosen by, where one is.
    pub key: Option<u64>,
    /// The sticky cookie that the client sent.
    pub sticky: Option<Vec<u8>>,
    /// Where it comes from.
    pub source: IpAddr,
    /// Its place among those that are under way, until this is dropped.
    pub permit: Option<Permit>,
    /// When it could be sent.
    pub ready: Instant,
    waiting: Option<Waiting>,
    /// What the proxy answers after the pause, instead of forwarding.
    instead: Option<Answer>,
}

// === impl Admitted ===

impl Admitted {
    /// Whether there is something to wait for, or an answer that waited for it.
    #[must_use]
    pub fn must_wait(&self) -> bool {
        self.changes.delay.is_some() || self.waiting.is_some() || self.instead.is_some()
    }
}

/// Decides on a request; nothing is waited for here.
pub fn admit(
    worker: &Worker,
    known: &Known,
    route: &Route,
    way: Result<Way, NoWay>,
    call: &Call,
) -> Result<Admitted, Failed> {
    within_limits(route, call)?;
    // Before all that counts requests: what is refused must not use up what others have a right to.
    let way = way.map_err(|none| way::answer(route, none))?;
    let now = call.started;
    let mut changes = Changes::default();
    let request = Request {
        version: call.request.version,
        method: &call.request.method,
        target: std::str::from_utf8(&call.request.target).map_err(|_| Cause::BadRequest)?,
        host: call.request.host.as_deref(),
        fields: &call.request.head,
        client: &known.client,
        service: &route.target,
        grpc: call.request.is_grpc(),
    };
    let passed = route.chain.pass(&request, &worker.dice, &mut changes);
    let mut admitted = Admitted {
        way,
        changes,
        key: None,
        sticky: None,
        source: known.client.address,
        permit: None,
        ready: now,
        waiting: None,
        instead: None,
    };
    if let Err(answer) = passed {
        admitted.instead = Some(answer);
        return Ok(admitted);
    }
    if call.request.protocol.is_some() {
        admitted.changes.request.push(websocket_key(&worker.dice));
    }
    if let Err(answer) = guard(worker, known, route, &request, now, &mut admitted) {
        return Err(answer.with_cors(&admitted.changes).into());
    }
    route.budget.request(now);
    let cookie = admitted.way.cookie.take();
    admitted.changes.response.extend(cookie.map(|cookie| Edit::Add(SET_COOKIE, cookie)));
    let balancer = &admitted.way.side.balancer;
    admitted.key = balancer.hash_key().and_then(|key| hash(key, &request));
    admitted.sticky =
        balancer.sticky().and_then(|sticky| middleware::cookie(request.fields, &sticky.name, <[u8]>::to_vec));
    Ok(admitted)
}

/// Asks the rate limit, the circuit breaker and the bulkhead.
fn guard(
    worker: &Worker,
    known: &Known,
    route: &Route,
    request: &Request<'_>,
    now: Instant,
    admitted: &mut Admitted,
) -> Result<(), Answer> {
    let address = known.client.address;
    if let Some(limiter) = &route.guards.rate {
        rate(worker, route, request, address, limiter.key(), |key| limiter.check(key, now))
            .map_err(|pause| Answer::of(Cause::RateLimited).with_retry_after(pause))?;
    }
    if let Some(breaker) = &route.guards.breaker {
        breaker
            .admit(&worker.dice, now)
            .map_err(|open| Answer::of(Cause::BreakerOpen).with_retry_after(open.retry_after))?;
    }
    match enter(&route.guards.bulkhead, known) {
        Entry::In(permit) => admitted.permit = Some(permit),
        Entry::Wait(waiting) => admitted.waiting = Some(waiting),
        Entry::Full => return Err(overloaded()),
    }
    Ok(())
}

/// Asks the bulkhead. The connection's part in it is looked up once, for that takes a lock; another bulkhead is met where the
/// Service was away for a while, or where a request goes to another Service than its connection.
fn enter(bulkhead: &Bulkhead, known: &Known) -> Entry {
    let address = known.client.address;
    let source = known.source.get_or_init(|| bulkhead.source(address));
    if bulkhead.knows(source) { bulkhead.enter(source) } else { bulkhead.enter(&bulkhead.source(address)) }
}

/// What holds whatever the Service asks for.
fn within_limits(route: &Route, call: &Call) -> Result<(), Cause> {
    let limits = &route.policy.limits;
    if call.request.size > limits.head_bytes as usize
        || call.request.head.count() > limits.header_count as usize
    {
        return Err(Cause::HeadTooLarge);
    }
    // A tunnel to wherever the client likes is no matter of a mesh; RFC 8441's is one of WebSockets only.
    if call.request.method == Method::CONNECT {
        return match call.request.protocol.as_deref() {
            None => Err(Cause::MethodRefused),
            Some(protocol) if is_websocket(protocol) => Ok(()),
            Some(_) => Err(Cause::NotImplemented),
        };
    }
    Ok(())
}

/// The key of a WebSocket's handshake, which HTTP/2 has none of and HTTP/1 needs (RFC 8441, section 5; RFC 6455, section
/// 4.1). It is no secret: it shows that an answer is to this request.
fn websocket_key(dice: &Dice) -> Edit {
    let key = [dice.number().to_be_bytes(), dice.number().to_be_bytes()].concat();
    let key = HeaderValue::try_from(STANDARD.encode(key)).unwrap_or(HeaderValue::from_static(""));
    Edit::Set(SEC_WEBSOCKET_KEY, key)
}

fn overloaded() -> Answer {
    Answer::of(Cause::Overloaded).with_retry_after(OVERLOADED_RETRY_AFTER)
}

fn rate(
    worker: &Worker,
    route: &Route,
    request: &Request<'_>,
    address: IpAddr,
    by: &RateLimitKey,
    check: impl FnOnce(RateKey<'_>) -> Result<(), Duration>,
) -> Result<(), Duration> {
    route.traffic.carried();
    match by {
        RateLimitKey::SourceAddress => check(RateKey::Address(address)),
        RateLimitKey::Service => check(RateKey::Service),
        RateLimitKey::Header(name) => check(RateKey::Value(request.fields.get(name).unwrap_or_default())),
        RateLimitKey::ServiceAccount => {
            let plan = worker.status.plan.load();
            match plan.as_ref().and_then(|plan| plan.source(address)) {
                Some(source) => {
                    check(RateKey::Account { namespace: &source.namespace, name: &source.service_account })
                }
                None => check(RateKey::Address(address)),
            }
        }
    }
}

fn hash(key: &HashKey, request: &Request<'_>) -> Option<u64> {
    match key {
        HashKey::Header(name) => request.fields.get(name).map(balance::hash),
        HashKey::Cookie(name) => middleware::cookie(request.fields, name, balance::hash),
        HashKey::SourceAddress => Some(balance::hash_address(request.client.address)),
    }
}

/// Waits for what was asked for: a pause on purpose, and the request's turn.
pub async fn wait<C: Client>(
    admitted: &mut Admitted,
    client: &mut C,
    alarm: &mut Alarm,
    deadlines: &Deadlines,
) -> Result<(), Failed> {
    if let Some(pause) = admitted.changes.delay.take() {
        while_there(client, alarm, deadlines, tokio::time::sleep(pause)).await?;
    }
    if let Some(answer) = admitted.instead.take() {
        return Err(answer.into());
    }
    if let Some(waiting) = admitted.waiting.take() {
        let turn = while_there(client, alarm, deadlines, waiting.turn()).await;
        let turn = turn.and_then(|turn| turn.map_err(|_| overloaded().into()));
        admitted.permit = Some(turn.map_err(|failed| failed.with_cors(&admitted.changes))?);
    }
    Ok(())
}

/// Waits as long as the client does, and as the request may.
pub async fn while_there<C: Client, T>(
    client: &mut C,
    alarm: &mut Alarm,
    deadlines: &Deadlines,
    awaited: impl Future<Output = T>,
) -> Result<T, Failed> {
    let mut awaited = pin!(awaited);
    poll_fn(|context| {
        if let Poll::Ready(done) = awaited.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        if client.poll_gone(context).is_ready() {
            return Poll::Ready(Err(Failed::Client));
        }
        if let Some(deadline) = deadlines.nearest(false)
            && alarm.poll(context, deadline).is_ready()
        {
            return Poll::Ready(Err(deadlines.passed(Instant::now(), false).into()));
        }
        Poll::Pending
    })
    .await
}
