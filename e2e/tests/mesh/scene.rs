//! The scene that most tests play on: the mesh, a Service `web` of three pods, and a client on each node.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use weft_e2e::{
    cluster::Cluster,
    traffic::ClientPod,
    wait::{eventually, seconds},
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
        let cluster = Cluster::connect().await?;
        cluster.installed().await?;
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

    /// Takes the scene down.
    pub async fn strike(self) -> Result<()> {
        self.cluster.delete_namespace(&self.namespace).await
    }
}
