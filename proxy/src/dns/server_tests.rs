use super::{super::fixture, *};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use hickory_resolver::{
    Resolver, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use std::net::IpAddr;

/// A server of the fixture's names on a port of its own; it ends with the test's runtime.
fn start(bind: &str) -> SocketAddr {
    let names = Arc::new(fixture::names());
    let sockets = Sockets::bind(bind.parse().unwrap()).unwrap();
    let port = sockets.address().port();
    tokio::spawn(sockets.serve(move || Some(Arc::clone(&names)), DnsQueries::default()));
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn resolver(server: SocketAddr) -> TokioResolver {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = server.port();
        connection
    });
    let server = NameServerConfig::new(server.ip(), true, connections.to_vec());
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    Resolver::builder_with_config(config, TokioRuntimeProvider::default()).build().unwrap()
}

fn question(name: &str) -> Vec<u8> {
    let mut message = Message::new(9, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

async fn send(stream: &mut TcpStream, packet: &[u8]) {
    stream.write_u16(u16::try_from(packet.len()).unwrap()).await.unwrap();
    stream.write_all(packet).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> io::Result<Message> {
    let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut bytes).await?;
    Ok(Message::from_vec(&bytes).unwrap())
}

#[tokio::test]
async fn a_resolver_finds_services_ports_and_crowds() {
    let resolver = resolver(start("[::]:0"));
    let mut addresses: Vec<IpAddr> = resolver.lookup_ip("web.shop.mesh.").await.unwrap().iter().collect();
    addresses.sort();
    assert_eq!(addresses, ["10.96.0.1", "fd00::1"].map(|text| text.parse::<IpAddr>().unwrap()));
    let service = resolver.srv_lookup("_http._tcp.web.shop.traefik.mesh.").await.unwrap();
    let targets: Vec<String> = service
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(format!("{} {}", srv.target, srv.port)),
            _ => None,
        })
        .collect();
    assert_eq!(targets, ["web.shop.traefik.mesh. 80"]);
    // More than fits a datagram: the resolver comes back over TCP.
    let crowd = resolver.ipv4_lookup("crowd.shop.maesh.").await.unwrap();
    assert_eq!(crowd.answers().len(), 200);
}

#[tokio::test]
async fn a_resolver_understands_that_there_is_nothing() {
    let resolver = resolver(start("127.0.0.1:0"));
    let missing = resolver.ipv4_lookup("no.shop.mesh.").await.unwrap_err();
    assert!(missing.is_nx_domain(), "{missing}");
    let empty = resolver.ipv6_lookup("cart.shop.mesh.").await.unwrap_err();
    assert!(empty.is_no_records_found() && !empty.is_nx_domain(), "{empty}");
}

#[tokio::test]
async fn a_connection_carries_question_after_question() {
    let mut stream = TcpStream::connect(start("127.0.0.1:0")).await.unwrap();
    send(&mut stream, &question("web.shop.mesh.")).await;
    send(&mut stream, &question("no.shop.mesh.")).await;
    assert_eq!(receive(&mut stream).await.unwrap().metadata.response_code, ResponseCode::NoError);
    assert_eq!(receive(&mut stream).await.unwrap().metadata.response_code, ResponseCode::NXDomain);
    send(&mut stream, &[1, 2, 3]).await;
    assert!(receive(&mut stream).await.is_err(), "who sends no DNS is left");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let mut stream = TcpStream::connect(start("127.0.0.1:0")).await.unwrap();
    stream.write_all(&[0]).await.unwrap();
    assert!(receive(&mut stream).await.is_err());
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_others_to_end() {
    let address = start("127.0.0.1:0");
    let mut held = Vec::new();
    for _ in 0..MOST_CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        send(&mut stream, &question("web.shop.mesh.")).await;
        receive(&mut stream).await.unwrap();
        held.push(stream);
    }
    let mut waiting = TcpStream::connect(address).await.unwrap();
    send(&mut waiting, &question("web.shop.mesh.")).await;
    assert!(timeout(Duration::from_millis(100), receive(&mut waiting)).await.is_err());
    held.pop();
    assert_eq!(receive(&mut waiting).await.unwrap().metadata.response_code, ResponseCode::NoError);
}

#[tokio::test]
async fn a_damaged_datagram_leaves_the_server_answering() {
    let address = start("127.0.0.1:0");
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for packet in
        [vec![], vec![0; 5], vec![0xff; 600], vec![0; 5000], question("web.shop.mesh.")[..20].to_vec()]
    {
        socket.send_to(&packet, address).await.unwrap();
    }
    socket.send_to(&question("web.shop.mesh."), address).await.unwrap();
    let mut buffer = [0; 1500];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
        let reply = Message::from_vec(&buffer[..length]).unwrap();
        if reply.metadata.response_code == ResponseCode::NoError {
            break;
        }
        assert_eq!(reply.metadata.response_code, ResponseCode::FormErr);
    }
}

#[tokio::test]
async fn a_taken_address_is_an_error() {
    let taken = start("127.0.0.1:0");
    assert!(matches!(Sockets::bind(taken), Err(Error::Bind { address, .. }) if address == taken));
}
