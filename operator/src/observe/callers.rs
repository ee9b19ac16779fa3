//! Keeps the pods that may call in memory, once a Service's policy asks who calls.
//!
//! In: the API server. Out: [`Callers`], and a notification at each change. In a cluster where no Service asks, no pod is
//! watched.

use super::{stores::hold, trim};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    runtime::{reflector, reflector::Store, watcher},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::timeout,
};
use tracing::warn;

/// How long the first list may take before the others are served without it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pods that may call.
pub struct Callers {
    store: Store<Pod>,
    wanted: watch::Sender<bool>,
}

impl Callers {
    /// Prepares the watch, which begins when pods are asked for, and runs until `tasks` is dropped. Their labels are kept
    /// where they tell pods apart.
    #[must_use]
    pub fn prepare(client: &Client, labels: bool, changes: &Arc<Notify>, tasks: &mut JoinSet<()>) -> Self {
        let (store, writer) = reflector::store();
        let (wanted, mut asked) = watch::channel(false);
        let (api, changes) = (Api::all(client.clone()), Arc::clone(changes));
        tasks.spawn(async move {
            if asked.wait_for(|wanted| *wanted).await.is_ok() {
                let trim = move |pod: &mut Pod| trim::caller(pod, labels);
                hold(api, watcher::Config::default(), trim, writer, changes).await;
            } else {
                std::future::pending().await // nobody is left to ask; the operator ends
            }
        });
        Self { store, wanted }
    }

    /// Asks for pods. Returns true when they are there for the first time by that, and were not before.
    pub async fn want(&self) -> bool {
        if self.wanted.send_replace(true) {
            return false;
        }
        match timeout(PATIENCE, self.store.wait_until_ready()).await {
            Ok(Ok(())) => true,
            Ok(Err(_)) | Err(_) => {
                warn!(
                    "the pods are not listed yet; limits by ServiceAccount count by address until they are"
                );
                false
            }
        }
    }

    /// Asks for pods, and waits for however long it takes: where access is controlled, who is not known may call nobody.
    pub async fn want_all(&self) {
        self.wanted.send_replace(true);
        // The writer ends only with the operator.
        let _ = self.store.wait_until_ready().await;
    }

    /// The pods as they are now.
    #[must_use]
    pub fn state(&self) -> Vec<Arc<Pod>> {
        self.store.state()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeApi;
    use serde_json::json;
    use tokio::task::yield_now;

    #[tokio::test]
    async fn no_pod_is_watched_before_one_is_asked_for() {
        let api = FakeApi::default();
        let pod = json!({
            "metadata": {"namespace": "shop", "name": "web", "uid": "u", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web"}], "serviceAccountName": "front", "nodeName": "node-1"},
            "status": {"phase": "Running", "podIP": "10.1.0.5"},
        });
        api.put("/api/v1/pods/web", pod);
        let (changes, mut tasks) = (Arc::new(Notify::new()), JoinSet::new());
        let callers = Callers::prepare(&api.client().await, false, &changes, &mut tasks);
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(callers.state().is_empty());
        assert!(callers.want().await, "they are there at the first time of asking");
        assert!(!callers.want().await, "and that is no news the next time");
        changes.notified().await;
        let kept = serde_json::to_value(&*callers.state()[0]).unwrap();
        assert_eq!(kept["metadata"], json!({"namespace": "shop", "name": "web"}));
        assert_eq!(kept["spec"], json!({"containers": [], "serviceAccountName": "front"}));
        assert_eq!(kept["status"], json!({"phase": "Running", "podIP": "10.1.0.5"}));
    }
}
