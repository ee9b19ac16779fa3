//! The mesh on a real cluster, as users see it. Run by hack/e2e, one test at a time: they share one cluster.

#[path = "mesh/annotations.rs"]
mod annotations;
#[path = "mesh/changes.rs"]
mod changes;
#[path = "mesh/dns.rs"]
mod dns;
#[path = "mesh/guarded.rs"]
mod guarded;
#[path = "mesh/names.rs"]
mod names;
#[path = "mesh/operator.rs"]
mod operator;
#[path = "mesh/policies.rs"]
mod policies;
#[path = "mesh/protocols.rs"]
mod protocols;
#[path = "mesh/proxies.rs"]
mod proxies;
#[path = "mesh/raw_rollouts.rs"]
mod raw_rollouts;
#[path = "mesh/raw_sni.rs"]
mod raw_sni;
#[path = "mesh/raw_tcp.rs"]
mod raw_tcp;
#[path = "mesh/raw_udp.rs"]
mod raw_udp;
#[path = "mesh/rollouts.rs"]
mod rollouts;
#[path = "mesh/scene.rs"]
mod scene;
#[path = "mesh/smi_access.rs"]
mod smi_access;
#[path = "mesh/smi_flagger.rs"]
mod smi_flagger;
#[path = "mesh/smi_splits.rs"]
mod smi_splits;
#[path = "mesh/smi_steps.rs"]
mod smi_steps;
#[path = "mesh/smi_walls.rs"]
mod smi_walls;
#[path = "mesh/uninstall.rs"]
mod uninstall;
