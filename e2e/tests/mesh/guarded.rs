//! The scene of access control: a Service of every protocol, and clients of two accounts on each node.

use anyhow::{Result, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use weft_e2e::{
    cluster::Cluster,
    smi::{SPECS, Target},
    traffic::{ClientPod, Summary},
    wait::{eventually, seconds},
};

/// How the mesh is installed.
pub const GUARDED: [&str; 5] =
    ["--reset-values", "--set", "smi.installCRDs=true", "--set", "acl.enabled=true"];

/// A Service of every protocol under the ServiceAccount `web`, and clients of two accounts on each node.
pub struct Guarded {
    /// The cluster.
    pub cluster: Cluster,
    /// The namespace of the test.
    pub namespace: String,
    /// Clients of an account that may call, by node.
    pub friends: BTreeMap<String, ClientPod>,
    /// Clients of one that may not.
    pub strangers: BTreeMap<String, ClientPod>,
}

/// What comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Through {
    pub http: bool,
    pub grpc: bool,
    pub tcp: bool,
    pub udp: bool,
}

pub const NOTHING: Through = Through { http: false, grpc: false, tcp: false, udp: false };

impl Guarded {
    /// Sets the scene.
    pub async fn set(namespace: &str) -> Result<Self> {
        Self::with(namespace, &[]).await
    }

    /// The same on a mesh that is installed with these values besides.
    pub async fn with(namespace: &str, values: &[&str]) -> Result<Self> {
        let cluster = Cluster::connect().await?;
        cluster.install(&[&GUARDED, values].concat()).await?;
        cluster.fresh_namespace(namespace).await?;
        for account in ["web", "friend", "stranger"] {
            cluster.account(namespace, account).await?;
        }
        cluster.echo_as(namespace, "web", 3, "web").await?;
        let ports = json!([
            {"name": "http", "port": 80, "targetPort": 8080},
            {"name": "grpc", "port": 9090, "appProtocol": "kubernetes.io/h2c"},
            {"name": "tcp", "port": 9000, "appProtocol": "tcp"},
            {"name": "udp", "port": 9001, "protocol": "UDP"},
        ]);
        let clients = async |account: &str| {
            let pods = cluster.clients_as(namespace, account, account).await?;
            let client = |(node, pod)| {
                (node, ClientPod { cluster: cluster.clone(), namespace: namespace.to_owned(), pod })
            };
            anyhow::Ok(pods.into_iter().map(client).collect::<BTreeMap<_, _>>())
        };
        let (friends, strangers) = (clients("friend").await?, clients("stranger").await?);
        cluster.rolled_out(namespace, "web").await?;
        cluster.meshed(namespace, "web", ports, &[], "9001 (udp)").await?;
        Ok(Self { cluster, namespace: namespace.to_owned(), friends, strangers })
    }

    /// The mesh URL of the Service.
    pub fn url(&self) -> String {
        format!("http://web.{}.mesh/", self.namespace)
    }

    /// What comes through of a client.
    pub async fn through(&self, client: &ClientPod) -> Result<Through> {
        let host = format!("web.{}.mesh", self.namespace);
        let http = client.ask(&self.url(), &[]).await?;
        ensure!(matches!(http.status, 200 | 403), "{http:?}");
        ensure!(http.status == 200 || http.headers.contains_key("proxy-status"), "{http:?}");
        let call = async |text: String| {
            let summary: Summary = client.summary(&text.split_whitespace().collect::<Vec<_>>()).await?;
            anyhow::Ok(summary)
        };
        let grpc = call(format!("grpc http://{host}:9090 --summary")).await?;
        let denied = grpc.errors.keys().all(|error| error.starts_with("grpc 7 "));
        ensure!(grpc.ok == 1 || denied, "{grpc:?}");
        let tcp = call(format!("messages tcp://{host}:9000 --summary")).await?;
        ensure!(!tcp.errors.contains_key("timeout"), "a refused connection is not closed: {tcp:?}");
        let udp = call(format!("messages udp://{host}:9001 --timeout 1s --summary")).await?;
        Ok(Through { http: http.status == 200, grpc: grpc.ok == 1, tcp: tcp.ok == 1, udp: udp.ok == 1 })
    }

    /// Waits until just this comes through of friends on every node, and nothing of strangers.
    pub async fn lets(&self, what: Through) -> Result<()> {
        for (node, client) in &self.friends {
            eventually(&format!("{what:?} comes through on {node}"), seconds(30), || async {
                let through = self.through(client).await?;
                ensure!(through == what, "{through:?}");
                Ok(())
            })
            .await?;
        }
        for (node, client) in &self.strangers {
            let through = self.through(client).await?;
            ensure!(through == NOTHING, "of a stranger on {node}: {through:?}");
        }
        Ok(())
    }

    /// Opens what a rule says to friends.
    pub async fn open(&self, kind: &str, name: &str, matches: serde_json::Value) -> Result<()> {
        let Self { cluster, namespace, .. } = self;
        cluster.put(namespace, SPECS, kind, name, json!({"spec": {"matches": matches}})).await?;
        let target = Target { name, destination: "web", sources: &["friend"], rules: &[(kind, name)] };
        cluster.target(namespace, &target).await
    }

    /// Takes the scene down.
    pub async fn strike(self) -> Result<()> {
        self.cluster.delete_namespace(&self.namespace).await
    }
}
