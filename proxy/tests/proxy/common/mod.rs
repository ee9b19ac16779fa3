//! A proxy in this process, with clients and backends made of plain sockets, so that tests see every byte.

pub mod access;
pub mod backend;
pub mod certificates;
pub mod either;
pub mod frames;
pub mod http2;
pub mod message;
pub mod policy;
pub mod raw;
pub mod server_names;
pub mod streams;
pub mod udp;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    sync::{
        Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::timeout};
use weft_contract::{
    Endpoint, Hints, Listener, NodeConfiguration, Policy, Port, Protocol, SCHEMA, Service, ServiceKey,
    Transport, encode, policy::Scheme,
};
use weft_proxy::{
    app::{Proxy, Settings},
    configuration::Content,
    http::Limits,
};

/// No step of a test takes longer, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Mesh {
    pub proxy: Proxy,
    pub directory: TempDir,
}

impl Mesh {
    pub async fn with(services: Vec<Service>) -> Self {
        let mut mesh = Self::start(tempfile::tempdir().unwrap());
        mesh.apply(services).await;
        mesh
    }

    pub fn start(directory: TempDir) -> Self {
        Self::start_with(directory, true)
    }

    /// The same where bytes of TCP connections may be spliced, or must be copied.
    pub fn start_with(directory: TempDir, splice: bool) -> Self {
        let settings = Settings {
            node: "node-1".into(),
            state_directory: directory.path().to_owned(),
            address: Ipv6Addr::UNSPECIFIED.into(),
            admin_address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            dns_address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            workers: 2,
            limits: Limits {
                connect: Duration::from_secs(1),
                idle: Duration::from_secs(60),
                http2_streams: 256,
                http2_resets: 200,
            },
            splice,
        };
        Self { proxy: Proxy::start(settings, 1).unwrap(), directory }
    }

    /// Applies a configuration and waits until it is in force.
    pub async fn apply(&mut self, services: Vec<Service>) {
        let (revision, content) = content(services);
        self.proxy.take(&content);
        self.in_force(&revision).await;
    }

    pub async fn in_force(&self, revision: &str) {
        let confirmed = self.proxy.status.wait_for(|now| now.revision.as_deref() == Some(revision));
        within(confirmed).await;
    }

    /// Asks the admin port.
    pub async fn admin(&self, path: &str) -> message::Message {
        let mut stream = TcpStream::connect(self.proxy.admin_address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        message::exchange(&mut stream, request.as_bytes()).await
    }
}

/// Fails a test that hangs.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("took too long")
}

pub fn content(mut services: Vec<Service>) -> (String, Content) {
    services.sort_by(|one, other| one.key.cmp(&other.key));
    let zones = vec!["mesh".into()];
    let (node, zone, sources) = ("node-1".into(), None, vec![]);
    let encoded =
        encode(&NodeConfiguration { schema: SCHEMA, node, zone, zones, services, sources, access: None })
            .unwrap();
    (encoded.revision.clone(), Content { revision: Some(encoded.revision), ..encoded.body.into() })
}

pub fn service(name: &str, listener: u16, protocol: Protocol, endpoints: &[SocketAddr]) -> Service {
    let endpoint = |address: &SocketAddr| Endpoint {
        address: address.ip(),
        port: address.port(),
        ready: true,
        serving: true,
        terminating: false,
        zone: None,
        node: None,
        hints: Hints::default(),
    };
    let mut endpoints: Vec<Endpoint> = endpoints.iter().map(endpoint).collect();
    endpoints.sort();
    Service {
        key: ServiceKey::new("shop", name),
        addresses: vec![],
        ports: vec![Port {
            name: None,
            port: 80,
            transport: Transport::Tcp,
            listener: Some(Listener { port: listener, protocol }),
            scheme: Scheme::Http,
            endpoints,
            target_name: None,
            sni_routes: Vec::new(),
        }],
        policy: Policy::default(),
        split: None,
    }
}

pub fn http(name: &str, listener: u16, endpoints: &[SocketAddr]) -> Service {
    service(name, listener, Protocol::Http, endpoints)
}

pub fn tcp(name: &str, listener: u16, endpoints: &[SocketAddr]) -> Service {
    service(name, listener, Protocol::Tcp, endpoints)
}

/// A port that nobody has. Below those that the kernel gives to clients, so that none takes it meanwhile. Proxies share the
/// ports that they listen on, so that another test's could take half of the connections: the UDP port of the same number
/// is held as a sign for all tests on this machine.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const HELD_ON: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2); // where nobody serves DNS
    static HELD: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let start = u16::try_from(std::process::id() % 18_000).unwrap();
    loop {
        let port = 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let held = UdpSocket::bind((HELD_ON, port));
        if let (Ok(held), Ok(_)) = (held, TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))) {
            HELD.lock().unwrap().push(held);
            return port;
        }
    }
}

/// An address that refuses connections.
pub fn dead() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), free_port())
}

pub async fn connect(port: u16) -> TcpStream {
    within(TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await.unwrap()
}

/// Asks once on a connection of its own.
pub async fn ask(port: u16, request: &str) -> message::Message {
    message::exchange(&mut connect(port).await, request.as_bytes()).await
}

pub const GET: &str = "GET /path?query=1 HTTP/1.1\r\nhost: web.shop.mesh\r\n\r\n";
