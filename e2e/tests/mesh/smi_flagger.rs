//! Flagger drives a canary over our TrafficSplits, by the metrics of our proxies in a real Prometheus: one to promotion, and
//! one that fails back.

use crate::scene::Scene;
use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};
use std::{env, process::Stdio};
use tokio::process::{Child, Command};
use weft_contract::object::PROXY_ADMIN_PORT;
use weft_e2e::{
    program,
    wait::{eventually, seconds},
    workload::{address, is_ready},
};

const FLAGGER: &str = "flagger.app/v1beta1";
/// How long the clients run: a canary takes half a minute here, and so does one that fails.
const SECONDS: u32 = 240;

/// What of the requests went well, in percent, as a user would ask Prometheus.
const SUCCESS: &str = r#"
sum(rate(weft_requests_total{namespace="{{ namespace }}", service="{{ service }}", code!="5xx"}[{{ interval }}])) /
sum(rate(weft_requests_total{namespace="{{ namespace }}", service="{{ service }}"}[{{ interval }}])) * 100
"#;

#[tokio::test]
async fn flagger_promotes_a_canary_that_does_well_and_takes_back_one_that_fails() -> Result<()> {
    let scene = Scene::with("e2e-flagger", &["--set", "smi.installCRDs=true"]).await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    cluster.echo(namespace, "shop", 2).await?;
    let prometheus = prometheus(&scene).await?;
    let _flagger = flagger(&scene, &prometheus).await?;
    canary(&scene, &prometheus).await?;
    phase(&scene, "Initialized").await?;
    cluster.mesh_ready(namespace, "shop").await?;

    let (_, client) = scene.first()?;
    let url = scene.url("shop");
    eventually("the first version serves", seconds(30), || async {
        let summary = client.get(&url, 20).await?;
        summary.all_ok()?;
        ensure!(summary.pods.keys().all(|pod| pod.starts_with("shop-primary-")), "{summary:?}");
        Ok(())
    })
    .await?;
    let load = client.load(&url, 40, SECONDS);

    release(&scene, "second").await?;
    eventually("both versions are called while it is tried", seconds(90), || async {
        let summary = client.get(&url, 40).await?;
        let primary = summary.pods.keys().filter(|pod| pod.starts_with("shop-primary-")).count();
        ensure!(primary > 0 && primary < summary.pods.len(), "{summary:?}");
        Ok(())
    })
    .await?;
    phase(&scene, "Succeeded").await?;
    serves(&scene, "second").await?;

    release(&scene, "third").await?;
    eventually("it fails and is taken back", seconds(150), || async {
        if state(&scene).await?["phase"] == "Failed" {
            return Ok(());
        }
        let pods = cluster.pods(namespace, "app=shop").await?;
        for address in pods.iter().filter(|pod| is_ready(pod)).filter_map(address) {
            client.switch(&address, "fail?status=500").await?;
        }
        bail!("not yet")
    })
    .await?;
    serves(&scene, "second").await?;
    load.abort();
    scene.strike().await
}

/// A Prometheus that asks every proxy each second; where it is.
async fn prometheus(scene: &Scene) -> Result<String> {
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let proxies = cluster.proxies().await?;
    let targets: Vec<String> =
        proxies.keys().map(|address| format!("{address}:{PROXY_ADMIN_PORT}")).collect();
    let job = json!({"job_name": "weft", "static_configs": [{"targets": targets}]});
    let every = json!({"scrape_interval": "1s", "scrape_timeout": "1s"});
    let file = json!({"global": every, "scrape_configs": [job]}); // JSON is YAML
    cluster.files(namespace, "prometheus", &[("prometheus.yml", &file.to_string())]).await?;
    let script = "exec prometheus --config.file=/files/prometheus.yml --storage.tsdb.path=/tmp/data";
    cluster.program(namespace, "prometheus", 1, Some(9090), script).await?;
    cluster.rolled_out(namespace, "prometheus").await?;
    let (_, pod) =
        cluster.shells_in(namespace, "app=prometheus").await?.pop_first().context("no Prometheus")?;
    let place = format!("http://{}:9090", pod.address);
    let url = format!("{place}/api/v1/query?query=count(up%7Bjob=%22weft%22%7D==1)");
    eventually("it reads the metrics of every proxy", seconds(30), || async {
        let answer: Value = serde_json::from_str(&program::run("curl", &["--silent", &url]).await?)?;
        let up = answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned);
        ensure!(up == Some(targets.len().to_string()), "{answer}");
        Ok(())
    })
    .await?;
    Ok(place)
}

