//! Measures how long it takes from a pod being Ready until every node's proxy routes to it.
//!
//! In: `WEFT_E2E_KUBECONFIG`, a cluster with the mesh; how many pods to measure and how many other Services to fill the
//! cluster with. Out: p50, p99 and the largest in milliseconds. The clock of each pod starts when a watch shows its
//! condition Ready, and stops when the last node's proxy, asked without pause, has it as a ready endpoint in force.

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use k8s_openapi::api::{
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use std::{env, time::Duration};
use tokio::time::{Instant, timeout};
use weft_contract::object::PROXY_ADMIN_PORT;
use weft_e2e::{
    cluster::Cluster,
    wait::{eventually, seconds},
    workload::{address, image, is_ready},
};

const NAMESPACE: &str = "bench-routable";
/// Longer than this is a failure, not a figure.
const LIMIT: Duration = Duration::from_secs(30);
/// Endpoints of each Service that fills the cluster.
const ENDPOINTS: usize = 10;

type Asker = Client<HttpConnector, Empty<hyper::body::Bytes>>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut numbers = env::args().skip(1);
    let mut number = |default: usize| numbers.next().map_or(Ok(default), |text| text.parse());
    let usage = "usage: routable [PODS [OTHER_SERVICES]]";
    let (pods, others) = (number(50).context(usage)?, number(0).context(usage)?);
    ensure!(pods > 0, usage);
    let cluster = Cluster::connect().await?;
    cluster.fresh_namespace(NAMESPACE).await?;
    fill(&cluster, others).await?;
    cluster.service(NAMESPACE, "web", &[("http", 80, 8080)]).await?;
    let last = if others == 0 { "web".to_owned() } else { format!("other-{}", others - 1) };
    eventually("the mesh knows all Services", seconds(180), || async {
        let proxies = cluster.proxies().await?;
        for proxy in proxies.keys() {
            ensure!(!service(&asker(), proxy, &last).await?.is_null(), "{proxy} does not");
        }
        Ok(())
    })
    .await?;

    let mut figures = Vec::with_capacity(pods);
    for index in 0..pods {
        figures.push(measure(&cluster, index).await?);
        if (index + 1) % 10 == 0 {
            eprintln!("{} of {pods} pods", index + 1);
        }
    }
    figures.sort_unstable();
    let quantile = |part: usize| figures[(figures.len() * part / 100).min(figures.len() - 1)].as_millis();
    let nodes = cluster.nodes().await?.len();
    println!(
        "pod Ready -> routable on all {nodes} nodes, {pods} pods, {} Services: p50 {} ms, p99 {} ms, largest {} ms",
        others + 1,
        quantile(50),
        quantile(99),
        quantile(100)
    );
    cluster.delete_namespace(NAMESPACE).await
}

/// Fills the cluster with Services that have endpoints, though nobody behind them.
async fn fill(cluster: &Cluster, others: usize) -> Result<()> {
    let (services, slices): (Api<Service>, Api<EndpointSlice>) =
        (cluster.api(NAMESPACE), cluster.api(NAMESPACE));
    let make = |number: usize| {
        let (services, slices, name) = (services.clone(), slices.clone(), format!("other-{number}"));
        async move {
            let ports = json!([{"name": "http", "port": 80}]);
            let service = json!({"metadata": {"name": name}, "spec": {"ports": ports}});
            // Documentation addresses (RFC 5737), which nothing here answers.
            let endpoints: Vec<Value> =
                (0..ENDPOINTS).map(|last| json!({"addresses": [format!("192.0.2.{}", last + 1)]})).collect();
            let slice = json!({
                "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}}, "addressType": "IPv4",
                "ports": ports, "endpoints": endpoints,
            });
            services.create(&PostParams::default(), &serde_json::from_value(service)?).await?;
            let mut slice: EndpointSlice = serde_json::from_value(slice)?;
            slice.ports.iter_mut().flatten().for_each(|port| port.port = Some(8080));
            slices.create(&PostParams::default(), &slice).await?;
            anyhow::Ok(())
        }
    };
    stream::iter(0..others).map(make).buffer_unordered(8).try_collect().await
}

/// Makes one pod of `web`, measures it, and removes it.
async fn measure(cluster: &Cluster, index: usize) -> Result<Duration> {
    let name = format!("web-{index}");
    let pods: Api<Pod> = cluster.api(NAMESPACE);
    let container = json!({
        "name": "echo", "image": image(), "imagePullPolicy": "IfNotPresent", "args": ["serve", "--drain", "0s"],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
    });
    let pod = json!({
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    });
    let proxies: Vec<String> = cluster.proxies().await?.into_keys().collect();
    ensure!(!proxies.is_empty(), "no proxy is ready");
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = std::pin::pin!(watcher(pods.clone(), config).applied_objects());
    pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    let ready = async {
        while let Some(pod) = events.try_next().await? {
            if is_ready(&pod) {
                return address(&pod).context("a ready pod without an address");
            }
        }
        anyhow::bail!("the watch ended")
    };
    let address = timeout(LIMIT, ready).await.with_context(|| format!("{name} does not get ready"))??;
    let start = Instant::now();
    let routable = try_join_all(proxies.iter().map(|proxy| routes_to(proxy, &address)));
    timeout(LIMIT, routable).await.with_context(|| format!("{name} is not routable everywhere"))??;
    let took = start.elapsed();
    pods.delete(&name, &DeleteParams::default().grace_period(0)).await?;
    Ok(took)
}

/// Returns when a proxy has the address as a ready endpoint in force.
async fn routes_to(proxy: &str, address: &str) -> Result<()> {
    let asker = asker();
    loop {
        let service = service(&asker, proxy, "web").await?;
        let mut endpoints = service["ports"][0]["endpoints"].as_array().into_iter().flatten();
        if endpoints.any(|endpoint| endpoint["address"] == address && endpoint["ready"] != false) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn asker() -> Asker {
    Client::builder(TokioExecutor::new()).build_http()
}

/// A Service as a proxy has it in force; null where it has none of that name.
async fn service(asker: &Asker, proxy: &str, name: &str) -> Result<Value> {
    let uri = format!("http://{proxy}:{PROXY_ADMIN_PORT}/debug/config/{NAMESPACE}/{name}").parse()?;
    let response = asker.get(uri).await?;
    if response.status() == hyper::StatusCode::NOT_FOUND {
        return Ok(Value::Null);
    }
    Ok(serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?)
}
