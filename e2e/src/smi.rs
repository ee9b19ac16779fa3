//! Objects of the Service Mesh Interface, and of others that have no type here.
//!
//! In: a version, a kind and JSON. Out: the object in the cluster, or gone from it.

use crate::{
    cluster::Cluster,
    traffic::ClientPod,
    wait::{eventually, seconds},
};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use serde_json::{Value, json};

/// The version of access control that is used unless it matters.
pub const ACCESS: &str = "access.smi-spec.io/v1alpha3";
/// The version of what tells requests apart.
pub const SPECS: &str = "specs.smi-spec.io/v1alpha4";
/// The version of splits.
pub const SPLIT: &str = "split.smi-spec.io/v1alpha4";

/// Who may call whom, and what.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// Its name.
    pub name: &'a str,
    /// The ServiceAccount of the pods that are called.
    pub destination: &'a str,
    /// Those of the pods that call.
    pub sources: &'a [&'a str],
    /// The kinds and names of the rules.
    pub rules: &'a [(&'a str, &'a str)],
}

impl Cluster {
    /// The objects of a kind in a namespace.
    #[must_use]
    pub fn kind(&self, namespace: &str, version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    /// Applies an object of a kind: its name and its other fields. A kind that was just installed may take a moment.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn put(
        &self,
        namespace: &str,
        version: &str,
        kind: &str,
        name: &str,
        fields: Value,
    ) -> Result<DynamicObject> {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
        for (field, value) in fields.as_object().into_iter().flatten() {
            object[field] = value.clone();
        }
        let api = self.kind(namespace, version, kind);
        eventually(&format!("{kind} {name} can be applied"), seconds(20), || async {
            let parameters = PatchParams::apply("weft-e2e").force();
            let applied = api.patch(name, &parameters, &Patch::Apply(&object)).await;
            applied.with_context(|| format!("{object}"))
        })
        .await
    }

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn remove(&self, namespace: &str, version: &str, kind: &str, name: &str) -> Result<()> {
        match self.kind(namespace, version, kind).delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    /// A ServiceAccount.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn account(&self, namespace: &str, name: &str) -> Result<()> {
        self.apply::<ServiceAccount>(namespace, json!({"metadata": {"name": name}})).await.map(drop)
    }

    /// Applies a TrafficTarget.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn target(&self, namespace: &str, target: &Target<'_>) -> Result<()> {
        let Target { name, destination, sources, rules } = target;
        let account = |name: &str| json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
        let sources: Vec<Value> = sources.iter().map(|name| account(name)).collect();
        let rules: Vec<Value> =
            rules.iter().map(|(kind, name)| json!({"kind": kind, "name": name})).collect();
        let spec = json!({"destination": account(destination), "sources": sources, "rules": rules});
        self.put(namespace, ACCESS, "TrafficTarget", name, json!({"spec": spec})).await.map(drop)
    }

    /// Applies a TrafficSplit of a Service: its backends and their weights.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn split(&self, namespace: &str, root: &str, backends: &[(&str, u32)]) -> Result<()> {
        let backends: Vec<Value> =
            backends.iter().map(|(service, weight)| json!({"service": service, "weight": weight})).collect();
        let spec = json!({"service": root, "backends": backends});
        self.put(namespace, SPLIT, "TrafficSplit", root, json!({"spec": spec})).await.map(drop)
    }
}

impl ClientPod {
    /// Waits until a request is answered with this status.
    ///
    /// # Errors
    /// When it is not.
    pub async fn is_answered(&self, url: &str, more: &[&str], status: u16) -> Result<()> {
        eventually(&format!("{url} {more:?} is answered {status}"), seconds(30), || async {
            let outcome = self.ask(url, more).await?;
            ensure!(outcome.status == status, "{outcome:?}");
            Ok(())
        })
        .await
    }
}
