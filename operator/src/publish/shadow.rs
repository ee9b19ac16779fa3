//! Publishes the shadow Services.
//!
//! In: the shadow Services wanted, and those that exist. Out: those wanted exist, and no others. What the API server
//! refuses is a finding about the Service it was for.

use super::apply;
use crate::{
    finding::{Finding, Reason},
    names,
    report::{Reporter, Source},
    topology::{Topology, shadow},
};
use futures::{StreamExt, stream};
use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ObjectMeta, Patch, Preconditions},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tracing::{info, warn};
use weft_contract::Transport;

/// How many shadow Services are written at a time, so that a first install does not starve the API server.
const CONCURRENCY: usize = 8;
/// The distribution that keeps a connection on the client's own node while it has a proxy (Kubernetes 1.34).
const SAME_NODE: &str = "PreferSameNode";
/// No affinity between clients and proxies.
const NO_AFFINITY: &str = "None";

/// Writes shadow Services.
pub struct Publisher {
    api: Api<Service>,
    reporter: Reporter,
    /// Whether the API server knows [`SAME_NODE`]; believed until it refuses it.
    same_node: AtomicBool,
}

/// What to do to bring the shadow Services in line.
#[derive(Debug, Default, PartialEq)]
struct Changes {
    delete: Vec<Arc<Service>>,
    apply: Vec<Service>,
}

