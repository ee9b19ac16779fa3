//! Sends a copy of a request elsewhere, whose answer nobody waits for.
//!
//! In: a request that was forwarded, with its whole body. Out: the same at an endpoint of the mirror's Service. It is sent
//! after the request itself was answered, so that it costs that request nothing; a body that was too large to be kept is
//! not copied.

use super::{
    Worker,
    endpoint::Sent,
    exchange::{Call, Known, open_to_copy},
    head::{RequestHead, framing::Framing, hygiene::Hop},
    wire::{Broken, Frame, Side},
};
use crate::{balance::Want, middleware::Changes, middleware::Edit, route::Route};
use bytes::Bytes;
use std::{future::poll_fn, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};
use weft_contract::Transport;

/// How long a copy may take in all.
const LIMIT: Duration = Duration::from_secs(15);

/// A copy on its way.
struct Copy {
    request: RequestHead,
    hop: Hop,
    framing: Framing,
    target: Bytes,
    edits: Vec<Edit>,
    body: Vec<Frame>,
}

/// Sends a copy, in the background.
pub(super) fn send(
    worker: &Worker,
    known: &Known,
    route: &Route,
    call: &Call,
    changes: &Changes,
    body: Vec<Frame>,
) {
    let Some(mirror) = &route.policy.actions.mirror else { return };
    let plan = worker.status.plan.load();
    let Some(plan) = plan.as_ref() else { return };
    let Some(to) = plan.route_to(&mirror.service, mirror.port, Transport::Tcp).cloned() else { return };
    // It is the client that asks the mirror, by the Service's wish: it may as little as if it asked by itself.
    let Ok(only) = open_to_copy(plan, &to, known, call) else { return };
    let want = Want { only: only.as_ref(), ..Want::default() };
    let Ok(endpoint) = to.balancer.pick(&want, &worker.dice, Instant::now()) else { return };
    let copy = Copy {
        request: call.request.clone(),
        hop: call.hop,
        framing: call.framing,
        target: changes.target.as_ref().unwrap_or(&call.request.target).clone(),
        edits: changes.request.clone(),
        body,
    };
    let (pool, limit) = (worker.pool.clone(), worker.limits.connect);
    tokio::spawn(async move {
        let upstream = Arc::clone(&to.upstream);
        let sent = async {
            let kept = pool.kept(endpoint.state(), &upstream, false);
            let mut exchange = match kept {
                Some(exchange) => exchange,
                None => pool.open(endpoint.state(), &upstream, false, limit).await.ok()?,
            };
            copy.exchange(&mut exchange).await.ok()?;
            exchange.finish(true);
            Some(())
        };
        if !matches!(timeout(LIMIT, sent).await, Ok(Some(()))) {
            tracing::debug!(service = %to.target.service, "a copy was not answered");
        }
    });
}

// === impl Copy ===

impl Copy {
    /// Sends the copy and reads its answer away, so that the connection can be used again.
    async fn exchange(&self, exchange: &mut super::endpoint::Exchange) -> Result<(), Broken> {
        let Self { request, hop, framing, target, edits, body } = self;
        let sent = Sent { request, target, hop, edits, framing: *framing, upgrade: None };
        poll_fn(|context| exchange.poll_open(context)).await;
        exchange.begin(sent)?;
        for frame in body {
            poll_fn(|context| exchange.poll_ready(context)).await?;
            exchange.put(frame.clone());
        }
        poll_fn(|context| exchange.poll_flush(context)).await?;
        let head = loop {
            let head = poll_fn(|context| exchange.poll_head(context)).await?;
            if head.status >= 200 {
                break head;
            }
        };
        exchange.expect_body(&head)?;
        while !poll_fn(|context| exchange.poll_frame(context)).await?.is_last() {}
        Ok(())
    }
}
