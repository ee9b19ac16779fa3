//! Takes all that the operator made out of the cluster; the chart runs this after uninstall.
//!
//! In: the cluster, in whatever state an install, a crash or an earlier cleanup left it. Out: the cluster's DNS as it
//! was, and no shadow Services, ConfigMaps, NetworkPolicies or Lease; or every error, told at the end, for one does not stop the rest.

use crate::{
    dns::{
        cluster::{ApiError, Cluster, Workload, Written},
        discover::{self, DNS_NAMESPACE, WELL_KNOWN_CONFIGMAPS},
        plan,
    },
    lease,
    names::{
        APPLICATION, COMPONENT_LABEL, LEASE_NAME, MANAGED_BY, MANAGED_BY_LABEL, NAME_LABEL,
        OPERATOR_COMPONENT, SHADOW_LABEL, SHADOW_VALUE,
    },
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        coordination::v1::Lease,
        core::v1::{ConfigMap, Pod, Service},
        networking::v1::NetworkPolicy,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeSet, fmt::Debug, time::Duration};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

/// Who holds the Lease meanwhile.
const HOLDER: &str = "weft-cleanup";
/// How long the operator's pods may take to end: twice a pod's usual grace.
const PODS_GONE: Duration = Duration::from_secs(60);
/// How long to wait for the Lease: a dead holder has lost it after 15 s.
const LEASE_FREE: Duration = Duration::from_secs(45);
/// How often to look whether they have.
const POLL: Duration = Duration::from_secs(1);
/// How long clients keep an answer of the mesh's DNS: shadow Services outlive the zones by more than that.
const ANSWERS_FORGOTTEN: Duration = Duration::from_secs(6);
/// How often a write is tried again when someone else was faster.
const TRIES: u32 = 20;
/// How long to wait before that.
const AGAIN: Duration = Duration::from_millis(250);
/// Deployments that common clusters run their DNS as, for where no pod is left to ask.
const WELL_KNOWN_DEPLOYMENTS: [&str; 3] = ["coredns", "rke2-coredns-rke2-coredns", "coredns-coredns"];

/// Why something was left.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// An operator would put in again what is taken out.
    #[error("an operator still runs and holds the Lease {LEASE_NAME}: remove it, then clean up again")]
    OperatorRuns,
    /// Some steps failed.
    #[error("not everything could be removed: {}", .0.join("; "))]
    Incomplete(Vec<String>),
}

/// Cleans up after the mesh in a namespace. `configmaps` names further ones that may hold the mesh's zones.
///
/// # Errors
/// All that could not be removed.
pub async fn run(client: Client, namespace: &str, configmaps: &[String]) -> Result<(), CleanupError> {
    let mut failures = Failures::default();
    wait_for_pods(&client, namespace, &mut failures).await;
    let acquired = timeout(LEASE_FREE, lease::acquire(client.clone(), namespace, HOLDER)).await;
    let mut leadership = acquired.map_err(|_| CleanupError::OperatorRuns)?;
    let steps = async {
        let cluster = Cluster::new(client.clone(), namespace);
        if restore_dns(&cluster, configmaps, &mut failures).await {
            sleep(ANSWERS_FORGOTTEN).await;
        }
        let shadows = format!("{SHADOW_LABEL}={SHADOW_VALUE}");
        delete_all::<Service>(&client, namespace, &shadows, &mut failures).await;
        let ours = format!("{MANAGED_BY_LABEL}={MANAGED_BY}");
        delete_all::<ConfigMap>(&client, namespace, &ours, &mut failures).await;
        delete_policies(&client, &mut failures).await;
    };
    tokio::select! {
        () = steps => {}
        () = leadership.lost() => return Err(CleanupError::OperatorRuns),
    }
    let leases: Api<Lease> = Api::namespaced(client, namespace);
    failures.note("the Lease", tolerate(leases.delete(LEASE_NAME, &DeleteParams::default()).await));
    if failures.0.is_empty() { Ok(()) } else { Err(CleanupError::Incomplete(failures.0)) }
}

/// Deletes our NetworkPolicies in all namespaces; run by the chart once they are no longer asked for.
///
/// # Errors
/// All that could not be deleted.
pub async fn policies(client: Client) -> Result<(), CleanupError> {
    let mut failures = Failures::default();
    delete_policies(&client, &mut failures).await;
    if failures.0.is_empty() { Ok(()) } else { Err(CleanupError::Incomplete(failures.0)) }
}

/// What went wrong so far.
#[derive(Default)]
struct Failures(Vec<String>);

impl Failures {
    fn note<E: std::fmt::Display>(&mut self, what: &str, result: Result<(), E>) {
        if let Err(error) = result {
            warn!(%error, "{what} could not be removed");
            self.0.push(format!("{what}: {error}"));
        }
    }
}

/// What is gone already needs no removal.
fn tolerate<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// Waits until the operator's pods have ended, or long enough: the Lease then tells whether one still writes.
async fn wait_for_pods(client: &Client, namespace: &str, failures: &mut Failures) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let labels = format!("{NAME_LABEL}={APPLICATION},{COMPONENT_LABEL}={OPERATOR_COMPONENT}");
    let parameters = ListParams::default().labels(&labels);
    let deadline = Instant::now() + PODS_GONE;
    while Instant::now() < deadline {
        match pods.list(&parameters).await {
            Ok(pods) if !pods.items.iter().any(runs) => return,
            Ok(_) => info!("waiting for the operator to end"),
            Err(error) => return failures.note("the wait for the operator's pods", Err(error)),
        }
        sleep(POLL).await;
    }
}

