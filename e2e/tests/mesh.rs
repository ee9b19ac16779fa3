//! The mesh on a real cluster, as users see it. Run by hack/e2e, one test at a time: they share one cluster.

#[path = "mesh/annotations.rs"]
mod annotations;
#[path = "mesh/changes.rs"]
mod changes;
#[path = "mesh/dns.rs"]
mod dns;
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
#[path = "mesh/rollouts.rs"]
mod rollouts;
#[path = "mesh/scene.rs"]
mod scene;
#[path = "mesh/uninstall.rs"]
mod uninstall;
