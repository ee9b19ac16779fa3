//! Tells who calls from which address.
//!
//! In: every pod. Out: the [`Source`]s, sorted, each address once.

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use kube::ResourceExt;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};
use weft_contract::Source;

/// The sources of the pods that have an address of their own and may still call.
pub(super) fn sources(pods: &[Arc<Pod>]) -> Vec<Source> {
    let mut sources: BTreeMap<IpAddr, Source> = BTreeMap::new();
    for source in pods.iter().flat_map(|pod| of_pod(pod)) {
        // Two pods with one address are a moment's mistake; which is taken must not depend on their order.
        let place = sources.entry(source.address).or_insert_with(|| source.clone());
        if source < *place {
            *place = source;
        }
    }
    sources.into_values().collect()
}

fn of_pod(pod: &Pod) -> Vec<Source> {
    let (Some(spec), Some(status)) = (&pod.spec, &pod.status) else { return Vec::new() };
    // A pod on its node's network calls from the node's address, as others do; one that has ended calls no more, and its
    // address may be another's.
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if spec.host_network == Some(true) || ended {
        return Vec::new();
    }
    let source = |address| Source {
        address,
        namespace: pod.namespace().unwrap_or_default(),
        service_account: account(spec),
        identity_bindings: Vec::new(),
    };
    addresses(status).into_iter().map(source).collect()
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
