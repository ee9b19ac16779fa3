//! Wakes the station when something that it looks at has changed.
//!
//! In: what to look at. Out: a wake-up; what changed is read afresh by who wakes. Single objects are watched by
//! name, which needs no right to see others.

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::{
    Api, Client, Resource,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Arc,
};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

/// What can be watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    /// One Service.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// One ConfigMap.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The pods of a selector.
    Pods {
        /// Their namespace.
        namespace: String,
        /// The selector.
        selector: String,
    },
}

/// The watches that run.
pub struct Watches {
    client: Client,
    woken: Arc<Notify>,
    running: BTreeMap<Watched, AbortOnDropHandle<()>>,
}

impl Watches {
    /// No watches yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, woken: Arc::default(), running: BTreeMap::new() }
    }

    /// Watches these and nothing else.
    pub fn keep(&mut self, wanted: &BTreeSet<Watched>) {
        self.running.retain(|watched, _| wanted.contains(watched));
        for watched in wanted {
            if !self.running.contains_key(watched) {
                let task = self.start(watched);
                self.running.insert(watched.clone(), task);
            }
        }
    }

    /// Waits for the next change.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    fn start(&self, watched: &Watched) -> AbortOnDropHandle<()> {
        let by_name = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
        match watched {
            Watched::Service { namespace, name } => self.spawn::<Service>(namespace, by_name(name)),
            Watched::ConfigMap { namespace, name } => self.spawn::<ConfigMap>(namespace, by_name(name)),
            Watched::Pods { namespace, selector } => {
                self.spawn::<Pod>(namespace, watcher::Config::default().labels(selector))
            }
        }
    }

    fn spawn<K>(&self, namespace: &str, config: watcher::Config) -> AbortOnDropHandle<()>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        let api: Api<PartialObjectMeta<K>> = Api::namespaced(self.client.clone(), namespace);
        let woken = Arc::clone(&self.woken);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut events = watcher(api, config).default_backoff().boxed();
            while let Some(event) = events.next().await {
                match event {
                    Ok(_) => woken.notify_one(),
                    // The station looks at least every half minute, and then says what it may not read.
                    Err(error) => debug!(kind = %K::kind(&()), %error, "a watch was broken off"),
                }
            }
        }))
    }
}
