//! The scene that most tests play on: the mesh, a Service `web` of three pods, and a client on each node.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use weft_e2e::{
    cluster::Cluster,
    mix::Targets,
    programs::Shell,
    traffic::ClientPod,
    wait::{eventually, seconds},
    workload::{address, is_ready},
};

/// The scene.
pub struct Scene {
    /// The cluster.
    pub cluster: Cluster,
    /// The namespace of the test.
    pub namespace: String,
    /// The client on each node, by node.
    pub clients: BTreeMap<String, ClientPod>,
}

impl Scene {
    /// Sets the scene in a fresh namespace: `web` with HTTP on port 80 and `ledger`, the same pods, with TCP on 9000.
    pub async fn set(namespace: &str) -> Result<Self> {
        Self::with(namespace, &[]).await
    }

    /// The same on a mesh that is installed with these values.
    pub async fn with(namespace: &str, values: &[&str]) -> Result<Self> {
        let cluster = Cluster::connect().await?;
        let all: Vec<&str> = ["--reset-values"].iter().chain(values).copied().collect();
        cluster.install(&all).await?;
        cluster.fresh_namespace(namespace).await?;
        cluster.echo(namespace, "web", 3).await?;
        cluster.service(namespace, "web", &[("http", 80, 8080)]).await?;
        let clients = cluster.clients(namespace).await?;
        cluster.rolled_out(namespace, "web").await?;
        cluster.mesh_ready(namespace, "web").await?;
        let client = |(node, pod)| {
            (node, ClientPod { cluster: cluster.clone(), namespace: namespace.to_owned(), pod })
        };
        let clients = clients.into_iter().map(client).collect();
        let scene = Self { cluster: cluster.clone(), namespace: namespace.to_owned(), clients };
        scene.resolves().await?;
        Ok(scene)
    }

    /// Waits until every pod of the cluster's DNS has read its Corefile again: one that has not answers the first
    /// questions after an install with an error.
    async fn resolves(&self) -> Result<()> {
        let (_, client) = self.first()?;
        let name = format!("web.{}.mesh", self.namespace);
        eventually("mesh names resolve every time", seconds(60), || async {
            for _ in 0..10 {
                client.run(&["resolve", &name, "--type", "A"]).await?;
            }
            Ok(())
        })
        .await
    }

    /// The mesh URL of a Service of the scene.
    pub fn url(&self, service: &str) -> String {
        format!("http://{service}.{}.mesh/", self.namespace)
    }

    /// The first node with its client.
    pub fn first(&self) -> Result<(&String, &ClientPod)> {
        self.clients.iter().next().context("no client")
    }

    /// A pod of Debian's programs on the first node, and that node.
    pub async fn shell(&self) -> Result<(&String, Shell)> {
        let (node, _) = self.first()?;
        let shell = self.cluster.shells(&self.namespace).await?.remove(node);
        Ok((node, shell.context("no shell")?))
    }

    /// The name of a Service of the scene in the mesh.
    pub fn host(&self, service: &str) -> String {
        format!("{service}.{}.mesh", self.namespace)
    }

    /// A Service `grpc` on port 9090 in front of the pods of `web`. Its port says by `appProtocol` that it speaks HTTP/2, or
    /// the Service does by an annotation.
    pub async fn grpc(&self, annotated: bool) -> Result<()> {
        let mut port = json!({"name": "grpc", "port": 9090, "targetPort": 9090});
        let mut annotations = json!({});
        if annotated {
            annotations["weft.mesh/scheme"] = "h2c".into();
        } else {
            port["appProtocol"] = "kubernetes.io/h2c".into();
        }
        let service = json!({"metadata": {"name": "grpc", "annotations": annotations},
                             "spec": {"selector": {"app": "web"}, "ports": [port]}});
        self.cluster.apply::<Service>(&self.namespace, service).await?;
        self.cluster.mesh_ready(&self.namespace, "grpc").await?;
        let (_, client) = self.first()?;
        eventually("gRPC answers", seconds(30), || async {
            client.summary(&["grpc", &self.grpc_url(), "--count", "5", "--summary"]).await?.all_ok()
        })
        .await
    }

    /// The mesh URL of that Service.
    pub fn grpc_url(&self) -> String {
        format!("http://grpc.{}.mesh:9090", self.namespace)
    }

    /// Where clients of every kind call.
    pub fn targets(&self) -> Targets {
        let host = |service| format!("{service}.{}.mesh", self.namespace);
        Targets { http: host("web"), grpc: host("grpc") }
    }

    /// The same Services by their ordinary names, which lead past the mesh.
    pub fn targets_past_the_mesh(&self) -> Targets {
        let host = |service| format!("{service}.{}.svc.cluster.local", self.namespace);
        Targets { http: host("web"), grpc: host("grpc") }
    }

    /// Sets an annotation of `web`, or removes it.
    pub async fn annotate(&self, key: &str, value: impl Into<Value>) -> Result<()> {
        let annotations = json!({format!("weft.mesh/{key}"): value.into()});
        let change = json!({"metadata": {"annotations": annotations}});
        self.cluster.merge::<Service>(&self.namespace, "web", change).await.map(drop)
    }

    /// The addresses of the ready pods of `web`, by name.
    pub async fn pods(&self) -> Result<BTreeMap<String, String>> {
        let pods = self.cluster.pods(&self.namespace, "app=web").await?;
        let ready = pods.iter().filter(|pod| is_ready(pod));
        Ok(ready.filter_map(|pod| Some((pod.name_any(), address(pod)?))).collect())
    }

    /// Takes the scene down.
    pub async fn strike(self) -> Result<()> {
        self.cluster.delete_namespace(&self.namespace).await
    }
}
