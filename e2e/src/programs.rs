//! Workloads of Debian's programs: clients and servers that are not ours.
//!
//! In: commands of a shell. Out: Deployments that serve by them, and a pod on each node to run others in.

use crate::{
    cluster::Cluster,
    wait::{eventually, seconds},
    workload::{address, is_ready, node},
};
use anyhow::{Result, ensure};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment},
    core::v1::{Secret, Service},
};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::{collections::BTreeMap, env};

/// The image of Debian's programs (`hack/images programs`); the tag is the project's version.
#[must_use]
pub fn image() -> String {
    env::var("WEFT_E2E_PROGRAMS_IMAGE")
        .unwrap_or_else(|_| format!("docker.io/weft-mesh/programs:{}", env!("CARGO_PKG_VERSION")))
}

/// A pod of these programs.
#[derive(Clone)]
pub struct Shell {
    /// The cluster.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its address.
    pub address: String,
}

impl Shell {
    /// Runs a script to its end; what it printed, errors after the rest.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run(&self, script: &str) -> Result<String> {
        let (success, printed) = self.attempt(script).await?;
        ensure!(success, "{script:?} failed: {printed}");
        Ok(printed)
    }

    /// The same for a script that may fail: whether it did well, and what it printed.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn attempt(&self, script: &str) -> Result<(bool, String)> {
        let output = self.cluster.exec(&self.namespace, &self.pod, &["sh", "-c", script]).await?;
        Ok((output.success, output.stdout + &output.stderr))
    }
}

impl Cluster {
    /// A Deployment whose pods run a script, with the Secret of its name in `/files` if there is one. They are ready when
    /// something listens on the port, or at once without one.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn program(
        &self,
        namespace: &str,
        name: &str,
        replicas: u32,
        port: Option<u16>,
        script: &str,
    ) -> Result<Deployment> {
        let labels = json!({"app": name});
        let mut container = json!({
            "name": "program", "image": image(), "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script],
            "volumeMounts": [{"name": "files", "mountPath": "/files"}],
        });
        if let Some(port) = port {
            container["readinessProbe"] = json!({"tcpSocket": {"port": port}, "periodSeconds": 1});
        }
        let files = json!({"name": "files", "secret": {"secretName": name, "optional": true}});
        let pod = json!({"containers": [container], "volumes": [files], "terminationGracePeriodSeconds": 5});
        let template = json!({"metadata": {"labels": labels}, "spec": pod});
        let spec = json!({"replicas": replicas, "selector": {"matchLabels": labels}, "template": template});
        self.apply(namespace, json!({"metadata": {"name": name}, "spec": spec})).await
    }

    /// The files of such a Deployment, which must be there before it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn files(&self, namespace: &str, name: &str, files: &[(&str, &str)]) -> Result<()> {
        let data: BTreeMap<&str, &str> = files.iter().copied().collect();
        self.apply::<Secret>(namespace, json!({"metadata": {"name": name}, "stringData": data}))
            .await
            .map(drop)
    }

    /// A Service in front of the pods of its name, with these ports and annotations of the mesh's, waited for until the
    /// mesh serves it and says this of it.
    ///
    /// # Errors
    /// When it does not.
    pub async fn meshed(
        &self,
        namespace: &str,
        name: &str,
        ports: Value,
        annotations: &[(&str, &str)],
        said: &str,
    ) -> Result<()> {
        self.meshed_pods(namespace, name, name, ports, annotations, said).await
    }

    /// The same in front of the pods of another name.
    ///
    /// # Errors
    /// When it is not served.
    pub async fn meshed_pods(
        &self,
        namespace: &str,
        name: &str,
        pods: &str,
        ports: Value,
        annotations: &[(&str, &str)],
        said: &str,
    ) -> Result<()> {
        let annotations: BTreeMap<String, &str> =
            annotations.iter().map(|(key, value)| (format!("weft.mesh/{key}"), *value)).collect();
        let metadata = json!({"name": name, "annotations": annotations});
        let service = json!({"metadata": metadata, "spec": {"selector": {"app": pods}, "ports": ports}});
        self.apply::<Service>(namespace, service).await?;
        self.event(namespace, name, "MeshReady", said).await.map(drop)
    }

    /// A pod of these programs on each node, by node.
    ///
    /// # Errors
    /// When they do not come up.
    pub async fn shells(&self, namespace: &str) -> Result<BTreeMap<String, Shell>> {
        let labels = json!({"app": "shell"});
        let container = json!({"name": "shell", "image": image(), "imagePullPolicy": "IfNotPresent",
                               "command": ["sleep", "infinity"]});
        let pod = json!({"containers": [container], "terminationGracePeriodSeconds": 0});
        let template = json!({"metadata": {"labels": labels}, "spec": pod});
        let spec = json!({"selector": {"matchLabels": labels}, "template": template});
        self.apply::<DaemonSet>(namespace, json!({"metadata": {"name": "shell"}, "spec": spec})).await?;
        let nodes = self.nodes().await?.len();
        eventually("a shell runs on each node", seconds(60), || async {
            let by_node = self.shells_in(namespace, "app=shell").await?;
            ensure!(by_node.len() == nodes, "{} of {nodes}", by_node.len());
            Ok(by_node)
        })
        .await
    }

    /// The ready pods with these labels, to run scripts in, by node.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn shells_in(&self, namespace: &str, labels: &str) -> Result<BTreeMap<String, Shell>> {
        let pods = self.pods(namespace, labels).await?;
        let shells = pods.iter().filter(|pod| is_ready(pod)).filter_map(|pod| {
            let (namespace, pod, node, address) =
                (namespace.to_owned(), pod.name_any(), node(pod)?, address(pod)?);
            Some((node, Shell { cluster: self.clone(), namespace, pod, address }))
        });
        Ok(shells.collect())
    }
}
