//! TLS by the server name with real clients and servers: OpenSSL's and curl, which this test needs.

use crate::common::{Mesh, backend::Backend, free_port, tcp, within};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Output, Stdio},
};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    process::{Child, Command},
    time::{Duration, sleep},
};
use weft_contract::{Service, ServiceKey, SniRoute};

/// A program of this machine. Debian's own settings would refuse what is old.
fn program(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.env("OPENSSL_CONF", folder.join("settings")).kill_on_drop(true).stdin(Stdio::null());
    command
}

async fn output(mut command: Command) -> Output {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    match within(command.output()).await {
        Ok(output) => output,
        Err(error) => {
            panic!("this test needs the program {name}: {error}; on Debian: apt-get install {name}")
        }
    }
}

/// What a program said, on both of its outputs.
fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

/// OpenSSL's server, which answers requests with a page about the connection, for one name.
struct Server {
    address: SocketAddr,
    certificate: PathBuf,
    _running: Child,
}

impl Server {
    async fn start(folder: &Path, name: &str) -> Self {
        std::fs::write(folder.join("settings"), "[req]\ndistinguished_name = dn\n[dn]\n").unwrap();
        let file = |kind: &str| folder.join(format!("{name}.{kind}"));
        let mut request = program("openssl", folder);
        request.args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]);
        request.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        request.args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName=DNS:{name}")]);
        request.arg("-keyout").arg(file("key")).arg("-out").arg(file("pem"));
        let made = output(request).await;
        assert!(made.status.success(), "{}", said(&made));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut server = program("openssl", folder);
        server.args(["s_server", "-quiet", "-www", "-cipher", "DEFAULT@SECLEVEL=0"]);
        server
            .args(["-accept", &address.to_string()])
            .arg("-cert")
            .arg(file("pem"))
            .arg("-key")
            .arg(file("key"));
        let running = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let listens = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        within(listens).await;
        Self { address, certificate: file("pem"), _running: running }
    }
}

/// A mesh whose port leads to a server for each name, and its parts.
struct Gate {
    folder: TempDir,
    mesh: Mesh,
    port: u16,
    exact: Server,
    wild: Server,
    other: Option<Server>,
}

const EXACT: &str = "a.b.example.com";
const WILD: &str = "c.b.example.com";
const OTHER: &str = "other.example.org";

fn service(name: &str, endpoint: &Server) -> Service {
    let mut service = tcp(name, 1, &[endpoint.address]);
    service.ports[0].listener = None;
    service
}

async fn start(default: bool) -> Gate {
    let folder = tempfile::tempdir().unwrap();
    let (exact, wild) = (Server::start(folder.path(), EXACT).await, Server::start(folder.path(), WILD).await);
    let other = if default { Some(Server::start(folder.path(), OTHER).await) } else { None };
    let port = free_port();
    let mut gate = tcp("gate", port, &[]);
    let mut services = vec![service("exact", &exact), service("wild", &wild)];
    let mut hosts = vec![(EXACT, "exact"), ("*.b.example.com", "wild")];
    if let Some(other) = &other {
        services.push(service("other", other));
        hosts.push(("*", "other"));
    }
    let route = |(host, name): (&str, &str)| SniRoute {
        host: host.to_owned(),
        service: ServiceKey::new("shop", name),
        port: 80,
    };
    gate.ports[0].sni_routes = hosts.into_iter().map(route).collect();
    services.push(gate);
    Gate { folder, mesh: Mesh::with(services).await, port, exact, wild, other }
}

impl Gate {
    /// What OpenSSL's client sees of the connection, and the page that it is given.
    async fn s_client(&self, options: &[&str]) -> String {
        let mut client = program("openssl", self.folder.path());
        client.args(["s_client", "-ign_eof", "-connect", &format!("127.0.0.1:{}", self.port)]).args(options);
        let mut client =
            client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = client.stdin.take().unwrap();
        // One that is refused does not read it.
        let _ = input.write_all(b"GET / HTTP/1.0\r\n\r\n").await;
        said(&within(client.wait_with_output()).await.unwrap())
    }

    /// What becomes of a request that curl makes, trusting `server` alone.
    async fn curl(&self, scheme: &str, name: &str, server: &Server) -> Output {
        let mut curl = program("curl", self.folder.path());
        curl.args(["-sS", "--noproxy", "*", "--max-time", "20", "--cacert"]).arg(&server.certificate);
        curl.args(["--resolve", &format!("{name}:{}:127.0.0.1", self.port)]);
        output({
            curl.arg(format!("{scheme}://{name}:{}/", self.port));
            curl
        })
        .await
    }
}

