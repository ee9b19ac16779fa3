//! UDP: Services, backends that remember what they were sent, and clients.

use super::{PATIENCE, service, within};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};
use tokio::{net::UdpSocket, task::JoinHandle, time::timeout};
use weft_contract::{Policy, Protocol, Service, Transport};

/// A Service with one UDP port, whose number is 53.
pub fn udp(name: &str, listener: u16, endpoints: &[SocketAddr]) -> Service {
    let mut service = service(name, listener, Protocol::Udp, endpoints);
    service.ports[0].transport = Transport::Udp;
    service.ports[0].port = 53;
    service
}

/// The same, asking for something.
pub fn asking(
    name: &str,
    listener: u16,
    endpoints: &[SocketAddr],
    change: impl FnOnce(&mut Policy),
) -> Service {
    let mut service = udp(name, listener, endpoints);
    change(&mut service.policy);
    service
}

static HELD: Mutex<Vec<TcpListener>> = Mutex::new(Vec::new());

/// A UDP port that nobody has and no other test takes: the TCP port of the same number is held as a sign for all tests on
/// this machine. Below those that the kernel gives to clients, and above those of other tests, which look for TCP ports by
/// taking UDP ports for a moment.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const HELD_ON: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
    const RANGE: u16 = 2_700;
    let start = u16::try_from(std::process::id() % u32::from(RANGE)).unwrap();
    loop {
        let port = 30_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % RANGE;
        // The sign first: who cannot have it must not touch the port.
        let Ok(held) = TcpListener::bind((HELD_ON, port)) else { continue };
        if std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).is_ok() {
            HELD.lock().unwrap().push(held);
            return port;
        }
    }
}

/// Takes the sign off a port, where a test listens there for connections too.
pub fn give_up_tcp(port: u16) {
    HELD.lock().unwrap().retain(|held| held.local_addr().unwrap().port() != port);
}

/// An address where nobody receives: the kernel says so by ICMP.
pub fn dead() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), free_port())
}

/// What a backend was sent: from where, and what.
pub type Heard = Arc<Mutex<Vec<(SocketAddr, Vec<u8>)>>>;

pub struct Backend {
    pub address: SocketAddr,
    pub heard: Heard,
    pub socket: Arc<UdpSocket>,
    task: JoinHandle<()>,
}

impl Backend {
    /// Answers each datagram by what `answer` makes of it, if anything.
    pub async fn at(address: IpAddr, answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let socket = Arc::new(UdpSocket::bind((address, 0)).await.unwrap());
        let heard = Heard::default();
        let (receiving, noted) = (Arc::clone(&socket), Arc::clone(&heard));
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 70_000];
            loop {
                // A client that has gone is told of by the next call.
                let Ok((length, from)) = receiving.recv_from(&mut buffer).await else { continue };
                noted.lock().unwrap().push((from, buffer[..length].to_vec()));
                if let Some(answer) = answer(&buffer[..length]) {
                    let _ = receiving.send_to(&answer, from).await;
                }
            }
        });
        Self { address: socket.local_addr().unwrap(), heard, socket, task }
    }

    /// Sends back what it is sent.
    pub async fn echo() -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), |datagram| Some(datagram.to_vec())).await
    }

    /// Sends back its name.
    pub async fn named(name: &'static str) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), move |_| Some(name.as_bytes().to_vec())).await
    }

    /// Never answers.
    pub async fn silent() -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), |_| None).await
    }

    /// What it was sent so far.
    pub fn heard(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.heard.lock().unwrap().clone()
    }

    /// From where it was sent to last.
    pub fn last_from(&self) -> SocketAddr {
        self.heard.lock().unwrap().last().expect("something was heard").0
    }

    /// Closes its socket, and waits until that is done.
    pub async fn close(self) -> SocketAddr {
        let Self { address, heard: _, socket, task } = self;
        task.abort();
        let _ = task.await;
        drop(socket);
        address
    }
}

/// A client that hears only the proxy's port.
pub async fn client(port: u16) -> UdpSocket {
    client_from(Ipv4Addr::LOCALHOST.into(), port).await
}

/// The same at an address of its own.
pub async fn client_from(address: IpAddr, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).await.unwrap();
    let to: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    socket.connect((to, port)).await.unwrap();
    socket
}

/// The next datagram that comes.
pub async fn receive(client: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 70_000];
    let length = within(client.recv(&mut buffer)).await.unwrap();
    buffer.truncate(length);
    buffer
}

/// Sends, and gives what comes back.
pub async fn ask(client: &UdpSocket, datagram: &[u8]) -> Vec<u8> {
    client.send(datagram).await.unwrap();
    receive(client).await
}

/// Asks again and again, as clients of UDP do, until an answer comes.
pub async fn ask_until_answered(client: &UdpSocket, datagram: &[u8]) -> Vec<u8> {
    let asking = async {
        let mut buffer = vec![0; 70_000];
        loop {
            let _ = client.send(datagram).await;
            if let Ok(Ok(length)) = timeout(Duration::from_millis(200), client.recv(&mut buffer)).await {
                return buffer[..length].to_vec();
            }
        }
    };
    timeout(PATIENCE, asking).await.expect("no answer ever came")
}

/// One series of `/metrics` that begins with `weft_udp_`; 0 where it is not there.
pub async fn count(mesh: &super::Mesh, service: &str, metric: &str, label: Option<(&str, &str)>) -> u64 {
    let label = label.map_or_else(String::new, |(name, value)| format!(",{name}=\"{value}\""));
    let series = format!("weft_udp_{metric}{{namespace=\"shop\",service=\"{service}\",port=\"53\"{label}}} ");
    let page = mesh.admin("/metrics").await;
    page.text().lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or(0)
}
