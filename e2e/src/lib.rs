//! Tests of the whole mesh on a real cluster.
//!
//! In: a kubeconfig in `WEFT_E2E_KUBECONFIG`, of a cluster that has the project's images; nothing else is ever talked
//! to. Out: what tests and measurements share: the cluster, the mesh on it, workloads, and traffic between them.

pub mod cluster;
pub mod enforcer;
pub mod mesh;
pub mod mix;
pub mod process;
pub mod program;
pub mod programs;
pub mod smi;
pub mod traffic;
pub mod wait;
pub mod workload;
