//! Reads what this station needs of the cluster, and writes what it decided.
//!
//! In: a client. Out: objects, and answers that tell a lost race or a missing right from a real failure. Everything
//! is read afresh: a change of the cluster's DNS is rare, and must not rest on an old view.

use super::{
    discover::{self, DNS_NAMESPACE, Owner, Server},
    plan::{Change, Documents},
};
use crate::names::{DNS_SERVICE, FIELD_MANAGER};
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, ReplicaSet},
        core::v1::{ConfigMap, Pod, Service},
    },
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource,
    api::{ListParams, Patch, PatchParams},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Debug};

/// The annotation of the Service [`DNS_SERVICE`] that remembers a change which did harm.
pub const PUT_BACK_ANNOTATION: &str = "weft.mesh/dns-put-back";
/// The annotation of a pod template that makes pods start anew; its value says for what.
pub const RESTART_ANNOTATION: &str = "weft.mesh/dns-restarted-for";

/// Why the cluster could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{action} failed: {source}")]
pub struct ApiError {
    /// What was tried.
    pub action: String,
    /// What the API server said.
    #[source]
    pub source: kube::Error,
}

/// The cluster's DNS, found.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it is.
    pub server: Server,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// What selects them.
    pub selector: String,
    /// What makes them.
    pub owner: Option<Owner>,
}

/// Why the cluster's DNS was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No Service looks like it.
    Service,
    /// The Service has no pods now.
    Pods(String),
    /// The Service's pods are something else.
    Configuration(String),
}

/// What came of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is done.
    Done,
    /// Someone else was faster: look again.
    Conflict,
    /// The API server will not have it, and says why.
    Refused(String),
}

/// What a put-back leaves behind, so that a new leader knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutBack {
    /// A hash of all that others wrote, and of our zones: once it changes, the zones are tried again.
    pub rest: String,
    /// What the failure looked like.
    pub reason: String,
}

/// What restarts the pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workload {
    /// A Deployment.
    Deployment(String),
    /// A DaemonSet.
    DaemonSet(String),
}

/// The cluster, as far as this station sees it.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
}

impl ApiError {
    /// The status that the API server answered with.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match &self.source {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        }
    }
}

