//! Renders what one node's proxy is told.
//!
//! In: the [`Topology`], the zones and a node's name. Out: its [`NodeConfiguration`]. Pure.

use crate::topology::Topology;
use weft_contract::{NodeConfiguration, SCHEMA};

/// Renders the configuration of the proxy of `node`.
#[must_use]
pub fn render(topology: &Topology, zones: &[String], node: &str) -> NodeConfiguration {
    NodeConfiguration {
        schema: SCHEMA,
        node: node.to_owned(),
        zone: None,
        zones: zones.to_vec(),
        services: topology.services.as_ref().clone(),
        sources: Vec::new(),
    }
}
