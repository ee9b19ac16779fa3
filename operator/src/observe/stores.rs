//! Keeps the objects of the cluster in memory, by watches.
//!
//! In: the API server. Out: [`Stores`], and a notification at each change.

use super::trim;
use crate::names;
use futures::StreamExt;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{ConfigMap, Pod, Service},
        discovery::v1::EndpointSlice,
        networking::v1::NetworkPolicy,
    },
};
use kube::{
    Api, Client, Resource,
    runtime::{
        WatchStreamExt, reflector,
        reflector::{Store, store::Writer},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use std::{fmt::Debug, sync::Arc};
use tokio::{sync::Notify, task::JoinSet};
use tracing::warn;

/// The objects that the operator watches.
#[derive(Clone)]
pub struct Stores {
    /// Every Service.
    pub services: Store<Service>,
    /// Every EndpointSlice.
    pub slices: Store<EndpointSlice>,
    /// The proxies' pods.
    pub proxies: Store<Pod>,
    /// The nodes' ConfigMaps.
    pub configmaps: Store<ConfigMap>,
}

/// Who is told of changes.
#[derive(Clone, Default)]
pub struct Changes {
    /// Something that the topology depends on changed.
    pub topology: Arc<Notify>,
    /// A proxy's pod changed.
    pub proxies: Arc<Notify>,
}

/// A watch ended before its first list was complete.
#[derive(Debug, thiserror::Error)]
#[error("the watch of {0} ended before its first list was complete")]
pub struct Closed(&'static str);

impl Stores {
    /// Starts the watches; they run, and come back by themselves after errors, until `tasks` is dropped.
    #[must_use]
    pub fn watch(client: &Client, namespace: &str, changes: &Changes, tasks: &mut JoinSet<()>) -> Self {
        let proxies = format!(
            "{}={},{}={}",
            names::NAME_LABEL,
            names::APPLICATION,
            names::COMPONENT_LABEL,
            names::PROXY_COMPONENT
        );
        let ours = format!("{}={}", names::MANAGED_BY_LABEL, names::MANAGED_BY);
        let all = watcher::Config::default;
        Self {
            services: keep(Api::all(client.clone()), all(), trim::service, &changes.topology, tasks),
            slices: keep(Api::all(client.clone()), all(), trim::slice, &changes.topology, tasks),
            proxies: keep(
                Api::namespaced(client.clone(), namespace),
                all().labels(&proxies),
                trim::pod,
                &changes.proxies,
                tasks,
            ),
            configmaps: keep(
                Api::namespaced(client.clone(), namespace),
                all().labels(&ours),
                |configmap: &mut ConfigMap| trim::metadata(&mut configmap.metadata),
                &Arc::new(Notify::new()), // the Node controller watches them for itself
                tasks,
            ),
        }
    }

    /// Waits until every first list is complete. Before that, what is absent here may well exist.
    ///
    /// # Errors
    /// When a watch ended, which happens only while the operator ends.
    pub async fn wait(&self) -> Result<(), Closed> {
        let Self { services, slices, proxies, configmaps } = self;
        services.wait_until_ready().await.map_err(|_| Closed("Services"))?;
        slices.wait_until_ready().await.map_err(|_| Closed("EndpointSlices"))?;
        proxies.wait_until_ready().await.map_err(|_| Closed("the proxies' pods"))?;
        configmaps.wait_until_ready().await.map_err(|_| Closed("the nodes' ConfigMaps"))
    }
}

/// Starts to watch our NetworkPolicies, where there are to be some. Who deletes or edits one is told as a change.
#[must_use]
pub fn policies(client: &Client, changed: &Arc<Notify>, tasks: &mut JoinSet<()>) -> Store<NetworkPolicy> {
    let ours = format!("{}={}", names::MANAGED_BY_LABEL, names::MANAGED_BY);
    let trim = |policy: &mut NetworkPolicy| trim::metadata(&mut policy.metadata);
    keep(Api::all(client.clone()), watcher::Config::default().labels(&ours), trim, changed, tasks)
}

/// A kind of objects that can be kept.
pub(super) trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// Keeps all objects of one kind, without what `trim` drops, until `tasks` is dropped.
fn keep<K: Kind>(
    api: Api<K>,
    config: watcher::Config,
    trim: impl Fn(&mut K) + Send + 'static,
    changes: &Arc<Notify>,
    tasks: &mut JoinSet<()>,
) -> Store<K> {
    let (store, writer) = reflector::store();
    tasks.spawn(hold(api, config, trim, writer, Arc::clone(changes)));
    store
}

/// Writes all objects of one kind into a store, for ever.
pub(super) async fn hold<K: Kind>(
    api: Api<K>,
    config: watcher::Config,
    trim: impl Fn(&mut K) + Send + 'static,
    writer: Writer<K>,
    changes: Arc<Notify>,
) {
    let events = watcher(api, config).default_backoff().modify(trim);
    let mut events = std::pin::pin!(reflector(writer, events));
    while let Some(event) = events.next().await {
        match event {
            // A list in progress changes nothing until it is done.
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_) | watcher::Event::InitDone) => {
                changes.notify_one();
            }
            Err(error) => {
                warn!(kind = %K::kind(&()), %error, "a watch was interrupted; it is taken up again")
            }
        }
    }
}
