//! TCP with clients and servers of others: Redis, PostgreSQL, and HAProxy as a server that is told who calls.

use crate::scene::Scene;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use serde_json::json;
use weft_e2e::{
    programs::Shell,
    wait::{eventually, seconds},
};

const REDIS: &str = "exec redis-server --port 6379 --save '' --protected-mode no";

#[tokio::test]
async fn redis_answers_pipelines_and_large_values_byte_for_byte() -> Result<()> {
    let scene = Scene::set("e2e-redis").await?;
    let (node, shell) = redis(&scene).await?;
    let redis = format!("redis-cli -h {}", scene.host("redis"));
    let info = shell.run(&format!("{redis} client info")).await?;
    let proxy = scene.cluster.proxy_address(node).await?;
    ensure!(info.contains(&format!(" addr={proxy}:")), "not through {proxy}: {info}");
    let piped = shell.run(&format!("seq 10000 | sed 's/.*/SET key& &/' | {redis} --pipe")).await?;
    ensure!(piped.contains("errors: 0, replies: 10000"), "{piped}");
    let large = format!(
        "head -c 5000000 /dev/urandom >/tmp/large && {redis} -x set large </tmp/large >/dev/null && sha256sum </tmp/large &&
         {redis} get large | head -c 5000000 | sha256sum && {redis} dbsize"
    );
    let printed = shell.run(&large).await?;
    let sums: Vec<&str> = printed.lines().filter(|line| line.ends_with(" -")).collect();
    ensure!(sums.len() == 2 && sums[0] == sums[1], "other bytes came back: {printed}");
    ensure!(printed.trim_end().ends_with("10001"), "{printed}");
    let bench = format!("redis-benchmark -h {} -q -n 20000 -c 20 -P 16 -t set,get", scene.host("redis"));
    let printed = shell.run(&bench).await?;
    let both = ["SET: ", "GET: "].iter().all(|command| printed.contains(command));
    ensure!(both && !printed.to_lowercase().contains("error"), "{printed}");
    scene.strike().await
}

#[tokio::test]
async fn a_subscriber_outlasts_changes_elsewhere_and_the_rollout_of_another_service() -> Result<()> {
    let scene = Scene::set("e2e-subscriber").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let (_, shell) = redis(&scene).await?;
    let redis = format!("redis-cli -h {}", scene.host("redis"));
    let listening = {
        let (shell, script) = (shell.clone(), format!("{redis} subscribe news >/tmp/news 2>&1"));
        tokio::spawn(async move { shell.attempt(&script).await })
    };
    let listener = || async {
        let clients = shell.run(&format!("{redis} client list type pubsub")).await?;
        let id = clients.split_whitespace().find(|word| word.starts_with("id=")).map(str::to_owned);
        id.with_context(|| format!("nobody listens: {clients:?}"))
    };
    let before = eventually("somebody listens", seconds(20), listener).await?;
    for number in 0..5 {
        scene.annotate("response-headers", format!("set x-change={number}")).await?;
        let attempts = (2 + number % 2).to_string();
        let change = json!({"metadata": {"annotations": {"weft.mesh/retry-attempts": attempts}}});
        cluster.merge::<Service>(namespace, "web", change).await?;
    }
    let restart = json!({"spec": {"template": {"metadata": {"annotations": {"e2e/restart": "1"}}}}});
    cluster.merge::<Deployment>(namespace, "web", restart).await?;
    cluster.rolled_out(namespace, "web").await?;
    let (_, client) = scene.first()?;
    eventually("the last change is in force", seconds(30), || async {
        let outcome = client.ask(&scene.url("web"), &[]).await?;
        ensure!(outcome.headers.get("x-change").is_some_and(|change| change == "4"), "{outcome:?}");
        Ok(())
    })
    .await?;
    let heard = shell.run(&format!("{redis} publish news hello")).await?;
    ensure!(heard.trim() == "1", "{heard} heard it");
    eventually("the message comes", seconds(10), || async {
        let printed = shell.run("cat /tmp/news").await?;
        ensure!(printed.contains("hello"), "{printed}");
        Ok(())
    })
    .await?;
    let after = listener().await?;
    ensure!(before == after && !listening.is_finished(), "{before} became {after}");
    scene.strike().await
}

/// Redis in the mesh, and a shell on the first node.
async fn redis(scene: &Scene) -> Result<(&String, Shell)> {
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    cluster.program(namespace, "redis", 1, Some(6379), REDIS).await?;
    let shell = scene.shell().await?;
    cluster.rolled_out(namespace, "redis").await?;
    let ports = json!([{"name": "redis", "port": 6379}]);
    cluster.meshed(namespace, "redis", ports, &[("traffic-type", "tcp")], "6379 (tcp)").await?;
    Ok(shell)
}

/// With a certificate of its own, for PostgreSQL's clients ask for TLS in a way of its own, after the connection is there.
const POSTGRES: &str = "cd /tmp && initdb --no-sync --auth=trust --username=postgres data >/dev/null &&
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=ledger -days 2 \
      -keyout data/server.key -out data/server.crt 2>/dev/null && chmod 600 data/server.key &&
    echo 'host all all all trust' >>data/pg_hba.conf &&
    exec postgres -D data -k /tmp -c listen_addresses='*' -c ssl=on -c fsync=off -c shared_buffers=16MB";

