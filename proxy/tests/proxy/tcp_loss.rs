//! TCP through the proxy over a network that loses one packet in twenty and delays the others.
//!
//! The test runs itself again in a network namespace of its own, where it may do to the loopback device what it likes.
//! Where there are no such namespaces, or the kernel has no `netem`, it says so and does what can be done: `iptables` loses
//! packets too.

use crate::common::{
    Mesh, free_port,
    streams::{echo, pattern, raw},
};
use std::{
    net::Ipv4Addr,
    process::{Command, Output},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

/// Set where the test runs in its own namespace.
const INSIDE: &str = "WEFT_TEST_IN_NAMESPACE";
/// Lost packets are sent again after a pause that doubles.
const PATIENCE: Duration = Duration::from_secs(120);
const CONNECTIONS: usize = 16;
const LENGTH: usize = 256 * 1024;

fn run(command: &str, arguments: &[&str]) -> Option<Output> {
    Command::new(command).args(arguments).output().ok()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn nothing_is_lost_but_packets() {
    let namespace = ["--map-root-user", "--net"];
    if !run("unshare", &[&namespace[..], &["true"]].concat()).is_some_and(|output| output.status.success()) {
        println!("SKIPPED: no network namespace can be had here");
        return;
    }
    let this = std::env::current_exe().unwrap();
    let inside = Command::new("unshare")
        .args(namespace)
        .arg(this)
        .args(["--exact", "tcp_loss::inside_the_namespace", "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = said(&inside);
    println!("{said}");
    assert!(inside.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by the other test, in a namespace of its own"]
async fn inside_the_namespace() {
    assert!(std::env::var_os(INSIDE).is_some(), "this would disturb the machine's own network");
    let up = run("ip", &["link", "set", "lo", "up"]).expect("the program ip");
    assert!(up.status.success(), "{}", said(&up));
    lose_and_delay();
    timeout(PATIENCE, everything_arrives()).await.expect("took too long");
    for (command, arguments) in
        [("tc", &["-s", "qdisc", "show", "dev", "lo"][..]), ("iptables", &["-nvL", "INPUT"])]
    {
        println!("{}", run(command, arguments).map_or_else(String::new, |output| said(&output)));
    }
}

/// By `netem`, or as much of it as can be had.
fn lose_and_delay() {
    let netem = ["qdisc", "add", "dev", "lo", "root", "netem", "delay", "2ms", "1ms", "loss", "5%"];
    let reason = match run("tc", &netem) {
        Some(output) if output.status.success() => return println!("5 % loss and 2 ms delay by netem"),
        Some(output) => said(&output),
        None => "there is no program tc".to_owned(),
    };
    // Anything else than a kernel without it is a mistake of this test's.
    assert!(reason.contains("kind is unknown") || reason.contains("no program"), "{reason}");
    println!("SKIPPED: no delay, for this kernel has no netem");
    let drop = ["-A", "INPUT", "-m", "statistic", "--mode", "random", "--probability", "0.05", "-j", "DROP"];
    match run("iptables", &drop) {
        Some(output) if output.status.success() => println!("5 % loss by iptables"),
        Some(output) => println!("SKIPPED: no loss either: {}", said(&output)),
        None => println!("SKIPPED: no loss either, for there is no program iptables"),
    }
}

async fn everything_arrives() {
    let (backend, port) = (echo().await, free_port());
    // The first packet of a connection may be lost, and the one that is sent again after a second.
    let service = raw("store", port, &[backend.address], |policy| {
        policy.timeouts.connect = Some(Duration::from_secs(20));
    });
    let _mesh = Mesh::with(vec![service]).await;
    let mut clients = JoinSet::new();
    for number in 0..CONNECTIONS {
        clients.spawn(async move {
            let sent = pattern(LENGTH + number);
            let (mut reading, mut writing) =
                TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap().into_split();
            let to_send = sent.clone();
            let writer = tokio::spawn(async move {
                // Small and large pieces.
                let (start, rest) = to_send.split_at(1000);
                for piece in start.chunks(10) {
                    writing.write_all(piece).await.unwrap();
                }
                writing.write_all(rest).await.unwrap();
                writing.shutdown().await.unwrap();
            });
            let mut back = Vec::new();
            reading.read_to_end(&mut back).await.unwrap();
            writer.await.unwrap();
            assert!(back == sent, "{} of {} bytes", back.len(), sent.len());
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
}
