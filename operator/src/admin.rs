//! The operator's admin port: `/livez`, `/readyz`, `/metrics`, `/debug/findings` and `/debug/topology`.
//!
//! In: the state that stations share. Out: HTTP answers, on a thread and runtime of their own, so that probes are
//! answered also while the stations are busy.

use crate::{metrics::Shown, report::lock};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use serde_json::json;
use std::{io, net::SocketAddr, sync::atomic::Ordering, thread};
use tokio::{net::TcpListener, runtime};
use tracing::error;

/// Serves the admin port until the process ends.
///
/// # Errors
/// When the address cannot be bound, or no thread can be started.
pub fn start(address: SocketAddr, shown: Shown) -> io::Result<()> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("admin".into()).spawn(move || {
        let served = runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            axum::serve(listener, router(shown)).await
        });
        if let Err(error) = served {
            error!(%error, "the admin port is closed");
        }
    })?;
    Ok(())
}

fn router(shown: Shown) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/debug/findings", get(findings))
        .route("/debug/topology", get(topology))
        .with_state(shown)
}

/// A replica that does not lead is ready to take over; one that leads is ready when it has a topology.
async fn ready(State(shown): State<Shown>) -> impl IntoResponse {
    let leads = shown.leads.load(Ordering::Relaxed);
    let topology = shown.current.borrow().is_some();
    let status = if !leads || topology { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let lease = if leads { "leading" } else { "standing by" };
    let topology = if topology { "resolved" } else { "none" };
    (status, format!("lease: {lease}\ntopology: {topology}\n"))
}

async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match shown.metrics() {
        Ok(text) => Ok(([(CONTENT_TYPE, OPEN_METRICS)], text)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

async fn findings(State(shown): State<Shown>) -> impl IntoResponse {
    let holding = lock(&shown.teller);
    let finding = |finding: &crate::finding::Finding| {
        let about = &finding.about;
        json!({
            "kind": format!("{:?}", about.kind), "namespace": about.namespace, "name": about.name,
            "reason": finding.reason.name(), "detail": finding.detail, "note": finding.note,
        })
    };
    Json(holding.holding().map(finding).collect::<Vec<_>>())
}

async fn topology(State(shown): State<Shown>) -> impl IntoResponse {
    let services = shown.current.borrow().as_ref().map(|current| current.topology.services.clone());
    Json(services.as_deref().cloned())
}