/// Whose certificate OpenSSL's client saw.
fn subject(said: &str) -> &str {
    let line =
        said.lines().find_map(|line| line.strip_prefix("subject=")).unwrap_or_else(|| panic!("{said}"));
    line.rsplit('=').next().unwrap().trim()
}

#[tokio::test]
async fn every_version_of_tls_reaches_the_server_of_its_name() {
    let gate = start(true).await;
    for (option, version) in
        [("-tls1", "TLSv1"), ("-tls1_1", "TLSv1.1"), ("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")]
    {
        for (name, expected) in
            [(EXACT, EXACT), ("A.B.Example.COM", EXACT), (WILD, WILD), ("example.net", OTHER)]
        {
            let seen = gate.s_client(&[option, "-servername", name, "-cipher", "DEFAULT@SECLEVEL=0"]).await;
            assert_eq!(subject(&seen), expected, "{option} {name}");
            // The page that came through the connection tells what was agreed on.
            let agreed = seen.lines().any(|line| line.split_whitespace().eq(["Protocol", ":", version]));
            assert!(agreed && seen.contains("HTTP/1.0 200 ok"), "{option} {name}: {seen}");
        }
        let nameless = gate.s_client(&[option, "-noservername", "-cipher", "DEFAULT@SECLEVEL=0"]).await;
        assert_eq!(subject(&nameless), OTHER, "{option} without a name");
    }
}

#[tokio::test]
async fn a_hello_of_many_records_or_with_much_in_it_is_understood() {
    let gate = start(false).await;
    let protocols: Vec<String> = (0..200).map(|number| format!("protocol-number-{number}")).collect();
    let seen = gate.s_client(&["-servername", WILD, "-alpn", &protocols.join(",")]).await;
    assert_eq!(subject(&seen), WILD, "a hello of more than 4 KiB");
    let seen =
        gate.s_client(&["-servername", EXACT, "-alpn", &protocols.join(","), "-max_send_frag", "512"]).await;
    assert_eq!(subject(&seen), EXACT, "the same in records of 512 bytes");
}

#[tokio::test]
async fn a_name_that_fits_nothing_is_told_so_in_every_version() {
    let gate = start(false).await;
    for (number, option) in ["-tls1", "-tls1_1", "-tls1_2", "-tls1_3"].iter().enumerate() {
        let seen =
            gate.s_client(&[option, "-servername", "b.example.com", "-cipher", "DEFAULT@SECLEVEL=0"]).await;
        assert!(
            seen.contains("unrecognized name") && seen.contains("SSL alert number 112"),
            "{option}: {seen}"
        );
        gate.mesh.refused("gate", "unknown_server_name", number as u64 + 1).await;
    }
    let seen = gate.s_client(&["-noservername"]).await;
    assert!(seen.contains("SSL alert number 112"), "{seen}");
}

#[tokio::test]
async fn curl_reaches_the_server_that_it_trusts_for_the_name() {
    let gate = start(true).await;
    for (name, server) in [(EXACT, &gate.exact), (WILD, &gate.wild), (OTHER, gate.other.as_ref().unwrap())] {
        let answer = gate.curl("https", name, server).await;
        assert!(answer.status.success() && said(&answer).contains("Protocol"), "{name}: {}", said(&answer));
    }
    // Sent to its own server it would be trusted.
    let answer = gate.curl("https", EXACT, &gate.wild).await;
    assert_eq!(answer.status.code(), Some(60), "{}", said(&answer));
}

#[tokio::test]
async fn curl_is_told_what_is_wrong() {
    let gate = start(false).await;
    let answer = gate.curl("https", OTHER, &gate.exact).await;
    assert_eq!(answer.status.code(), Some(35), "{}", said(&answer));
    assert!(said(&answer).contains("unrecognized name"), "{}", said(&answer));
    let plain = gate.curl("http", EXACT, &gate.exact).await;
    assert_eq!(plain.status.code(), Some(56), "a reset: {}", said(&plain));
    gate.mesh.refused("gate", "not_tls", 1).await;
}

#[tokio::test]
async fn without_tls_curl_reaches_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::named("plain").await;
    let port = free_port();
    let mut gate = tcp("gate", port, &[backend.address]);
    let route =
        |host: &str| SniRoute { host: host.to_owned(), service: ServiceKey::new("shop", "gate"), port: 80 };
    gate.ports[0].sni_routes = ["*", EXACT].map(route).to_vec();
    let _mesh = Mesh::with(vec![gate]).await;
    let mut curl = program("curl", folder.path());
    curl.args(["-sS", "--noproxy", "*", "--max-time", "20", &format!("http://127.0.0.1:{port}/")]);
    let answer = output(curl).await;
    assert_eq!(said(&answer), "plain");
}
