//! What a listener does as time passes, which the tests tell it.

use super::*;
use crate::{
    balance::Dice,
    plan::{Accepted, compile},
    status::Status,
    udp::Room,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use weft_contract::{
    Hints, Listener, NodeConfiguration, Policy, Port, Protocol, SCHEMA, Service, ServiceKey, Transport,
    policy::Scheme,
};

const SECOND: Duration = Duration::from_secs(1);

/// A listener whose turns are taken by hand: what is sent over loopback is there when sending returns.
struct Rig {
    server: Server,
    poll: Poll,
    address: SocketAddr,
    backend: UdpSocket,
    start: Instant,
}

fn bound() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket
}

fn status(endpoints: &[SocketAddr], now: Instant) -> (Status, Arc<Target>) {
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
    let port = Port {
        name: None,
        port: 53,
        transport: Transport::Udp,
        listener: Some(Listener { port: 10_000, protocol: Protocol::Udp }),
        scheme: Scheme::Http,
        endpoints: endpoints.iter().map(endpoint).collect(),
        target_name: None,
        sni_routes: Vec::new(),
    };
    let key = ServiceKey::new("kube-system", "dns");
    let service =
        Service { key, addresses: vec![], ports: vec![port], policy: Policy::default(), split: None };
    let configuration = NodeConfiguration {
        schema: SCHEMA,
        node: "node-1".into(),
        zone: None,
        zones: vec!["mesh".into()],
        services: vec![service],
        sources: vec![],
        access: None,
    };
    let accepted = Accepted { revision: "beef".into(), configuration: Arc::new(configuration) };
    let plan = compile(accepted, None, now);
    let target = Arc::clone(&plan.routes()[&10_000].target);
    let status = Status::default();
    status.plan.store(Some(Arc::new(plan)));
    (status, target)
}

impl Rig {
    fn new(room: usize) -> Self {
        let (start, backend) = (Instant::now(), bound());
        let (status, target) = status(&[backend.local_addr().unwrap()], start);
        let poll = Poll::new().unwrap();
        let socket = crate::listen::bind_datagrams((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        let context = Context { status, dice: Arc::new(Dice::new(1)), room: Room::new(room) };
        let server = Server::new(socket, target, context, &poll).unwrap().unwrap();
        Self { server, poll, address, backend, start }
    }

    fn turn(&mut self, seconds: f32) {
        let now = self.start + SECOND.mul_f32(seconds);
        while self.server.turn(&self.poll, now).unwrap() {}
    }

    fn look(&mut self, seconds: f32) -> usize {
        self.server.look(self.start + SECOND.mul_f32(seconds));
        self.server.sessions.len()
    }

    fn send(&mut self, client: &UdpSocket, seconds: f32) -> SocketAddr {
        client.send_to(b"?", self.address).unwrap();
        self.turn(seconds);
        let mut buffer = [0; 8];
        self.backend.recv_from(&mut buffer).unwrap().1
    }
}

#[tokio::test]
async fn a_session_lasts_thirty_seconds_from_its_last_datagram_either_way() {
    let (mut rig, client) = (Rig::new(9), bound());
    let from = rig.send(&client, 0.0);
    assert_eq!(rig.look(29.9), 1);
    assert_eq!(rig.send(&client, 29.9), from);
    assert_eq!(rig.look(59.8), 1);
    rig.backend.send_to(b"!", from).unwrap();
    rig.turn(59.8);
    let mut buffer = [0; 8];
    assert_eq!(client.recv_from(&mut buffer).unwrap(), (1, rig.address));
    assert_eq!(rig.look(89.7), 1);
    assert_eq!(rig.look(89.8), 0);
    assert_ne!(rig.send(&client, 90.0), from);
}

#[tokio::test]
async fn a_listener_looks_while_it_has_sessions_and_is_busy_for_two_seconds() {
    let (mut rig, client) = (Rig::new(9), bound());
    let at = |rig: &Rig, seconds: f32| rig.start + SECOND.mul_f32(seconds);
    assert_eq!(rig.server.next_look(at(&rig, 0.0)), None);
    assert!(!rig.server.is_busy(at(&rig, 0.0)));
    rig.send(&client, 0.0);
    assert_eq!(rig.server.next_look(at(&rig, 0.0)), Some(at(&rig, 1.0)));
    assert_eq!(rig.server.next_look(at(&rig, 29.5)), Some(at(&rig, 30.0)));
    assert_eq!(rig.server.next_look(at(&rig, 31.0)), Some(at(&rig, 31.0) + LOOK.0));
    assert!(rig.server.is_busy(at(&rig, 1.9)) && !rig.server.is_busy(at(&rig, 2.0)));
    rig.look(31.0);
    assert_eq!(rig.server.next_look(at(&rig, 31.0)), None);
}

#[tokio::test]
async fn where_the_proxy_has_no_room_one_that_rests_has_to_go() {
    let (mut rig, clients) = (Rig::new(2), [bound(), bound(), bound()]);
    let froms = clients.each_ref().map(|client| rig.send(client, 0.0));
    assert_eq!(rig.server.sessions.len(), 2);
    assert_eq!(rig.send(&clients[2], 1.0), froms[2]);
    assert_eq!(rig.send(&clients[1], 1.0), froms[1]);
    assert_ne!(rig.send(&clients[0], 1.0), froms[0]);
}

#[tokio::test]
async fn where_there_is_no_room_at_all_a_datagram_is_dropped() {
    let (mut rig, client) = (Rig::new(0), bound());
    client.send_to(b"?", rig.address).unwrap();
    rig.turn(0.0);
    assert_eq!(rig.server.sessions.len(), 0);
}

#[tokio::test]
async fn an_endpoint_that_never_answers_and_never_refuses_is_well() {
    let (mut rig, client) = (Rig::new(9), bound());
    let census = |rig: &Rig| {
        let plan = rig.server.context.status.plan.load_full().unwrap();
        plan.routes()[&10_000].balancer.census(rig.start + 60 * SECOND)
    };
    for number in 0..20_u8 {
        rig.send(&client, f32::from(number));
    }
    rig.look(60.0);
    assert_eq!((census(&rig).available, census(&rig).ejected), (1, 0));
}

#[tokio::test]
async fn the_address_of_a_session_is_the_one_that_was_sent_to() {
    let (mut rig, client) = (Rig::new(9), bound());
    rig.send(&client, 0.0);
    let key = rig.server.sessions.key(rig.server.sessions.oldest().unwrap());
    assert_eq!(
        key,
        Key { client: client.local_addr().unwrap(), local: Some(IpAddr::from(Ipv4Addr::LOCALHOST)) }
    );
}
