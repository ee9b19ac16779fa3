//! Observes the cluster.
//!
//! In: watches of the API server. Out: a [`Snapshot`] of what the mesh needs to know, and a tick whenever it has
//! settled after a change.

pub mod settle;
mod stores;
mod trim;

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use std::sync::Arc;

pub use stores::{Changes, Closed, Stores};

/// What the middle of the operator works on: the objects as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Every Service, shadow Services included.
    pub services: Vec<Arc<Service>>,
    /// Every EndpointSlice.
    pub slices: Vec<Arc<EndpointSlice>>,
}