fn runs(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Takes the mesh's zones out of the cluster's DNS; says whether there were any.
async fn restore_dns(cluster: &Cluster, configmaps: &[String], failures: &mut Failures) -> bool {
    let found = match cluster.find().await {
        Ok(found) => found.ok(),
        Err(error) => {
            failures.note("the search for the cluster's DNS", Err(error));
            None
        }
    };
    let server = found.as_ref().map(|found| &found.server);
    let used = server.map(|server| plan::main_configmap(server).to_owned());
    let folders =
        server.map(discover::folders).unwrap_or_default().iter().map(|folder| &folder.configmap).cloned();
    let usual = WELL_KNOWN_CONFIGMAPS.iter().map(|name| (*name).to_owned());
    let given = configmaps.iter().cloned();
    let names: BTreeSet<String> = used.clone().into_iter().chain(folders).chain(usual).chain(given).collect();
    let mut restored = false;
    for name in names {
        match restore(cluster, &name).await {
            Ok(changed) => restored |= changed,
            // What the operator could not have written either is not looked at.
            Err(RestoreError::Api(error)) if error.code() == Some(403) && used.as_ref() != Some(&name) => {
                debug!(%error, "not looked at");
            }
            Err(error) => {
                failures.note(&format!("the zones in ConfigMap {DNS_NAMESPACE}/{name}"), Err(error))
            }
        }
    }
    match found.and_then(|found| found.owner) {
        Some(owner) => match cluster.workload(&owner).await {
            Ok(Some(workload)) => failures.note("the restart of CoreDNS", unmark(cluster, &workload).await),
            Ok(None) => {}
            Err(error) if error.code() == Some(403) => debug!(%error, "CoreDNS was never restarted"),
            Err(error) => failures.note("the restart of CoreDNS", Err(error)),
        },
        None => {
            for name in WELL_KNOWN_DEPLOYMENTS {
                let workload = Workload::Deployment(name.into());
                failures.note("the restart of CoreDNS", unmark(cluster, &workload).await);
            }
        }
    }
    restored
}

/// Why a ConfigMap still has the mesh's zones.
#[derive(Debug, thiserror::Error)]
enum RestoreError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Unreadable(#[from] plan::TakeOutError),
    #[error("the API server refused the change: {0}")]
    Refused(String),
    #[error("someone else changes it all the time")]
    Busy,
}

/// Takes the mesh's zones out of one ConfigMap; says whether there were any.
async fn restore(cluster: &Cluster, name: &str) -> Result<bool, RestoreError> {
    for _ in 0..TRIES {
        let documents = cluster.read(&BTreeSet::from([name.to_owned()])).await.map_err(|(_, error)| error)?;
        let Some(document) = documents.get(name) else { return Ok(false) };
        let change = plan::take_out(document)?;
        if change.is_empty() {
            return Ok(false);
        }
        match cluster.write(document, &change).await? {
            Written::Done => {
                info!(configmap = name, "the mesh's zones are taken out");
                return Ok(true);
            }
            Written::Conflict => sleep(AGAIN).await,
            Written::Refused(why) => return Err(RestoreError::Refused(why)),
        }
    }
    Err(RestoreError::Busy)
}

/// Takes our mark off a pod template, which restarts the pods. Only where CoreDNS does not reload is there one.
async fn unmark(cluster: &Cluster, workload: &Workload) -> Result<(), RestoreError> {
    for _ in 0..TRIES {
        match cluster.restart(workload, None).await? {
            Written::Done => return Ok(()),
            Written::Conflict => sleep(AGAIN).await,
            // Without the right to restart it, it was never marked.
            Written::Refused(why) => {
                debug!(why, "CoreDNS was never restarted");
                return Ok(());
            }
        }
    }
    Err(RestoreError::Busy)
}

async fn delete_policies(client: &Client, failures: &mut Failures) {
    let all: Api<NetworkPolicy> = Api::all(client.clone());
    let ours = ListParams::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
    let policies = match all.list_metadata(&ours).await {
        Ok(policies) => policies.items,
        Err(error) => return failures.note("the NetworkPolicies", tolerate(Err::<(), _>(error))),
    };
    for policy in policies {
        let (namespace, name) = (policy.namespace().unwrap_or_default(), policy.name_any());
        let api: Api<NetworkPolicy> = Api::namespaced(client.clone(), &namespace);
        let deleted = api.delete(&name, &DeleteParams::default()).await;
        failures.note(&format!("NetworkPolicy {namespace}/{name}"), tolerate(deleted));
    }
    info!("no NetworkPolicy of ours is left");
}

async fn delete_all<K>(client: &Client, namespace: &str, labels: &str, failures: &mut Failures)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let kind = K::kind(&());
    let objects = match api.list_metadata(&ListParams::default().labels(labels)).await {
        Ok(objects) => objects.items,
        Err(error) => {
            return failures.note(&format!("what is labelled {labels}"), tolerate(Err::<(), _>(error)));
        }
    };
    for name in objects.into_iter().filter_map(|object| object.metadata.name) {
        let deleted = api.delete(&name, &DeleteParams::default()).await;
        failures.note(&format!("{kind} {namespace}/{name}"), tolerate(deleted));
    }
    info!("no {kind} labelled {labels} is left in {namespace}");
}

#[cfg(test)]
mod tests;