impl Publisher {
    /// A publisher into the mesh's namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str, reporter: Reporter) -> Self {
        Self { api: Api::namespaced(client, namespace), reporter, same_node: AtomicBool::new(true) }
    }

    /// Brings the shadow Services in line with the topology. Returns false where something is left to do again.
    pub async fn publish(&self, topology: &Topology, existing: &[Arc<Service>]) -> bool {
        let wanted =
            topology.shadows.values().map(|wanted| service(wanted, self.same_node.load(Ordering::Relaxed)));
        let Changes { delete, apply } = changes(wanted.collect(), existing);
        // Deletions first: they free addresses, and the ports that others are waiting for.
        let deleted: Vec<bool> =
            stream::iter(delete).map(|old| self.delete(old)).buffer_unordered(CONCURRENCY).collect().await;
        let refused: Vec<Option<Finding>> = stream::iter(apply)
            .map(|wanted| self.apply(topology, wanted))
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        let refused: Vec<_> = refused.into_iter().flatten().collect();
        let done = refused.is_empty() && deleted.into_iter().all(|deleted| deleted);
        self.reporter.state(Source::Shadows, refused);
        done
    }

    async fn delete(&self, old: Arc<Service>) -> bool {
        let exactly = Preconditions { uid: old.uid(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(exactly), ..DeleteParams::default() };
        match self.api.delete(&old.name_any(), &parameters).await {
            Ok(_) => {
                info!(shadow = old.name_any(), "deleted");
                true
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => true,
            Err(error) => {
                warn!(shadow = old.name_any(), %error, "cannot be deleted; trying again");
                false
            }
        }
    }

    /// Applies one shadow Service; a refusal is told about the Service it stands for.
    async fn apply(&self, topology: &Topology, mut wanted: Service) -> Option<Finding> {
        let name = wanted.name_any();
        let mut result = self.api.patch(&name, &apply(), &Patch::Apply(&wanted)).await;
        if let Err(kube::Error::Api(status)) = &result
            && status.code == 422
            && status.message.contains("trafficDistribution")
        {
            info!("this API server does not know {SAME_NODE}; connections may go to proxies of other nodes");
            self.same_node.store(false, Ordering::Relaxed);
            if let Some(spec) = &mut wanted.spec {
                spec.traffic_distribution = None;
            }
            result = self.api.patch(&name, &apply(), &Patch::Apply(&wanted)).await;
        }
        if let Err(kube::Error::Api(status)) = &result
            && status.code == 422
            && status.message.contains("ipFamilies")
        {
            // The Service was made anew with another first family, which an existing one cannot change to.
            info!(shadow = name, "made anew for another IP family");
            let _ = self.api.delete(&name, &DeleteParams::default()).await; // what is left shows at the next attempt
            result = self.api.patch(&name, &apply(), &Patch::Apply(&wanted)).await;
        }
        let error = match result {
            Ok(written) => {
                // An API server that does not know the field at all drops it without a word.
                if written.spec.is_some_and(|spec| spec.traffic_distribution.is_none()) {
                    self.same_node.store(false, Ordering::Relaxed);
                }
                return None;
            }
            Err(error) => error,
        };
        warn!(shadow = name, %error, "refused; trying again");
        let key = shadow::stands_for(&wanted, &wanted.namespace().unwrap_or_default());
        let about = key.and_then(|key| topology.about.get(&key))?;
        let said = match error {
            kube::Error::Api(status) => status.message.chars().take(500).collect(),
            other => other.to_string(),
        };
        Some(Finding {
            about: about.clone(),
            reason: Reason::ShadowRefused,
            detail: String::new(),
            note: format!(
                "The shadow Service {name} cannot be written: {said}. Meanwhile the mesh name resolves to the Service's own \
                 address, or to the shadow Service as it was. It is tried again."
            ),
        })
    }
}

/// The object for a shadow Service.
fn service(wanted: &shadow::Shadow, same_node: bool) -> Service {
    let shadow::Shadow { name, key, ports, ip_families, ip_family_policy, last_good } = wanted;
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut annotations: BTreeMap<_, _> = [
        label(names::SERVICE_NAMESPACE_ANNOTATION, &key.namespace),
        label(names::SERVICE_NAME_ANNOTATION, &key.name),
    ]
    .into();
    if !last_good.is_empty() {
        let json = serde_json::to_string(last_good).unwrap_or_default(); // strings always serialize
        annotations.insert(shadow::LAST_GOOD_ANNOTATION.to_owned(), json);
    }
    Service {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(
                [
                    label(names::SHADOW_LABEL, names::SHADOW_VALUE),
                    label(names::MANAGED_BY_LABEL, names::MANAGED_BY),
                ]
                .into(),
            ),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".into()),
            selector: Some(
                [
                    label(names::NAME_LABEL, names::APPLICATION),
                    label(names::COMPONENT_LABEL, names::PROXY_COMPONENT),
                ]
                .into(),
            ),
            ports: Some(ports.iter().map(service_port).collect()),
            ip_families: Some(ip_families.clone()).filter(|families| !families.is_empty()),
            ip_family_policy: ip_family_policy.clone(),
            // Which proxy a client goes to is not the Service's to say, and a proxy keeps what belongs together itself.
            session_affinity: Some(NO_AFFINITY.into()),
            traffic_distribution: same_node.then(|| SAME_NODE.to_owned()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn service_port(port: &shadow::ShadowPort) -> ServicePort {
    let shadow::ShadowPort { name, port, transport, listener } = port;
    ServicePort {
        name: name.clone(),
        port: i32::from(*port),
        protocol: Some(transport.kubernetes().to_owned()),
        target_port: Some(IntOrString::Int(i32::from(*listener))),
        ..ServicePort::default()
    }
}

/// What to do so that exactly `wanted` exist among the shadow Services of `existing`.
fn changes(wanted: Vec<Service>, existing: &[Arc<Service>]) -> Changes {
    let is_shadow = |service: &&Arc<Service>| service.labels().contains_key(names::SHADOW_LABEL);
    let existing: BTreeMap<String, &Arc<Service>> =
        existing.iter().filter(is_shadow).map(|service| (service.name_any(), service)).collect();
    let names: BTreeSet<String> = wanted.iter().map(ResourceExt::name_any).collect();
    let orphans = existing
        .iter()
        .filter(|(name, old)| !names.contains(*name) && old.metadata.deletion_timestamp.is_none());
    let delete = orphans.map(|(_, old)| Arc::clone(old)).collect();
    let apply = wanted
        .into_iter()
        .filter(|wanted| !existing.get(&wanted.name_any()).is_some_and(|known| is_same(known, wanted)));
    Changes { delete, apply: apply.collect() }
}

/// Whether a shadow Service is as wanted, in all that the operator sets.
fn is_same(known: &Service, wanted: &Service) -> bool {
    let (Some(known_spec), Some(wanted_spec)) = (&known.spec, &wanted.spec) else { return false };
    let port = |port: &ServicePort| {
        let transport = port.protocol.clone().unwrap_or_else(|| Transport::Tcp.kubernetes().to_owned());
        (port.name.clone().unwrap_or_default(), port.port, transport, port.target_port.clone())
    };
    let ports = |spec: &ServiceSpec| spec.ports.iter().flatten().map(port).collect::<Vec<_>>();
    let annotations = |service: &Service| {
        let ours = [
            names::SERVICE_NAMESPACE_ANNOTATION,
            names::SERVICE_NAME_ANNOTATION,
            shadow::LAST_GOOD_ANNOTATION,
        ];
        ours.map(|name| service.annotations().get(name).cloned())
    };
    let families_differ =
        wanted_spec.ip_families.is_some() && known_spec.ip_families != wanted_spec.ip_families;
    ports(known_spec) == ports(wanted_spec)
        && known_spec.selector == wanted_spec.selector
        && known_spec.session_affinity == wanted_spec.session_affinity
        && known_spec.traffic_distribution == wanted_spec.traffic_distribution
        && !families_differ
        && annotations(known) == annotations(wanted)
        && wanted.labels().iter().all(|(name, value)| known.labels().get(name) == Some(value))
}

#[cfg(test)]
#[path = "shadow_tests.rs"]
mod tests;
