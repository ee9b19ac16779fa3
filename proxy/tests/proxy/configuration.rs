//! What becomes of a configuration, good or bad, and what the admin port says about it.

use crate::common::{
    self, GET, Mesh, ask, backend::Backend, content, free_port, http, message::exchange, within,
};
use std::{net::SocketAddr, process::Stdio, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};
use weft_contract::Confirmation;
use weft_proxy::configuration::Content;

fn plain(text: &str) -> Content {
    Content { plain: Some(text.into()), compressed: None, revision: Some("beef".into()) }
}

async fn confirmation(mesh: &Mesh) -> Confirmation {
    serde_json::from_slice(&mesh.admin("/revision").await.body).unwrap()
}

#[tokio::test]
async fn a_bad_configuration_is_refused_and_reported_and_the_last_good_one_serves_on() {
    let backend = Backend::named("hello").await;
    let port = free_port();
    let services = || vec![http("web", port, &[backend.address])];
    let mut mesh = Mesh::with(services()).await;
    let good = confirmation(&mesh).await;
    assert_eq!(good.revision.as_deref(), Some(content(services()).0.as_str()));
    for bad in
        ["", "nonsense", "{}", r#"{"schema":99}"#, r#"{"schema":1,"node":"n","zones":[],"services":[]}"#]
    {
        mesh.proxy.take(&plain(bad));
        let now = confirmation(&mesh).await;
        assert_eq!(now.revision, good.revision);
        assert_eq!(now.rejected.unwrap().revision.as_deref(), Some("beef"), "{bad}");
        assert_eq!(ask(port, GET).await.text(), "hello");
    }
    assert!(mesh.admin("/metrics").await.text().contains("weft_configuration_rejected_total 5"));
    mesh.apply(services()).await;
    assert_eq!(confirmation(&mesh).await.rejected, None, "a good one clears the report");
}

#[tokio::test]
async fn the_last_good_configuration_is_served_again_after_a_restart() {
    let backend = Backend::named("hello").await;
    let port = free_port();
    let services = vec![http("web", port, &[backend.address])];
    let mut mesh = Mesh::with(services.clone()).await;
    mesh.proxy.take(&plain("nonsense"));
    let Mesh { proxy, directory } = mesh;
    drop(proxy);
    while ask_quietly(port).await {
        sleep(Duration::from_millis(10)).await;
    }
    let mesh = Mesh::start(directory);
    mesh.in_force(&content(services).0).await;
    assert_eq!(ask(port, GET).await.text(), "hello");
}

async fn ask_quietly(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

#[tokio::test]
async fn a_broken_file_on_disk_does_not_stop_the_proxy() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("configuration.json"), b"\x1f\x8bbroken").unwrap();
    let mut mesh = Mesh::start(directory);
    assert_eq!(mesh.admin("/livez").await.status(), 200);
    let readiness = mesh.admin("/readyz").await;
    assert_eq!(readiness.status(), 503);
    assert!(readiness.text().contains("configuration: missing"), "{}", readiness.text());
    mesh.apply(vec![]).await;
}

#[tokio::test]
async fn people_can_see_the_configuration_and_prometheus_the_traffic() {
    let backend = Backend::named("hello").await;
    let port = free_port();
    let mesh = Mesh::with(vec![http("web", port, &[backend.address])]).await;
    assert_eq!(ask(port, GET).await.status(), 200);
    let shown: serde_json::Value = serde_json::from_slice(&mesh.admin("/debug/config").await.body).unwrap();
    assert_eq!(shown["configuration"]["services"][0]["name"], "web");
    let one: serde_json::Value =
        serde_json::from_slice(&mesh.admin("/debug/config/shop/web").await.body).unwrap();
    assert_eq!(one, shown["configuration"]["services"][0]);
    assert_eq!(mesh.admin("/debug/config/shop/absent").await.status(), 404);
    let metrics = mesh.admin("/metrics").await;
    let route = r#"namespace="shop",service="web",port="80""#;
    for line in [
        format!("weft_requests_total{{{route},code=\"2xx\"}} 1\n"),
        format!("weft_request_duration_seconds_count{{{route}}} 1\n"),
        format!("weft_connections{{{route}}} "),
        "weft_listeners 1\n".to_owned(),
        format!("weft_configuration_info{{revision={}}} 1\n", shown["revision"]),
    ] {
        assert!(metrics.text().contains(&line), "{line} is missing from\n{}", metrics.text());
    }
    assert_eq!(mesh.admin("/nowhere").await.status(), 404);
}

/// The program itself, with its configuration in a file.
struct Program {
    child: Child,
    admin: SocketAddr,
    directory: tempfile::TempDir,
}

impl Program {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let admin: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_weft-proxy"))
            .args(["--node=node-1", "--workers=1", "--drain-quiet=300ms", "--log-format=json"])
            .arg(format!("--admin-address={admin}"))
            .arg(format!("--dns-address=127.0.0.1:{}", free_port()))
            .arg(format!("--state-directory={}", directory.path().display()))
            .arg(format!("--configuration-file={}", directory.path().join("input.json").display()))
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, admin, directory }
    }

    /// Replaces the file whole, as an editor would.
    fn configure(&self, content: &Content) {
        let (new, path) = (self.directory.path().join("new"), self.directory.path().join("input.json"));
        std::fs::write(&new, content.plain.as_deref().unwrap()).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    async fn ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.admin).await else { return false };
        exchange(&mut stream, b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.status()
            == 200
    }

    async fn wait_until(&self, ready: bool) {
        let reached = async {
            while self.ready().await != ready {
                sleep(Duration::from_millis(20)).await;
            }
        };
        within(reached).await;
    }
}

#[tokio::test]
async fn the_program_follows_its_file_and_goes_when_told() {
    let backend = Backend::slow(Duration::from_millis(700), |_| common::backend::ok(b"hello")).await;
    let mut program = Program::start();
    let port = free_port();
    program.configure(&content(vec![http("web", port, &[backend.address])]).1);
    program.wait_until(true).await;
    assert_eq!(ask(port, GET).await.text(), "hello");

    let mut client = common::connect(port).await;
    client.write_all(GET.as_bytes()).await.unwrap();
    while backend.requests().len() < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    let id = program.child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    program.wait_until(false).await;
    let answer = within(common::message::read(&mut client, false)).await.unwrap().unwrap();
    assert_eq!((answer.text(), answer.header("connection")), ("hello", Some("close")));
    assert!(within(program.child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_program_without_a_node_says_so_in_a_line() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_weft-proxy")).env_remove("WEFT_NODE").output().await.unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("--node"));
}