/// Flagger, as a process of this machine, with its CRDs in the cluster; it ends with the test.
async fn flagger(scene: &Scene, prometheus: &str) -> Result<Child> {
    let variable = |name: &str| env::var(name).with_context(|| format!("{name} is not set: see hack/e2e"));
    let kubeconfig = scene.cluster.kubeconfig.display().to_string();
    let definitions = variable("WEFT_E2E_FLAGGER_CRDS")?;
    program::run(
        &variable("WEFT_E2E_KUBECTL")?,
        &["--kubeconfig", &kubeconfig, "apply", "--server-side", "-f", &definitions],
    )
    .await?;
    let log = env::temp_dir().join(format!("weft-e2e-flagger-{}.log", std::process::id()));
    let log = std::fs::File::create(log)?;
    let child = Command::new(variable("WEFT_E2E_FLAGGER")?)
        .args(["-kubeconfig", &kubeconfig, "-namespace", &scene.namespace, "-metrics-server", prometheus])
        .args(["-mesh-provider", "smi:v1alpha3:weft", "-control-loop-interval", "2s", "-port", "0"])
        .env_remove("KUBECONFIG")
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log))
        .kill_on_drop(true)
        .spawn();
    child.context("Flagger cannot be run")
}

/// What Flagger is to do: 25 % more every few seconds, as long as 99 of 100 requests do well.
async fn canary(scene: &Scene, prometheus: &str) -> Result<()> {
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let provider = json!({"type": "prometheus", "address": prometheus});
    let template = json!({"spec": {"provider": provider, "query": SUCCESS}});
    cluster.put(namespace, FLAGGER, "MetricTemplate", "success", template).await?;
    let metric = json!({"name": "success", "templateRef": {"name": "success"}, "thresholdRange": {"min": 99},
                        "interval": "10s"});
    let analysis =
        json!({"interval": "5s", "threshold": 3, "maxWeight": 75, "stepWeight": 25, "metrics": [metric]});
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"});
    let service = json!({"port": 80, "targetPort": 8080});
    let spec =
        json!({"targetRef": target, "service": service, "progressDeadlineSeconds": 60, "analysis": analysis});
    cluster.put(namespace, FLAGGER, "Canary", "shop", json!({"spec": spec})).await.map(drop)
}

/// What Flagger says of the canary.
async fn state(scene: &Scene) -> Result<Value> {
    let canary = scene.cluster.kind(&scene.namespace, FLAGGER, "Canary").get("shop").await?;
    Ok(canary.data["status"].clone())
}

async fn phase(scene: &Scene, wanted: &str) -> Result<()> {
    eventually(&format!("the canary is {wanted}"), seconds(150), || async {
        let state = state(scene).await?;
        ensure!(state["phase"] == wanted, "{state}");
        Ok(())
    })
    .await
}

/// A new version of the shop, which says this of itself.
async fn release(scene: &Scene, version: &str) -> Result<()> {
    let deployment = scene.cluster.api::<Deployment>(&scene.namespace).get("shop").await?;
    let mut containers = serde_json::to_value(&deployment)?["spec"]["template"]["spec"]["containers"].take();
    let variables = containers[0]["env"].as_array_mut().context("no variables")?;
    variables.retain(|variable| variable["name"] != "ECHO_NAME");
    variables.push(json!({"name": "ECHO_NAME", "value": version}));
    let change = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    scene.cluster.merge::<Deployment>(&scene.namespace, "shop", change).await.map(drop)
}

/// Waits until only pods of this version answer, and those that Flagger keeps for good.
async fn serves(scene: &Scene, version: &str) -> Result<()> {
    let (_, client) = scene.first()?;
    eventually(&format!("only {version} serves"), seconds(60), || async {
        let outcomes = client.outcomes(&["get", &scene.url("shop"), "--count", "40", "--json"]).await?;
        for outcome in &outcomes {
            ensure!(outcome.said(&["service"]) == Some(version), "{outcome:?}");
            let pod = outcome.said(&["pod"]).unwrap_or_default();
            ensure!(pod.starts_with("shop-primary-"), "{pod}");
        }
        Ok(())
    })
    .await
}
