//! Drops what the mesh never reads, before an object is kept in memory.
//!
//! In: an object as it arrived. Out: the same without its bulk.

use k8s_openapi::{
    api::{
        core::v1::{Pod, PodSpec, PodStatus, Service},
        discovery::v1::EndpointSlice,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// kubectl's copy of the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Drops bookkeeping that every object carries.
pub(super) fn metadata(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

pub(super) fn service(service: &mut Service) {
    metadata(&mut service.metadata);
    service.status = None;
}

pub(super) fn slice(slice: &mut EndpointSlice) {
    metadata(&mut slice.metadata);
    for endpoint in &mut slice.endpoints {
        endpoint.target_ref = None;
        endpoint.deprecated_topology = None;
    }
}

pub(super) fn pod(pod: &mut Pod) {
    metadata(&mut pod.metadata);
    pod.spec = pod.spec.take().map(|spec| PodSpec { node_name: spec.node_name, ..PodSpec::default() });
    pod.status = pod.status.take().map(|status| PodStatus {
        pod_ip: status.pod_ip,
        phase: status.phase,
        conditions: status.conditions,
        ..PodStatus::default()
    });
}

/// What tells who a caller is; labels only where they do.
pub(super) fn caller(pod: &mut Pod, labels: bool) {
    let metadata = std::mem::take(&mut pod.metadata);
    pod.metadata = ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        labels: metadata.labels.filter(|_| labels),
        ..ObjectMeta::default()
    };
    pod.spec = pod.spec.take().map(|spec| PodSpec {
        service_account_name: spec.service_account_name,
        host_network: spec.host_network,
        ..PodSpec::default()
    });
    pod.status = pod.status.take().map(|status| PodStatus {
        pod_ip: status.pod_ip,
        pod_ips: status.pod_ips,
        phase: status.phase,
        ..PodStatus::default()
    });
}
