//! Weft's operator: turns the objects of a cluster into what each node's proxy needs.
//!
//! In: the API server's objects. Out: one ConfigMap per node, shadow Services, one block in the cluster's DNS, and
//! Events. The stations, in the order of the data, are listed in ARCHITECTURE.md.

pub mod admin;
pub mod annotation;
pub mod app;
pub mod cleanup;
pub mod confirm;
pub mod dns;
pub mod finding;
pub mod lease;
pub mod metrics;
pub mod middle;
pub mod names;
pub mod observe;
pub mod publish;
pub mod render;
pub mod report;
pub mod settings;
pub mod smi;
pub mod topology;

#[cfg(test)]
pub(crate) mod testing;