impl Cluster {
    /// A view of the cluster for the mesh in a namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    /// The Service in front of the proxies' DNS.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn mesh_dns(&self) -> Result<Option<Service>, ApiError> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        services.get_opt(DNS_SERVICE).await.map_err(doing(format!("reading Service {DNS_SERVICE}")))
    }

    /// Finds the cluster's DNS.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn find(&self) -> Result<Result<Found, Missing>, ApiError> {
        let services: Api<Service> = self.dns();
        let services = services.list(&ListParams::default()).await;
        let services = services.map_err(doing(format!("listing Services in {DNS_NAMESPACE}")))?.items;
        let mut missing = Missing::Service;
        for service in discover::candidates(&services) {
            let Some(selector) = discover::selector(service) else { continue };
            let pods: Api<Pod> = self.dns();
            let pods = pods.list(&ListParams::default().labels(&selector)).await;
            let pods = pods.map_err(doing(format!("listing Pods in {DNS_NAMESPACE}")))?.items;
            if let Some(server) = discover::server(&pods) {
                let owner = discover::owner(&pods);
                return Ok(Ok(Found { server, pods, selector, owner }));
            }
            if missing == Missing::Service {
                let name = service.metadata.name.clone().unwrap_or_default();
                missing = if pods.is_empty() { Missing::Pods(name) } else { Missing::Configuration(name) };
            }
        }
        Ok(Err(missing))
    }

    /// Reads ConfigMaps; those that do not exist are left out.
    ///
    /// # Errors
    /// When the API server does not answer, or not with this one.
    pub async fn read(&self, names: &BTreeSet<String>) -> Result<Documents, (String, ApiError)> {
        let configmaps: Api<ConfigMap> = self.dns();
        let mut documents = Documents::new();
        for name in names {
            let document = configmaps.get_opt(name).await.map_err(|source| {
                (
                    name.clone(),
                    ApiError { action: format!("reading ConfigMap {DNS_NAMESPACE}/{name}"), source },
                )
            })?;
            if let Some(document) = document {
                documents.insert(name.clone(), document);
            }
        }
        Ok(documents)
    }

    /// Writes a change, unless the ConfigMap is no longer the one that was read.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn write(&self, document: &ConfigMap, change: &Change) -> Result<Written, ApiError> {
        let name = document.metadata.name.as_deref().unwrap_or_default();
        let patch = change.patch(document.metadata.resource_version.as_deref());
        self.patch::<ConfigMap>(self.dns(), name, patch).await
    }

    /// Remembers a put-back, or forgets it.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn remember(&self, put_back: Option<&PutBack>) -> Result<Written, ApiError> {
        let value = put_back.map(|put_back| json!(put_back).to_string());
        let patch = json!({"metadata": {"annotations": {PUT_BACK_ANNOTATION: value}}});
        self.patch::<Service>(Api::namespaced(self.client.clone(), &self.namespace), DNS_SERVICE, patch).await
    }

    /// What to change so that the pods start anew.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn workload(&self, owner: &Owner) -> Result<Option<Workload>, ApiError> {
        match owner {
            Owner::DaemonSet(name) => Ok(Some(Workload::DaemonSet(name.clone()))),
            Owner::ReplicaSet(name) => {
                let sets: Api<ReplicaSet> = self.dns();
                let set = sets.get_opt(name).await;
                let set = set.map_err(doing(format!("reading ReplicaSet {DNS_NAMESPACE}/{name}")))?;
                let owners = set.and_then(|set| set.metadata.owner_references).unwrap_or_default();
                let deployment = owners.into_iter().find(|owner| owner.kind == "Deployment");
                Ok(deployment.map(|deployment| Workload::Deployment(deployment.name)))
            }
        }
    }

    /// Makes the pods start anew, once for each mark; without a mark, as they were before the first.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn restart(&self, workload: &Workload, mark: Option<&str>) -> Result<Written, ApiError> {
        match workload {
            Workload::Deployment(name) => {
                let template = |deployment: Deployment| {
                    deployment.spec.and_then(|spec| spec.template.metadata).and_then(|meta| meta.annotations)
                };
                self.mark(name, mark, template).await
            }
            Workload::DaemonSet(name) => {
                let template = |set: DaemonSet| {
                    set.spec.and_then(|spec| spec.template.metadata).and_then(|meta| meta.annotations)
                };
                self.mark(name, mark, template).await
            }
        }
    }

    async fn mark<K>(
        &self,
        name: &str,
        mark: Option<&str>,
        annotations: impl Fn(K) -> Option<std::collections::BTreeMap<String, String>>,
    ) -> Result<Written, ApiError>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let api: Api<K> = self.dns();
        let object = match api.get_opt(name).await {
            Ok(Some(object)) => object,
            Ok(None) => return Ok(Written::Done), // gone with its pods
            Err(source) => return answer(source, || format!("reading {} {name}", K::kind(&()))),
        };
        let version = object.meta().resource_version.clone();
        let marked = annotations(object).and_then(|mut annotations| annotations.remove(RESTART_ANNOTATION));
        if marked.as_deref() == mark {
            return Ok(Written::Done);
        }
        let patch = json!({
            "metadata": {"resourceVersion": version},
            "spec": {"template": {"metadata": {"annotations": {RESTART_ANNOTATION: mark}}}},
        });
        self.patch(api, name, patch).await
    }

    async fn patch<K>(&self, api: Api<K>, name: &str, patch: Value) -> Result<Written, ApiError>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        match api.patch(name, &parameters, &Patch::Merge(patch)).await {
            Ok(_) => Ok(Written::Done),
            Err(source) => answer(source, || format!("changing {} {name}", K::kind(&()))),
        }
    }

    fn dns<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), DNS_NAMESPACE)
    }
}

/// Tells a lost race and a refusal from a failure.
fn answer(source: kube::Error, action: impl FnOnce() -> String) -> Result<Written, ApiError> {
    match &source {
        kube::Error::Api(status) if status.code == 409 || status.code == 404 => Ok(Written::Conflict),
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422) => {
            Ok(Written::Refused(status.message.clone()))
        }
        _ => Err(ApiError { action: action(), source }),
    }
}

fn doing(action: String) -> impl FnOnce(kube::Error) -> ApiError {
    move |source| ApiError { action, source }
}

/// What a Service remembers of a put-back.
#[must_use]
pub fn put_back(service: &Service) -> Option<PutBack> {
    serde_json::from_str(service.metadata.annotations.as_ref()?.get(PUT_BACK_ANNOTATION)?).ok()
}

/// When the operator last wrote an object, by the API server's clock.
#[must_use]
pub fn written_at(document: &ConfigMap) -> Option<Timestamp> {
    let entries = document.metadata.managed_fields.iter().flatten();
    let ours = entries.filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
    ours.filter_map(|entry| entry.time.as_ref().map(|time| time.0)).max()
}
