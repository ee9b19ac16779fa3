//! The mesh on the cluster: installed, asked and uninstalled as a user would.
//!
//! In: a cluster. Out: the chart's release, the proxies' pods by node and address, Events, and the Corefile.

use crate::{
    cluster::Cluster,
    traffic::ClientPod,
    wait::{eventually, seconds},
    workload::{address, is_ready, node},
};
use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Service},
    events::v1::Event,
    networking::v1::NetworkPolicy,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta},
};
use std::{collections::BTreeMap, env, path::PathBuf};
use tokio::process::Command;
use weft_contract::object::PROXY_ADMIN_PORT;

/// The namespace that tests install the mesh into.
pub const NAMESPACE: &str = "weft-system";
/// The zones of the mesh.
pub const ZONES: [&str; 3] = ["mesh", "maesh", "traefik.mesh"];
/// The label of shadow Services.
pub const SHADOW: &str = "weft.mesh/shadow=true";
/// The labels of the proxies' pods.
pub const PROXY: &str = "app.kubernetes.io/name=weft,app.kubernetes.io/component=proxy";
/// The labels of the operator's pods.
pub const OPERATOR: &str = "app.kubernetes.io/name=weft,app.kubernetes.io/component=operator";

impl Cluster {
    /// Runs helm against this cluster, and no other.
    ///
    /// # Errors
    /// When it fails, with what it printed.
    pub async fn helm(&self, arguments: &[&str]) -> Result<String> {
        let helm = env::var("WEFT_E2E_HELM").unwrap_or_else(|_| "helm".into());
        let mut command = Command::new(helm);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["--namespace", NAMESPACE]).args(arguments);
        let output = command.env_remove("KUBECONFIG").output().await.context("helm cannot be run")?;
        let printed =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "helm {arguments:?} failed: {printed}");
        Ok(printed)
    }

    /// Installs the mesh, or upgrades it, and waits until it is ready, its names included.
    ///
    /// # Errors
    /// When that fails.
    pub async fn install(&self, more: &[&str]) -> Result<()> {
        self.install_chart(more).await?;
        self.dns_is_patched().await
    }

    /// Installs the chart, or upgrades it, and waits until its pods are ready.
    ///
    /// # Errors
    /// When that fails.
    pub async fn install_chart(&self, more: &[&str]) -> Result<()> {
        let chart = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../helm/weft");
        let chart = chart.to_str().context("the chart's path")?.to_owned();
        let mut arguments =
            vec!["upgrade", "--install", "weft", &chart, "--create-namespace", "--wait", "--timeout", "3m"];
        arguments.extend(more);
        self.helm(&arguments).await.map(drop)
    }

    /// Makes sure that the mesh is installed with the chart's defaults.
    ///
    /// # Errors
    /// When it cannot be.
    pub async fn installed(&self) -> Result<()> {
        self.install(&["--reset-values"]).await
    }

    /// Uninstalls the mesh.
    ///
    /// # Errors
    /// When that fails.
    pub async fn uninstall(&self) -> Result<()> {
        self.helm(&["uninstall", "weft", "--ignore-not-found", "--wait", "--timeout", "3m"]).await.map(drop)
    }

    /// The Corefile of the cluster's DNS.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn corefile(&self) -> Result<String> {
        let configmap = self.api::<ConfigMap>("kube-system").get("coredns").await?;
        configmap.data.and_then(|mut data| data.remove("Corefile")).context("no Corefile")
    }

    /// Waits until the Corefile, or the ConfigMap of custom blocks beside it, has the mesh's zones.
    ///
    /// # Errors
    /// When it does not get them.
    pub async fn dns_is_patched(&self) -> Result<()> {
        eventually("the Corefile is patched", seconds(60), || async {
            let custom = self.api::<ConfigMap>("kube-system").get_opt("coredns-custom").await?;
            let custom = custom.and_then(|custom| custom.data).unwrap_or_default();
            let corefile = self.corefile().await? + custom.get("weft.server").map_or("", String::as_str);
            ensure!(corefile.contains("mesh:53"), "{corefile}");
            Ok(())
        })
        .await
    }

    /// The ready proxies' nodes, by the address of their pods.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn proxies(&self) -> Result<BTreeMap<String, String>> {
        let pods = self.pods(NAMESPACE, PROXY).await?;
        let ready = pods.iter().filter(|pod| is_ready(pod));
        Ok(ready.filter_map(|pod| Some((address(pod)?, node(pod)?))).collect())
    }

    /// The name of the proxy's pod on a node.
    ///
    /// # Errors
    /// When there is none that is ready.
    pub async fn proxy_on(&self, wanted: &str) -> Result<String> {
        let pods = self.pods(NAMESPACE, PROXY).await?;
        let mut there = pods.iter().filter(|pod| is_ready(pod) && node(pod).as_deref() == Some(wanted));
        there.next().map(ResourceExt::name_any).with_context(|| format!("no ready proxy on {wanted}"))
    }

    /// The address of the ready proxy on a node.
    ///
    /// # Errors
    /// When there is none.
    pub async fn proxy_address(&self, wanted: &str) -> Result<String> {
        let proxies = self.proxies().await?;
        let address = proxies.into_iter().find(|(_, node)| node == wanted).map(|(address, _)| address);
        address.with_context(|| format!("no ready proxy on {wanted}"))
    }

    /// Where the proxies listen for a port of a Service: the target port of its shadow Service.
    ///
    /// # Errors
    /// When it has none.
    pub async fn listener_port(&self, namespace: &str, name: &str, port: i32) -> Result<i32> {
        let shadows = self.shadows().await?;
        let is_it = |shadow: &&Service| {
            let annotations = shadow.annotations();
            annotations.get("weft.mesh/service-namespace").is_some_and(|of| of == namespace)
                && annotations.get("weft.mesh/service-name").is_some_and(|of| of == name)
        };
        let ports = shadows.iter().find(is_it).and_then(|shadow| shadow.spec.as_ref()?.ports.as_ref());
        let target = ports.into_iter().flatten().find(|of| of.port == port);
        match target.and_then(|port| port.target_port.clone()) {
            Some(IntOrString::Int(number)) => Ok(number),
            other => bail!("port {port} of {namespace}/{name} has no target port: {other:?}"),
        }
    }

    /// The shadow Services.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn shadows(&self) -> Result<Vec<Service>> {
        Ok(self.api::<Service>(NAMESPACE).list(&ListParams::default().labels(SHADOW)).await?.items)
    }

    /// Waits for an Event of this reason about an object, with this text in its note.
    ///
    /// # Errors
    /// When none comes.
    pub async fn event(&self, namespace: &str, name: &str, reason: &str, text: &str) -> Result<Event> {
        let events: Api<Event> = self.api(namespace);
        eventually(&format!("an Event {reason} about {name}"), seconds(90), || async {
            let about = format!("regarding.name={name},reason={reason}");
            let list = events.list(&ListParams::default().fields(&about)).await?;
            let with_text =
                list.items.iter().find(|event| event.note.as_deref().unwrap_or_default().contains(text));
            with_text.cloned().with_context(|| {
                let notes: Vec<_> = list.items.iter().filter_map(|event| event.note.clone()).collect();
                format!("{notes:?} do not contain {text:?}")
            })
        })
        .await
    }

    /// Removes the Events about an object, so that only new ones are found.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn forget_events(&self, namespace: &str, name: &str) -> Result<()> {
        let about = ListParams::default().fields(&format!("regarding.name={name}"));
        let events: Api<Event> = self.api(namespace);
        events.delete_collection(&DeleteParams::default(), &about).await?;
        Ok(())
    }

    /// Waits until a Service is said to be ready.
    ///
    /// # Errors
    /// When it is not.
    pub async fn mesh_ready(&self, namespace: &str, name: &str) -> Result<Event> {
        self.event(namespace, name, "MeshReady", "").await
    }

    /// The NetworkPolicies of the mesh, in all namespaces.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn walls(&self) -> Result<Vec<NetworkPolicy>> {
        let policies: Api<NetworkPolicy> = Api::all(self.client.clone());
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=weft-operator");
        Ok(policies.list(&ours).await?.items)
    }

    /// Demands that nothing of the mesh's is left but what `helm` itself leaves: an empty namespace.
    ///
    /// # Errors
    /// Says what is left.
    pub async fn nothing_left(&self) -> Result<()> {
        let ours = |metadata: &ObjectMeta| metadata.name.clone().filter(|name| name.starts_with("weft"));
        let mut left: Vec<String> = Vec::new();
        let all = ListParams::default();
        left.extend(
            self.api::<Service>(NAMESPACE)
                .list(&all)
                .await?
                .iter()
                .filter_map(|object| ours(&object.metadata)),
        );
        left.extend(
            self.api::<ConfigMap>(NAMESPACE)
                .list(&all)
                .await?
                .iter()
                .filter_map(|object| ours(&object.metadata)),
        );
        let leases: Api<k8s_openapi::api::coordination::v1::Lease> = self.api(NAMESPACE);
        left.extend(leases.list(&all).await?.iter().filter_map(|object| ours(&object.metadata)));
        let roles: Api<k8s_openapi::api::rbac::v1::ClusterRole> = Api::all(self.client.clone());
        left.extend(roles.list(&all).await?.iter().filter_map(|object| ours(&object.metadata)));
        let roles: Api<k8s_openapi::api::rbac::v1::Role> = self.api("kube-system");
        left.extend(roles.list(&all).await?.iter().filter_map(|object| ours(&object.metadata)));
        left.extend(self.walls().await?.iter().map(|wall| format!("the wall {}", wall.name_any())));
        if left.is_empty() { Ok(()) } else { bail!("left behind: {left:?}") }
    }
}

