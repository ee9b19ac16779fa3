//! The cluster that tests run on.
//!
//! In: the kubeconfig. Out: a client, commands run in pods, and objects made and waited for.

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, Deployment, ReplicaSet},
        core::v1::{Namespace, Node, Pod},
    },
};
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::{AttachParams, DeleteParams, ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{env, fmt::Debug, path::PathBuf};
use tokio::io::AsyncReadExt;

use crate::wait::{eventually, seconds};

/// A connection to the cluster.
#[derive(Clone)]
pub struct Cluster {
    /// The client.
    pub client: Client,
    /// The kubeconfig, for programs that need it by path.
    pub kubeconfig: PathBuf,
}

/// What a command in a pod printed.
#[derive(Clone, Debug)]
pub struct Output {
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// Whether it ended with 0.
    pub success: bool,
}

impl Cluster {
    /// Connects to the cluster named by `WEFT_E2E_KUBECONFIG`, and to no other.
    ///
    /// # Errors
    /// When it is not set or cannot be used.
    pub async fn connect() -> Result<Self> {
        let path = env::var("WEFT_E2E_KUBECONFIG")
            .context("WEFT_E2E_KUBECONFIG must name the cluster's kubeconfig")?;
        let kubeconfig = PathBuf::from(path);
        let read = Kubeconfig::read_from(&kubeconfig)?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
        Ok(Self { client: Client::try_from(config)?, kubeconfig })
    }

    /// The objects of one kind in a namespace.
    #[must_use]
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The names of the real nodes, sorted.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn nodes(&self) -> Result<Vec<String>> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let list = nodes.list(&ListParams::default()).await?;
        let real = list.iter().filter(|node| !node.labels().contains_key("weft.mesh/e2e-fake"));
        Ok(real.map(ResourceExt::name_any).collect())
    }

    /// Applies an object given as JSON.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn apply<K>(&self, namespace: &str, object: Value) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let name = object["metadata"]["name"].as_str().context("an object needs a name")?.to_owned();
        let mut object = object;
        object["apiVersion"] = K::api_version(&()).into_owned().into();
        object["kind"] = K::kind(&()).into_owned().into();
        let patched = self.api::<K>(namespace).patch(&name, &parameters(), &Patch::Apply(&object)).await;
        patched.with_context(|| format!("{} {namespace}/{name} cannot be applied", K::kind(&())))
    }

    /// Merges a change into an object.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn merge<K>(&self, namespace: &str, name: &str, change: impl Serialize + Debug) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let patched =
            self.api::<K>(namespace).patch(name, &PatchParams::default(), &Patch::Merge(&change)).await;
        patched.with_context(|| format!("{} {namespace}/{name} cannot be changed", K::kind(&())))
    }

    /// Makes a namespace for one test; an old one of the name is removed first.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn fresh_namespace(&self, name: &str) -> Result<()> {
        self.delete_namespace(name).await?;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = serde_json::from_value(serde_json::json!({"metadata": {"name": name}}))?;
        namespaces.create(&kube::api::PostParams::default(), &namespace).await?;
        Ok(())
    }

    /// Removes a namespace and waits until it is gone.
    ///
    /// # Errors
    /// When it does not go.
    pub async fn delete_namespace(&self, name: &str) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if namespaces.get_opt(name).await?.is_none() {
            return Ok(());
        }
        self.end_pods(name).await?;
        namespaces.delete(name, &DeleteParams::default()).await?;
        eventually("the namespace goes", seconds(90), || async {
            match namespaces.get_opt(name).await? {
                None => Ok(()),
                Some(_) => bail!("{name} is still there"),
            }
        })
        .await
    }

    /// Ends all pods of a namespace at once. Where there are some that may take their time to end, Kubernetes looks again
    /// only after half of the longest time, and its namespace stays for as long.
    async fn end_pods(&self, namespace: &str) -> Result<()> {
        let (at_once, all) = (DeleteParams::default().grace_period(0), ListParams::default());
        eventually("the pods go", seconds(30), || async {
            self.api::<Deployment>(namespace).delete_collection(&at_once, &all).await?;
            self.api::<ReplicaSet>(namespace).delete_collection(&at_once, &all).await?;
            self.api::<DaemonSet>(namespace).delete_collection(&at_once, &all).await?;
            self.api::<Pod>(namespace).delete_collection(&at_once, &all).await?;
            let left = self.api::<Pod>(namespace).list_metadata(&all).await?.items.len();
            ensure!(left == 0, "{left} are left");
            Ok(())
        })
        .await
    }

    /// Runs a command in a pod, to its end.
    ///
    /// # Errors
    /// When it cannot be started; not when it fails, which [`Output::success`] tells.
    pub async fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> Result<Output> {
        let pods: Api<Pod> = self.api(namespace);
        let parameters = AttachParams::default().stdin(false).stderr(true);
        let attached = pods.exec(pod, command.iter().copied(), &parameters).await;
        let mut process =
            attached.with_context(|| format!("{command:?} cannot be run in {namespace}/{pod}"))?;
        let mut stdout = process.stdout().context("no standard output")?;
        let mut stderr = process.stderr().context("no standard error")?;
        let status = process.take_status().context("no status")?;
        let (mut out, mut err) = (String::new(), String::new());
        try_join(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err)).await?;
        let success = status.await.is_some_and(|status| status.status.as_deref() == Some("Success"));
        Ok(Output { stdout: out, stderr: err, success })
    }
}

fn parameters() -> PatchParams {
    PatchParams::apply("weft-e2e").force()
}
