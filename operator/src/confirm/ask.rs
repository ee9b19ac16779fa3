//! Asks a proxy what it serves.
//!
//! In: the address of its pod. Out: its [`Confirmation`], or why there is none.

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::{StatusCode, Uri, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::time::timeout;
use weft_contract::{Confirmation, object::PROXY_ADMIN_PORT};

/// A proxy that is alive answers at once; one that is not must not hold up the others.
const LIMIT: Duration = Duration::from_secs(2);
/// More than any confirmation takes, also with every listener failed.
const LARGEST: usize = 4 * 1024 * 1024;

/// Why a proxy gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("no answer in {LIMIT:?}")]
    Timeout,
    #[error("no connection: {0}")]
    Connect(#[from] hyper_util::client::legacy::Error),
    #[error("not an address to ask: {0}")]
    Uri(#[from] hyper::http::uri::InvalidUri),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("its answer broke off or was too large: {0}")]
    Body(String),
    #[error("its answer cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

/// Asks proxies, over connections that are kept.
pub(super) struct Asker {
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Default for Asker {
    fn default() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http() }
    }
}

impl Asker {
    /// Asks the proxy at `address`.
    pub(super) async fn ask(&self, address: IpAddr) -> Result<Confirmation, AskError> {
        timeout(LIMIT, self.ask_unbounded(address)).await.map_err(|_| AskError::Timeout)?
    }

    async fn ask_unbounded(&self, address: IpAddr) -> Result<Confirmation, AskError> {
        let uri: Uri = format!("http://{}/revision", SocketAddr::new(address, PROXY_ADMIN_PORT)).parse()?;
        let response = self.client.get(uri).await?;
        if response.status() != StatusCode::OK {
            return Err(AskError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(|error| {
            let large = error.downcast_ref::<LengthLimitError>().map(ToString::to_string);
            AskError::Body(large.unwrap_or_else(|| error.to_string()))
        })?;
        Ok(serde_json::from_slice(&body.to_bytes())?)
    }
}
