//! The access log: a line for each HTTP request, and only where it is asked for.

use crate::common::{
    GET, ask,
    backend::{Backend, ok},
    connect, content, dead, free_port, http,
    policy::{asking, begin, eventually, request_with},
    within,
};
use serde_json::Value;
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
};
use weft_contract::{Service, policy::FaultAbort};

/// The program itself.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    _directory: tempfile::TempDir,
}

impl Program {
    async fn start(environment: &[(&str, &str)], arguments: &[&str], services: Vec<Service>) -> Self {
        let port = services[0].ports[0].listener.as_ref().unwrap().port;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("input.json");
        std::fs::write(&path, content(services).1.plain.unwrap()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_weft-proxy"))
            .args(["--node=node-1", "--workers=1", "--log=debug"])
            .args(arguments)
            .arg(format!("--admin-address=127.0.0.1:{}", free_port()))
            .arg(format!("--dns-address=127.0.0.1:{}", free_port()))
            .arg(format!("--state-directory={}", directory.path().display()))
            .arg(format!("--configuration-file={}", path.display()))
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        eventually("it listens", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, _directory: directory }
    }

    async fn line(&mut self) -> Value {
        let line = within(self.lines.next_line()).await.unwrap().expect("a line");
        serde_json::from_str(&line).unwrap()
    }

    /// Ends it; what it wrote and was not read yet.
    async fn end(mut self) -> Vec<String> {
        self.child.start_kill().unwrap();
        let mut rest = Vec::new();
        while let Some(line) = within(self.lines.next_line()).await.unwrap() {
            rest.push(line);
        }
        rest
    }
}

#[tokio::test]
async fn each_request_has_one_line_that_says_what_became_of_it() {
    let backend = Backend::named("hello").await;
    let mute = Backend::slow(Duration::from_secs(60), |_| ok(b"never")).await;
    let (web, refused, slow, aborted) = (free_port(), free_port(), free_port(), free_port());
    let services = vec![
        http("web", web, &[backend.address]),
        http("refused", refused, &[dead()]),
        http("slow", slow, &[mute.address]),
        asking("aborted", aborted, &[backend.address], |policy| {
            policy.actions.fault.get_or_insert_default().abort =
                Some(FaultAbort { status: 418, percent: 100 });
        }),
    ];
    let mut program = Program::start(&[], &["--access-log"], services).await;

    assert_eq!(ask(web, GET).await.text(), "hello");
    let line = program.line().await;
    let expected = [
        ("service", Value::from("shop/web")),
        ("port", 80.into()),
        ("client", "127.0.0.1".into()),
        ("method", "GET".into()),
        ("path", "/path".into()),
        ("status", 200.into()),
        ("endpoint", backend.address.to_string().into()),
        ("tries", 1.into()),
    ];
    for (name, value) in expected {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    assert!(line["duration"].as_f64().is_some_and(|duration| duration > 0.0), "{line}");
    assert!(line.get("flag").is_none() && line["timestamp"].is_string(), "{line}");

    assert_eq!(ask(refused, &request_with("POST /\"a\\b", "")).await.status(), 502);
    let line = program.line().await;
    assert_eq!((&line["status"], &line["flag"]), (&502.into(), &"connect_failed".into()), "{line}");
    assert_eq!((&line["path"], &line["tries"]), (&"/\"a\\b".into(), &3.into()), "{line}");

    assert_eq!(ask(aborted, GET).await.status(), 418);
    let line = program.line().await;
    assert_eq!((&line["status"], &line["flag"]), (&418.into(), &"fault".into()), "{line}");
    assert_eq!((line.get("endpoint"), &line["tries"]), (None, &0.into()), "{line}");

    let mut client = connect(slow).await;
    begin(&mut client, GET).await;
    eventually("it is under way", async || !mute.requests().is_empty()).await;
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let line = program.line().await;
    assert_eq!((line.get("status"), &line["flag"]), (None, &"client_gone".into()), "{line}");
    assert_eq!(line["endpoint"], mute.address.to_string(), "{line}");

    assert_eq!(program.end().await, Vec::<String>::new(), "each once");
}

#[tokio::test]
async fn there_is_none_unless_it_is_asked_for() {
    let backend = Backend::named("hello").await;
    for environment in [&[][..], &[("WEFT_ACCESS_LOG", "false")]] {
        let port = free_port();
        let program = Program::start(environment, &[], vec![http("web", port, &[backend.address])]).await;
        assert_eq!(ask(port, GET).await.text(), "hello");
        assert_eq!(program.end().await, Vec::<String>::new());
    }
    let port = free_port();
    let services = vec![http("web", port, &[backend.address])];
    let mut program = Program::start(&[("WEFT_ACCESS_LOG", "true")], &[], services).await;
    assert_eq!(ask(port, GET).await.text(), "hello");
    assert_eq!(program.line().await["status"], 200);
}