impl ClientPod {
    /// The lines of a proxy's metrics that contain all of these texts and do not stand at zero.
    ///
    /// # Errors
    /// When the proxy does not answer.
    pub async fn metrics(&self, node: &str, texts: &[&str]) -> Result<Vec<String>> {
        self.metrics_of(&self.cluster.proxy_address(node).await?, texts).await
    }

    /// The same of the proxy at an address, which may be on its way out.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics_of(&self, address: &str, texts: &[&str]) -> Result<Vec<String>> {
        let url = format!("http://{address}:{PROXY_ADMIN_PORT}/metrics");
        let printed = self.run(&["get", &url]).await?;
        let lines = printed.lines().filter(|line| !line.starts_with('#') && !line.ends_with(" 0"));
        Ok(lines.filter(|line| texts.iter().all(|text| line.contains(text))).map(str::to_owned).collect())
    }

    /// Waits until a URL answers through the proxy of this client's own node, and only that; `node` is that node.
    ///
    /// # Errors
    /// When it does not.
    pub async fn goes_through(&self, url: &str, node: &str) -> Result<()> {
        eventually(&format!("{url} through the proxy of {node}"), seconds(60), || async {
            let summary = self.get(url, 5).await?;
            summary.all_ok()?;
            let proxies = self.cluster.proxies().await?;
            for peer in summary.peers.keys() {
                ensure!(
                    proxies.get(peer).is_some_and(|of| of == node),
                    "{peer} is not the proxy of {node}: {proxies:?}"
                );
            }
            Ok(())
        })
        .await
    }
}
