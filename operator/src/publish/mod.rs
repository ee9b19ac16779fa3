//! Publishes what the mesh should be.
//!
//! In: the [`Topology`](crate::topology::Topology) and what exists. Out: shadow Services, one ConfigMap per node, and
//! NetworkPolicies where they are asked for, by server-side apply, only where something differs; and the memory of which revision serves which Services.

pub mod history;
pub mod node;
pub mod policies;
pub mod recall;
pub mod shadow;

use crate::names::FIELD_MANAGER;
use kube::api::PatchParams;

/// Writes of the operator's win over others' at its own objects.
fn apply() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}
