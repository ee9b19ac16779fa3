//! UDP: DNS with dig and CoreDNS, a syslog that never answers, and sessions whose server goes.

use crate::scene::Scene;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;
use weft_e2e::{
    process,
    wait::{eventually, seconds},
};

/// A name with an answer too large for most datagrams, so that a client asks again over TCP.
const COREFILE: &str = "example.org:5353 {\n  file /files/zone\n}\nwhoami.test:5353 {\n  whoami\n}\n";
const ZONE: &str = "$ORIGIN example.org.
@ 60 IN SOA ns admin 1 60 60 60 60
@ 60 IN NS ns
ns 60 IN A 192.0.2.53
www 60 IN A 192.0.2.80
large 60 IN TXT LARGE
";

#[tokio::test]
async fn dns_is_answered_over_udp_and_tcp_on_one_service() -> Result<()> {
    let scene = Scene::set("e2e-raw-dns").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    dns_server(&scene).await?;
    let (node, shell) = scene.shell().await?;
    cluster.rolled_out(namespace, "dns").await?;
    let ports = json!([{"name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP"},
                       {"name": "dns-tcp", "port": 53, "targetPort": 5353, "protocol": "TCP"}]);
    cluster.meshed(namespace, "dns", ports, &[("traffic-type", "udp")], "53 (udp)").await?;
    let dig = format!("dig +tries=1 +time=2 @{}", scene.host("dns"));
    let proxy = cluster.proxy_address(node).await?;
    for transport in ["+notcp", "+tcp"] {
        let printed = shell.run(&format!("{dig} {transport} +short www.example.org A")).await?;
        ensure!(printed.trim() == "192.0.2.80", "{transport}: {printed}");
        let asked = shell.run(&format!("{dig} {transport} whoami.test A")).await?;
        ensure!(asked.contains(&proxy), "{transport}: not through {proxy}: {asked}");
    }
    let cut = shell.run(&format!("{dig} large.example.org TXT")).await?;
    ensure!(cut.contains("Truncated, retrying in TCP mode") && cut.contains("ANSWER: 1"), "{cut}");
    let whole = shell.run(&format!("{dig} +notcp +ignore +bufsize=8192 large.example.org TXT")).await?;
    ensure!(whole.contains("ANSWER: 1") && whole.contains("(UDP)"), "{whole}");
    ensure!(whole.lines().any(|line| line.matches("\"w").count() == 20), "{whole}");
    // Each from a port of its own, which is a session of its own.
    let many = format!("for n in $(seq 100); do {dig} +short www.example.org A; done | sort | uniq -c");
    let printed = shell.run(&many).await?;
    ensure!(printed.split_whitespace().eq(["100", "192.0.2.80"]), "{printed}");
    scene.strike().await
}

/// CoreDNS, of the very image that serves the cluster, on two pods.
async fn dns_server(scene: &Scene) -> Result<()> {
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let served = cluster.api::<Deployment>("kube-system").get("coredns").await?;
    let pod = served.spec.and_then(|spec| spec.template.spec).context("CoreDNS has no pods")?;
    let image = pod.containers.first().and_then(|container| container.image.clone());
    let large = vec![format!("\"{}\"", "w".repeat(200)); 20].join(" ");
    let zone = ZONE.replace("LARGE", &large);
    cluster.files(namespace, "dns", &[("Corefile", COREFILE), ("zone", &zone)]).await?;
    let container = json!({
        "name": "dns", "image": image, "imagePullPolicy": "IfNotPresent", "args": ["-conf", "/files/Corefile"],
        "volumeMounts": [{"name": "files", "mountPath": "/files"}],
        "readinessProbe": {"tcpSocket": {"port": 5353}, "periodSeconds": 1},
    });
    let pod =
        json!({"containers": [container], "volumes": [{"name": "files", "secret": {"secretName": "dns"}}]});
    let labels = json!({"app": "dns"});
    let template = json!({"metadata": {"labels": labels}, "spec": pod});
    let spec = json!({"replicas": 2, "selector": {"matchLabels": labels}, "template": template});
    cluster.apply::<Deployment>(namespace, json!({"metadata": {"name": "dns"}, "spec": spec})).await.map(drop)
}

const RSYSLOG: &str = r#"
module(load="imudp")
input(type="imudp" port="5514")
template(name="plain" type="string" string="%msg%\n")
*.* action(type="omfile" file="/tmp/messages" template="plain")
"#;
/// How many messages are logged.
const MESSAGES: usize = 500;

