//! Workloads of the echo image.
//!
//! In: names and numbers. Out: Deployments and Services that echo, and one client pod on each node.

use crate::{
    cluster::Cluster,
    wait::{eventually, seconds},
};
use anyhow::{Result, ensure};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment},
    core::v1::{Pod, Service},
};
use kube::{ResourceExt, api::ListParams};
use serde_json::{Value, json};
use std::{collections::BTreeMap, env};

/// The echo image; the tag is the project's version.
#[must_use]
pub fn image() -> String {
    env::var("WEFT_E2E_ECHO_IMAGE")
        .unwrap_or_else(|_| format!("docker.io/weft-mesh/echo:{}", env!("CARGO_PKG_VERSION")))
}

/// Fields of a pod from the API, as environment variables.
fn environment(name: &str) -> Value {
    let field = |variable: &str, path: &str| json!({"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    json!([{"name": "ECHO_NAME", "value": name}, field("POD_NAME", "metadata.name"), field("NODE_NAME", "spec.nodeName")])
}

impl Cluster {
    /// A Deployment that echoes HTTP on 8080, gRPC on 9090, TCP on 9000 and UDP on 9001, spread over the nodes.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn echo(&self, namespace: &str, name: &str, replicas: u32) -> Result<Deployment> {
        self.echo_as(namespace, name, replicas, "default").await
    }

    /// The same under a ServiceAccount.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn echo_as(
        &self,
        namespace: &str,
        name: &str,
        replicas: u32,
        account: &str,
    ) -> Result<Deployment> {
        let labels = json!({"app": name});
        let spread = json!([{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                             "labelSelector": {"matchLabels": labels}}]);
        let container = json!({
            "name": "echo", "image": image(), "imagePullPolicy": "IfNotPresent", "args": ["serve"],
            "env": environment(name),
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1},
        });
        self.apply(
            namespace,
            json!({
                "metadata": {"name": name},
                "spec": {
                    "replicas": replicas, "selector": {"matchLabels": labels},
                    "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {"topologySpreadConstraints": spread, "containers": [container],
                                 "serviceAccountName": account, "terminationGracePeriodSeconds": 20},
                    },
                },
            }),
        )
        .await
    }

    /// A Service in front of an echo Deployment: `ports` are name, number and target port.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn service(&self, namespace: &str, name: &str, ports: &[(&str, u16, u16)]) -> Result<Service> {
        let ports: Vec<Value> = ports
            .iter()
            .map(|(name, port, target)| json!({"name": name, "port": port, "targetPort": target, "protocol": "TCP"}))
            .collect();
        self.apply(
            namespace,
            json!({"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": ports}}),
        )
        .await
    }

    /// Waits until a Deployment has rolled out.
    ///
    /// # Errors
    /// When it does not.
    pub async fn rolled_out(&self, namespace: &str, name: &str) -> Result<()> {
        eventually(&format!("{name} rolls out"), seconds(120), || async {
            let deployment = self.api::<Deployment>(namespace).get(name).await?;
            let status = deployment.status.clone().unwrap_or_default();
            let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            ensure!(status.observed_generation >= deployment.metadata.generation, "not seen yet");
            let numbers = (status.updated_replicas, status.ready_replicas, status.replicas);
            let all = Some(wanted).filter(|wanted| *wanted != 0);
            ensure!(numbers == (all, all, all), "{numbers:?} of {wanted}");
            Ok(())
        })
        .await
    }

    /// One client pod on each node, by node.
    ///
    /// # Errors
    /// When they do not come up.
    pub async fn clients(&self, namespace: &str) -> Result<BTreeMap<String, String>> {
        self.clients_as(namespace, "client", "default").await
    }

    /// The same, of another name and under a ServiceAccount.
    ///
    /// # Errors
    /// When they do not come up.
    pub async fn clients_as(
        &self,
        namespace: &str,
        name: &str,
        account: &str,
    ) -> Result<BTreeMap<String, String>> {
        let labels = json!({"app": name});
        let container = json!({"name": "client", "image": image(), "imagePullPolicy": "IfNotPresent", "args": ["sleep"],
                               "env": environment(name)});
        self.apply::<DaemonSet>(
            namespace,
            json!({
                "metadata": {"name": name},
                "spec": {
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {"containers": [container], "serviceAccountName": account,
                                 "terminationGracePeriodSeconds": 0},
                    },
                },
            }),
        )
        .await?;
        let nodes = self.nodes().await?.len();
        eventually("a client runs on each node", seconds(60), || async {
            let pods = self.pods(namespace, &format!("app={name}")).await?;
            let running = pods.iter().filter(|pod| is_ready(pod));
            let by_node: BTreeMap<_, _> =
                running.filter_map(|pod| Some((node(pod)?, pod.name_any()))).collect();
            ensure!(by_node.len() == nodes, "{} of {nodes}", by_node.len());
            Ok(by_node)
        })
        .await
    }

    /// The pods with these labels that are not on their way out.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn pods(&self, namespace: &str, labels: &str) -> Result<Vec<Pod>> {
        let pods = self.api::<Pod>(namespace).list(&ListParams::default().labels(labels)).await?;
        Ok(pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }
}

/// Whether a pod is ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The node that a pod runs on.
#[must_use]
pub fn node(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}

/// The address of a pod.
#[must_use]
pub fn address(pod: &Pod) -> Option<String> {
    pod.status.as_ref()?.pod_ip.clone()
}
