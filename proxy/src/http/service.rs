//! What happens to a request, phase by phase.
//!
//! In: Pingora's phases. Out: the stations' verbs, one line a phase where that is possible: route, pass, pick, count.

use super::{
    failure::{Verdict, text, verdict},
    stream::ClientStream,
};
use crate::{
    balance::{Dice, InFlight},
    drain::Drain,
    listen::Arrival,
    metrics::Failure,
    middleware::{self, Answer, Edits},
    plan::SharedPlan,
    route::{Route, route},
    status::Status,
};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Version, header};
use pingora_core::{modules::http::HttpModules, protocols::l4::ext::TcpKeepalive, upstreams::peer::HttpPeer};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use std::{borrow::Cow, net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long an idle connection to an endpoint is kept: less than the 5 seconds after which common servers (Node.js)
/// close it, for a request sent at that moment would be lost.
const IDLE: Duration = Duration::from_secs(4);
/// How long an endpoint may leave the bytes of a request unread.
const STALLED: Duration = Duration::from_secs(300);

/// One worker's view of the mesh.
pub(super) struct Service {
    plan: SharedPlan,
    drain: Drain,
    dice: Arc<Dice>,
    connect_timeout: Duration,
}

/// What is known about one request.
pub(super) struct Request {
    started: Instant,
    arrival: Option<Arc<Arrival>>,
    route: Option<Arc<Route>>,
    edits: Edits,
    endpoint: Option<InFlight>,
    tried: Vec<SocketAddr>,
    /// The answer to give when no other endpoint is left.
    last: Option<u16>,
    /// Whether the last try failed only because its connection had been closed meanwhile.
    stale: bool,
}

// === impl Service ===

impl Service {
    pub(super) fn new(status: &Status, dice: Arc<Dice>, connect_timeout: Duration) -> Self {
        Self { plan: Arc::clone(&status.plan), drain: status.drain.clone(), dice, connect_timeout }
    }

    /// Finds the way of a request, or the answer instead.
    fn admit(&self, session: &Session, request: &mut Request) -> Result<Edits, Answer> {
        let internal = || Answer { status: 500, text: text(500).into() };
        let client = client_stream(session).ok_or_else(internal)?;
        let arrival = request.arrival.insert(Arc::clone(&client.arrival));
        let plan = self.plan.load();
        let found = plan.as_ref().and_then(|plan| route(plan, &arrival.target));
        let Some(route) = found else {
            return Err(Answer { status: 503, text: "this port is no longer served".into() });
        };
        let route = request.route.insert(route);
        let head = session.req_header();
        let edits = middleware::pass(&middleware::Request {
            version: head.version,
            headers: &head.headers,
            head_bytes: session.as_http1().map_or(0, |session| session.get_headers_raw_bytes().len()),
            client: arrival.client.ip(),
            service: &route.target,
        })?;
        if route.balancer.endpoints().is_empty() {
            route.traffic.failure(Failure::NoEndpoint);
            let target = &route.target;
            return Err(Answer {
                status: 503,
                text: Cow::Owned(format!("no endpoint of {}:{} is ready", target.service, target.port)),
            });
        }
        Ok(edits)
    }

    /// Whether the client must be told to connect anew.
    fn is_leaving(&self, request: &Request) -> bool {
        self.drain.is_retiring() || request.arrival.as_ref().is_none_or(|arrival| arrival.stop.is_cancelled())
    }

    fn peer(&self, address: SocketAddr, again: bool) -> Box<HttpPeer> {
        let mut peer = HttpPeer::new(address, false, String::new());
        // After a stale connection the next ones of the pool may be stale too, so a second try opens its own.
        peer.group_key = u64::from(again);
        let options = &mut peer.options;
        options.connection_timeout = Some(self.connect_timeout);
        options.idle_timeout = Some(IDLE);
        options.write_timeout = Some(STALLED);
        // No read timeout: an answer may take as long as without the mesh. Keep-alive finds an endpoint that is gone.
        options.tcp_keepalive = Some(TcpKeepalive {
            idle: Duration::from_secs(15),
            interval: Duration::from_secs(5),
            count: 3,
            user_timeout: Duration::from_secs(30),
        });
        Box::new(peer)
    }
}

fn client_stream(session: &Session) -> Option<&ClientStream> {
    session.as_http1()?.stream().as_ref().as_any().downcast_ref()
}

/// Whether only the end of the connection tells a client that it has the whole body.
fn ends_with_the_connection(response: &ResponseHeader) -> bool {
    ![header::CONTENT_LENGTH, header::TRANSFER_ENCODING]
        .iter()
        .any(|name| response.headers.contains_key(name))
}

async fn answer(session: &mut Session, answer: Answer) -> Result<()> {
    let (header, body) = response(answer)?;
    let has_body = session.req_header().method != Method::HEAD;
    session.write_response_header(Box::new(header), !has_body).await?;
    if has_body { session.write_response_body(Some(body), true).await } else { Ok(()) }
}

fn response(answer: Answer) -> Result<(ResponseHeader, Bytes)> {
    let body = Bytes::from(format!("weft: {}\n", answer.text));
    let mut header = ResponseHeader::build(answer.status, Some(4))?;
    header.insert_header(header::CONTENT_TYPE, "text/plain; charset=utf-8")?;
    header.insert_header(header::CONTENT_LENGTH, body.len())?;
    Ok((header, body))
}

#[async_trait]
impl ProxyHttp for Service {
    type CTX = Request;

    fn new_ctx(&self) -> Request {
        Request {
            started: Instant::now(),
            arrival: None,
            route: None,
            edits: Edits::new(),
            endpoint: None,
            tried: Vec::new(),
            last: None,
            stale: false,
        }
    }

    // Pingora's own modules (compression) would change what backends answer.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, request: &mut Request) -> Result<bool> {
        match self.admit(session, request) {
            Ok(edits) => {
                request.edits = edits;
                if session.is_upgrade_req() {
                    // A WebSocket may be silent for hours.
                    session.set_read_timeout(None);
                }
                Ok(false)
            }
            Err(refusal) => {
                if self.is_leaving(request) || request.route.is_none() {
                    session.set_keepalive(None);
                }
                answer(session, refusal).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, _session: &mut Session, request: &mut Request) -> Result<Box<HttpPeer>> {
        let again = !request.tried.is_empty();
        let Some(route) = &request.route else { return Err(Error::new(ErrorType::HTTPStatus(500))) };
        let picked = route.balancer.pick(&request.tried, &self.dice);
        // A stale connection says nothing about its endpoint, which may be tried again if there is no other.
        let picked = picked.or_else(|| request.stale.then(|| route.balancer.pick(&[], &self.dice)).flatten());
        let Some(endpoint) = picked else {
            return Err(Error::new(ErrorType::HTTPStatus(request.last.unwrap_or(503))));
        };
        let address = endpoint.address();
        request.tried.push(address);
        request.endpoint = Some(endpoint);
        Ok(self.peer(address, again))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        upstream: &mut RequestHeader,
        request: &mut Request,
    ) -> Result<()> {
        for (name, value) in &request.edits {
            match value {
                Some(value) => upstream.insert_header(name.clone(), value.clone())?,
                None => drop(upstream.remove_header(name)),
            }
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        if session.req_header().version < Version::HTTP_11 {
            // Such a client knows no chunks; the end of the connection then ends the body.
            response.remove_header(&header::TRANSFER_ENCODING);
        }
        if self.is_leaving(request) {
            session.set_keepalive(None);
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        request: &mut Request,
        mut error: Box<Error>,
    ) -> Box<Error> {
        request.stale = false;
        request.failed(&error);
        // Nothing was sent, so that even a request that must not be repeated may go elsewhere.
        error.set_retry(true);
        error
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        request: &mut Request,
        reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("endpoint {}", peer._address));
        request.failed(&error);
        request.stale = reused;
        let repeatable =
            session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated();
        if repeatable {
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        _request: &mut Request,
    ) -> FailToProxy {
        let Verdict { status, failure: _ } = verdict(error);
        if let Some(status) = status
            && let Ok((header, body)) = response(Answer { status, text: text(status).into() })
        {
            let body = if session.req_header().method == Method::HEAD { Bytes::new() } else { body };
            // Where this fails the client is gone, which needs no answer.
            let _ = session.as_downstream_mut().write_error_response(header, body).await;
        }
        FailToProxy { error_code: status.unwrap_or(0), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, request: &mut Request) {
        let status = session.response_written().map(|response| response.status.as_u16());
        if let Some(route) = &request.route {
            route.traffic.request(status, request.started.elapsed());
        }
        if let Some(error) = error {
            if session.response_written().is_some_and(ends_with_the_connection)
                && let Some(client) = client_stream(session)
            {
                client.reset_at_end();
            }
            tracing::debug!(service = ?request.route.as_ref().map(|route| &route.target.service), %error, "request failed");
        }
    }

    // Whoever sends requests must not be able to fill the log; `logging` above has what there is to say.
    fn suppress_error_log(&self, _session: &Session, _request: &Request, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _request: &Request,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

// === impl Request ===

impl Request {
    /// A try failed.
    fn failed(&mut self, error: &Error) {
        let Verdict { status, failure } = verdict(error);
        self.last = status;
        if let (Some(route), Some(failure)) = (&self.route, failure) {
            route.traffic.failure(failure);
        }
    }
}
