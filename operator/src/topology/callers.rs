//! Tells who calls from which address.
//!
//! In: every pod, and what binds pods. Out: the [`Source`]s, sorted, each address once. An address that two pods have is
//! nobody's, unless only one of them runs: who might be either is trusted as neither.

use super::{identity, smi::Index};
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};
use weft_contract::Source;

/// The sources of the pods that have an address of their own and may still call.
pub(super) fn sources(pods: &[Arc<Pod>], index: &Index<'_>) -> Vec<Source> {
    let mut owners: BTreeMap<IpAddr, Owners> = BTreeMap::new();
    for (runs, source) in pods.iter().flat_map(|pod| of_pod(pod, index)) {
        let owners = owners.entry(source.address).or_default();
        if runs {
            owners.running.insert(source)
        } else {
            owners.others.insert(source)
        };
    }
    owners.into_values().filter_map(Owners::only).collect()
}

/// Who has an address. Pods that nothing tells apart are one.
#[derive(Default)]
struct Owners {
    running: BTreeSet<Source>,
    /// Those that are about to run.
    others: BTreeSet<Source>,
}

impl Owners {
    fn only(self) -> Option<Source> {
        let Self { mut running, mut others } = self;
        match (running.len(), others.len()) {
            (1, _) => running.pop_first(),
            (0, 1) => others.pop_first(),
            (..) => None,
        }
    }
}

/// The sources of a pod, and whether it runs.
fn of_pod(pod: &Pod, index: &Index<'_>) -> Vec<(bool, Source)> {
    let (Some(spec), Some(status)) = (&pod.spec, &pod.status) else { return Vec::new() };
    // A pod on its node's network calls from the node's address, as others do; one that has ended calls no more, and its
    // address may be another's.
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if spec.host_network == Some(true) || ended {
        return Vec::new();
    }
    let runs = status.phase.as_deref() == Some("Running");
    let namespace = pod.namespace().unwrap_or_default();
    let service_account = account(spec);
    let known =
        identity::Pod { namespace: &namespace, service_account: &service_account, labels: pod.labels() };
    let identity_bindings = identity::bindings(&known, index);
    let source = |address| Source {
        address,
        namespace: namespace.clone(),
        service_account: service_account.clone(),
        identity_bindings: identity_bindings.clone(),
    };
    addresses(status).into_iter().map(|address| (runs, source(address))).collect()
}

fn account(spec: &PodSpec) -> String {
    let named = spec.service_account_name.clone().filter(|name| !name.is_empty());
    named.unwrap_or_else(|| "default".into())
}

fn addresses(status: &PodStatus) -> Vec<IpAddr> {
    let all = status.pod_ips.iter().flatten().map(|address| &address.ip).chain(&status.pod_ip);
    let mut addresses: Vec<IpAddr> = all.filter_map(|address| address.parse().ok()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
