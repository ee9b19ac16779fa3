//! Renders what one node's proxy is told.
//!
//! In: the [`Topology`], the zones, a node's name and where it stands. Out: its [`NodeConfiguration`]. Pure.

use crate::topology::Topology;
use weft_contract::{NodeConfiguration, SCHEMA};

/// Renders the configuration of the proxy of `node`, which is in the zone `place` of the cluster where that is known.
#[must_use]
pub fn render(topology: &Topology, zones: &[String], node: &str, place: Option<&str>) -> NodeConfiguration {
    NodeConfiguration {
        schema: SCHEMA,
        node: node.to_owned(),
        zone: place.map(str::to_owned),
        zones: zones.to_vec(),
        services: topology.services.as_ref().clone(),
        sources: topology.sources.as_ref().clone(),
        access: topology.access.as_deref().cloned(),
    }
}