#[tokio::test]
async fn postgresql_answers_queries_with_tls_and_without() -> Result<()> {
    let scene = Scene::set("e2e-postgres").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    cluster.program(namespace, "ledger", 1, Some(5432), POSTGRES).await?;
    let (node, shell) = scene.shell().await?;
    cluster.rolled_out(namespace, "ledger").await?;
    let ports = json!([{"name": "postgres", "port": 5432}]);
    cluster.meshed(namespace, "ledger", ports, &[("traffic-type", "tcp")], "5432 (tcp)").await?;
    let place = format!("host={} user=postgres dbname=postgres connect_timeout=10", scene.host("ledger"));
    let proxy = cluster.proxy_address(node).await?;
    for (mode, tls) in [("require", "t"), ("disable", "f"), ("prefer", "t")] {
        let query = "select inet_client_addr(), ssl from pg_stat_ssl where pid = pg_backend_pid()";
        let printed = shell.run(&format!("psql '{place} sslmode={mode}' -Atc '{query}'")).await?;
        ensure!(printed.trim() == format!("{proxy}|{tls}"), "{mode}: {printed}");
        let rows = "copy (select n, md5(n::text) from generate_series(1, 200000) n) to stdout";
        let through = format!("psql '{place} sslmode={mode}' -c '{rows}' | sha256sum");
        let beside = format!("psql 'host=ledger user=postgres dbname=postgres' -c '{rows}' | sha256sum");
        let (through, beside) = (shell.run(&through).await?, shell.run(&beside).await?);
        ensure!(through == beside, "{mode}: other rows came: {through} {beside}");
    }
    let bench = format!(
        "export PGHOST={} PGUSER=postgres PGDATABASE=postgres && pgbench -i -q && pgbench -c 4 -t 50",
        scene.host("ledger")
    );
    let printed = shell.run(&bench).await?;
    ensure!(printed.contains("number of transactions actually processed: 200/200"), "{printed}");
    scene.strike().await
}

const HAPROXY: &str = "
defaults
  mode http
  timeout client 10s
  timeout connect 1s
  timeout server 10s
frontend said
  bind :8080 accept-proxy
  http-request return status 200 content-type text/plain lf-string '%[src] to %[dst_port]'
";

#[tokio::test]
async fn a_backend_is_told_who_calls_by_proxy_protocol() -> Result<()> {
    let scene = Scene::set("e2e-told").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    cluster.files(namespace, "told", &[("haproxy.cfg", HAPROXY)]).await?;
    cluster.program(namespace, "told", 1, Some(8080), "exec haproxy -db -f /files/haproxy.cfg").await?;
    let (_, shell) = scene.shell().await?;
    cluster.rolled_out(namespace, "told").await?;
    let annotations = [("traffic-type", "tcp"), ("proxy-protocol", "true")];
    cluster.meshed(namespace, "told", json!([{"port": 80, "targetPort": 8080}]), &annotations, "").await?;
    let curl = format!("curl --silent --show-error --max-time 5 http://{}/", scene.host("told"));
    let said = shell.run(&curl).await?;
    ensure!(said.starts_with(&format!("{} to ", shell.address)), "{} calls, it says: {said}", shell.address);
    // Without the annotation the same backend takes nothing.
    let none = json!({"metadata": {"annotations": {"weft.mesh/proxy-protocol": null}}});
    cluster.merge::<Service>(namespace, "told", none).await?;
    eventually("it is not told any more", seconds(30), || async {
        let (success, printed) = shell.attempt(&curl).await?;
        ensure!(!success, "{printed}");
        Ok(())
    })
    .await?;
    scene.strike().await
}

#[tokio::test]
async fn each_port_of_a_service_speaks_as_it_says() -> Result<()> {
    let scene = Scene::set("e2e-ports").await?;
    let (cluster, namespace) = (&scene.cluster, &scene.namespace);
    let (node, client) = scene.first()?;
    let port = |name: &str, port: u16, target: u16, protocol: &str| json!({"name": name, "port": port, "targetPort": target, "protocol": protocol});
    let ports = json!([
        port("web", 80, 8080, "TCP"),
        port("raw", 9000, 9000, "TCP"),
        port("lost", 9001, 9001, "UDP")
    ]);
    let annotated = [("traffic-type", "http,9000=tcp,9001=udp")];
    cluster.meshed_pods(namespace, "annotated", "web", ports.clone(), &annotated, "9000 (tcp)").await?;
    let mut by_port = ports;
    by_port[0]["appProtocol"] = "http".into();
    by_port[1]["appProtocol"] = "tcp".into();
    cluster.meshed_pods(namespace, "by-port", "web", by_port, &[], "9000 (tcp)").await?;
    let proxy = cluster.proxy_address(node).await?;
    for (service, raw) in [("annotated", &[("tcp", 9000), ("udp", 9001)][..]), ("by-port", &[("tcp", 9000)])]
    {
        client.goes_through(&scene.url(service), node).await?;
        for (scheme, port) in raw {
            let place = format!("{scheme}://{}:{port}", scene.host(service));
            let summary = client.summary(&["messages", &place, "--count", "20", "--summary"]).await?;
            summary.all_ok()?;
            ensure!(summary.peers.keys().eq([&proxy]), "{place} past {proxy}: {summary:?}");
        }
    }
    scene.strike().await
}
