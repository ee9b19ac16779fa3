//! Answers who looks after the proxy: Kubernetes, Prometheus, the operator and people.
//!
//! In: the status. Out: `/livez`, `/readyz`, `/metrics`, `/revision`, `/debug/config`, and `/debug/config/NAMESPACE/NAME`
//! for one Service. It has a thread and a runtime of its own, so that it answers when the workers are busy.

use crate::{plan::Plan, status::Status};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use std::{fmt::Write as _, future::Future, io, net::TcpListener};
use weft_contract::{Confirmation, ListenerFailure, NodeConfiguration, Rejection, ServiceKey};

/// Answers on `listener` until `end`.
///
/// # Errors
/// What the operating system says of the socket.
pub async fn serve(
    listener: TcpListener,
    status: Status,
    end: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, router(status)).with_graceful_shutdown(end).await
}

fn router(status: Status) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/revision", get(async |State(status): State<Status>| Json(status.confirmation())))
        .route("/debug/config", get(configuration))
        .route("/debug/config/{namespace}/{name}", get(service))
        .with_state(status)
}

async fn ready(State(status): State<Status>) -> Response {
    let conditions = status.conditions();
    let mut text = String::new();
    for condition in conditions {
        let mark = if condition.holds { "ok" } else { "missing" };
        let _ = writeln!(text, "{}: {mark}", condition.name); // writing to a String cannot fail
    }
    let all = conditions.iter().all(|condition| condition.holds);
    (if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text).into_response()
}

async fn metrics(State(status): State<Status>) -> Response {
    match status.metrics.text() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What `/debug/config` shows.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    /// The revision of the configuration below, which requests are routed by.
    revision: Option<&'a str>,
    /// The newest configuration, where it was refused.
    rejected: Option<Rejection>,
    failed_listeners: Vec<ListenerFailure>,
    configuration: Option<&'a NodeConfiguration>,
}

async fn configuration(State(status): State<Status>) -> Response {
    let Confirmation { revision: _, rejected, failed_listeners, tripped: _, carrying: _, denied: _ } =
        status.confirmation();
    let plan = status.plan.load_full();
    let plan: Option<&Plan> = plan.as_deref();
    Json(Shown {
        revision: plan.map(|plan| plan.revision.as_str()),
        rejected,
        failed_listeners,
        configuration: plan.map(|plan| &*plan.configuration),
    })
    .into_response()
}

/// One Service of the configuration in force: a whole configuration may have megabytes.
async fn service(State(status): State<Status>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let plan = status.plan.load_full();
    let services = plan.as_deref().map_or(&[][..], |plan| &plan.configuration.services);
    let key = ServiceKey::new(namespace, name);
    match services.binary_search_by(|service| service.key.cmp(&key)) {
        Ok(index) => Json(&services[index]).into_response(),
        Err(_) => (StatusCode::NOT_FOUND, format!("{key} has no mesh name\n")).into_response(),
    }
}