#[tokio::test]
async fn every_datagram_of_a_sender_that_hears_nothing_arrives() -> Result<()> {
    let scene = Scene::set("e2e-syslog").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    cluster.files(namespace, "log", &[("rsyslog.conf", RSYSLOG)]).await?;
    let script = "exec rsyslogd -n -i NONE -f /files/rsyslog.conf";
    cluster.program(namespace, "log", 1, None, script).await?;
    let (_, shell) = scene.shell().await?;
    cluster.rolled_out(namespace, "log").await?;
    let ports = json!([{"name": "syslog", "port": 514, "targetPort": 5514, "protocol": "UDP"}]);
    cluster.meshed(namespace, "log", ports, &[("traffic-type", "udp")], "514 (udp)").await?;
    let (_, server) = cluster.shells_in(namespace, "app=log").await?.pop_first().context("no server")?;
    let said = || async { server.run("cat /tmp/messages 2>/dev/null || true").await };
    let log = format!("logger --rfc3164 --tag e2e --udp --port 514 --server {}", scene.host("log"));
    // A pod that is ready need not listen yet, and nobody says so.
    eventually("the server hears", seconds(20), || async {
        shell.run(&format!("{log} listening")).await?;
        ensure!(said().await?.contains("listening"), "nothing yet");
        Ok(())
    })
    .await?;
    // One after the other: a burst would fill the buffer of a socket somewhere, mesh or not.
    let script = format!(
        "seq {MESSAGES} | while read n; do echo \"message $n.\"; sleep 0.002; done | {log} --stderr 2>/dev/null"
    );
    shell.run(&script).await?;
    eventually("every message arrives", seconds(10), || async {
        let said = said().await?;
        let mut numbers: Vec<usize> = said.lines().filter_map(message).collect();
        numbers.sort_unstable();
        ensure!(numbers.iter().copied().eq(1..=MESSAGES), "{} of {MESSAGES}", numbers.len());
        Ok(())
    })
    .await?;
    scene.strike().await
}

fn message(line: &str) -> Option<usize> {
    line.trim().strip_prefix("message ")?.strip_suffix('.')?.parse().ok()
}

#[tokio::test]
async fn sessions_move_when_their_server_goes_and_when_it_dies() -> Result<()> {
    let scene = Scene::set("e2e-sessions").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let ports = json!([{"name": "echo", "port": 9001, "protocol": "UDP"}]);
    cluster
        .meshed_pods(namespace, "datagrams", "web", ports, &[("traffic-type", "udp")], "9001 (udp)")
        .await?;
    let (node, client) = scene.first()?;
    let place = format!("udp://{}:9001", scene.host("datagrams"));
    let talk = |sockets: u32, seconds: u32| {
        let count = sockets * seconds * 20;
        let text =
            format!("messages {place} --connections {sockets} --count {count} --interval 50ms --summary");
        client.start(text.split_whitespace().map(str::to_owned).collect())
    };

    let talking = talk(4, 75);
    let restart = json!({"spec": {"template": {"metadata": {"annotations": {"e2e/restart": "1"}}}}});
    cluster.merge::<Deployment>(namespace, "web", restart).await?;
    cluster.rolled_out(namespace, "web").await?;
    ensure!(!talking.is_finished(), "the clients ended before the rollout");
    let summary = talking.await??;
    summary.all_ok()?;
    let pods = scene.pods().await?;
    let moved = summary.pods.keys().any(|pod| pods.contains_key(pod));
    ensure!(summary.opened == 4 && moved, "none of {pods:?}: {summary:?}");
    ensure!(summary.peers.keys().eq([&cluster.proxy_address(node).await?]), "{summary:?}");

    let talking = talk(1, 45);
    for pod in pods.keys() {
        process::kill("/weft-echo", &format!("POD_NAME={pod}")).await?;
        eventually("it is back", seconds(60), || async {
            ensure!(scene.pods().await?.len() == 3, "not yet");
            Ok(())
        })
        .await?;
    }
    ensure!(!talking.is_finished(), "the client ended before all had died");
    let summary = talking.await??;
    summary.all_ok()?;
    ensure!(summary.opened == 1 && summary.pods.len() > 1, "it stayed where it was: {summary:?}");
    scene.strike().await
}
