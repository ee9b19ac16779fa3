//! Which endpoint a request goes to.

use crate::common::{
    GET, Mesh, ask,
    backend::{Backend, ok},
    connect, content, free_port,
    message::{self, exchange},
    policy::{asking, connect_from, eventually, request},
    within,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::io::AsyncWriteExt;
use weft_contract::{
    NodeConfiguration, Policy, Service,
    policy::{Algorithm, HashKey, Proximity, StickyCookie},
};

/// So many backends, each of which answers with its number.
async fn numbered(count: usize) -> Vec<Backend> {
    let mut backends = Vec::new();
    for number in 0..count {
        backends.push(Backend::http(move |_| ok(number.to_string().as_bytes())).await);
    }
    backends
}

fn addresses(backends: &[Backend]) -> Vec<SocketAddr> {
    backends.iter().map(|backend| backend.address).collect()
}

fn counts(backends: &[Backend]) -> Vec<usize> {
    backends.iter().map(|backend| backend.requests().len()).collect()
}

fn by(algorithm: Algorithm) -> impl FnOnce(&mut Policy) {
    move |policy| {
        policy.balancing.algorithm = algorithm;
        policy.balancing.slow_start = Duration::ZERO;
    }
}

async fn mesh(backends: &[Backend], change: impl FnOnce(&mut Policy)) -> (Mesh, u16) {
    let port = free_port();
    (Mesh::with(vec![asking("web", port, &addresses(backends), change)]).await, port)
}

#[tokio::test]
async fn requests_of_one_connection_are_balanced_one_by_one() {
    for algorithm in [Algorithm::P2cEwma, Algorithm::LeastRequest, Algorithm::RoundRobin] {
        let backends = numbered(3).await;
        let (_mesh, port) = mesh(&backends, by(algorithm.clone())).await;
        let mut client = connect(port).await;
        for _ in 0..150 {
            assert_eq!(exchange(&mut client, GET.as_bytes()).await.status(), 200);
        }
        let mut counts = counts(&backends);
        counts.sort_unstable();
        match algorithm {
            Algorithm::RoundRobin => assert_eq!(counts, [50, 50, 50]),
            Algorithm::LeastRequest => assert!(counts[0] >= 20, "{counts:?}: with one at a time by chance"),
            // One whose first answer was slow may be out of favour for a while.
            _ => assert!(counts[1] >= 20, "{counts:?}"),
        }
    }
}

#[tokio::test]
async fn the_turn_goes_on_through_changes_of_other_things() {
    let backends = numbered(4).await;
    let (mut mesh, port) = mesh(&backends, by(Algorithm::RoundRobin)).await;
    for turn in 0..10 {
        for _ in 0..2 {
            ask(port, GET).await;
        }
        let mut web = asking("web", port, &addresses(&backends), by(Algorithm::RoundRobin));
        web.policy.timeouts.request = Some(Duration::from_secs(10 + turn));
        mesh.apply(vec![web]).await;
    }
    assert_eq!(counts(&backends), [5, 5, 5, 5]);
}

/// Asks many times with each of some keys; each must find its own backend, and they must not all find the same.
async fn assert_sticks(algorithm: HashKey, fields: impl Fn(usize) -> String) {
    let backends = numbered(4).await;
    let (mut mesh, port) = mesh(&backends, by(Algorithm::Hash(algorithm.clone()))).await;
    let ask_for = async |key: usize| ask(port, &request("GET /", &[&fields(key)])).await.text().to_owned();
    let mut first = Vec::new();
    for key in 0..30 {
        first.push(ask_for(key).await);
    }
    for (key, found) in first.iter().enumerate() {
        assert_eq!(ask_for(key).await, *found, "{key}");
    }
    assert!(counts(&backends).iter().all(|count| *count > 0), "{:?}", counts(&backends));

    // One goes: what was elsewhere stays there, but for a few.
    let gone = asking("web", port, &addresses(&backends[..3]), by(Algorithm::Hash(algorithm)));
    mesh.apply(vec![gone]).await;
    let mut moved = 0;
    for (key, before) in first.iter().enumerate() {
        let now = ask_for(key).await;
        assert_ne!(now, "3");
        moved += usize::from(before != "3" && now != *before);
    }
    assert!(moved <= 6, "{moved} of 30 moved");
}

#[tokio::test]
async fn the_same_header_finds_the_same_endpoint() {
    assert_sticks(HashKey::Header("x-user".into()), |key| format!("X-User: {key}")).await;
}

#[tokio::test]
async fn the_same_cookie_finds_the_same_endpoint() {
    assert_sticks(HashKey::Cookie("user".into()), |key| format!("cookie: other=1; user={key}")).await;
}

#[tokio::test]
async fn the_same_client_finds_the_same_endpoint() {
    let backends = numbered(4).await;
    let (_mesh, port) = mesh(&backends, by(Algorithm::Hash(HashKey::SourceAddress))).await;
    for client in 2..22 {
        let mut found = Vec::new();
        for _ in 0..3 {
            let mut stream = connect_from(client, port).await;
            found.push(exchange(&mut stream, GET.as_bytes()).await.text().to_owned());
        }
        found.dedup();
        assert_eq!(found.len(), 1, "{client}");
    }
    assert!(counts(&backends).iter().filter(|count| **count > 0).count() >= 3, "{:?}", counts(&backends));
}

#[tokio::test]
async fn a_cookie_keeps_a_client_at_its_endpoint_until_that_goes() {
    let backends = numbered(4).await;
    let sticky = |policy: &mut Policy| {
        by(Algorithm::RoundRobin)(policy);
        policy.balancing.sticky = Some(StickyCookie { name: "weft".into() });
    };
    let (mut mesh, port) = mesh(&backends, sticky).await;
    let first = ask(port, GET).await;
    let set = first.header("set-cookie").unwrap();
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
    let cookie = format!("cookie: {}", set.split(';').next().unwrap());
    let own: usize = first.text().parse().unwrap();
    assert!(!cookie.contains(&backends[own].address.port().to_string()), "tells no address: {cookie}");
    for _ in 0..10 {
        let answer = ask(port, &request("GET /", &[&cookie])).await;
        assert_eq!((answer.text(), answer.header("set-cookie")), (first.text(), None));
    }
    let forged = ask(port, &request("GET /", &["cookie: weft=forged"])).await;
    assert!(forged.header("set-cookie").is_some(), "what means no endpoint is replaced");

    let left: Vec<_> =
        addresses(&backends).into_iter().filter(|left| *left != backends[own].address).collect();
    mesh.apply(vec![asking("web", port, &left, sticky)]).await;
    let moved = ask(port, &request("GET /", &[&cookie])).await;
    let set = moved.header("set-cookie").expect("a new cookie");
    let cookie = format!("cookie: {}", set.split(';').next().unwrap());
    for _ in 0..5 {
        assert_eq!(ask(port, &request("GET /", &[&cookie])).await.text(), moved.text());
    }
}

#[tokio::test]
async fn a_slow_endpoint_gets_less() {
    let mut backends = numbered(3).await;
    backends.push(Backend::slow(Duration::from_millis(50), |_| ok(b"slow")).await);
    let (_mesh, port) = mesh(&backends, by(Algorithm::P2cEwma)).await;
    let clients = (0..4).map(|_| async {
        let mut client = connect(port).await;
        for _ in 0..100 {
            assert_eq!(exchange(&mut client, GET.as_bytes()).await.status(), 200);
        }
    });
    within(futures::future::join_all(clients)).await;
    let counts = counts(&backends);
    assert!(counts[3] <= 40, "{counts:?}: a tenth at most, where an equal share were a quarter");
    assert!(counts[3] >= 1, "{counts:?}");
}

/// Answers, and counts the connections that were closed by the other side.
async fn counting_ends() -> (Backend, Arc<AtomicUsize>) {
    let ended = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ended);
    let backend = Backend::connections(move |mut stream, _, noted| {
        let counted = Arc::clone(&counted);
        async move {
            while let Ok(Some(request)) = message::read(&mut stream, false).await {
                noted.lock().unwrap().push(request);
                stream.write_all(&ok(b"hello")).await.unwrap();
            }
            counted.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    (backend, ended)
}

#[tokio::test]
async fn connections_to_an_endpoint_that_is_gone_are_closed_and_those_to_others_kept() {
    let ((going, ended), (staying, kept)) = (counting_ends().await, counting_ends().await);
    let port = free_port();
    let both = [going.address, staying.address];
    let mut mesh = Mesh::with(vec![asking("web", port, &both, by(Algorithm::RoundRobin))]).await;
    let mut client = connect(port).await;
    for _ in 0..10 {
        exchange(&mut client, GET.as_bytes()).await;
    }
    assert_eq!((going.opened(), staying.opened()), (1, 1));
    mesh.apply(vec![asking("web", port, &both[1..], by(Algorithm::RoundRobin))]).await;
    let start = tokio::time::Instant::now();
    let closed = async || {
        exchange(&mut client, GET.as_bytes()).await;
        ended.load(Ordering::SeqCst) == 1
    };
    eventually("its connection is closed", closed).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!((staying.opened(), kept.load(Ordering::SeqCst)), (1, 0));
    assert_eq!(going.requests().len(), 5);
}

fn placed(mut service: Service, places: &[(&Backend, &str, &str)]) -> NodeConfiguration {
    for endpoint in &mut service.ports[0].endpoints {
        let (_, node, zone) =
            places.iter().find(|(backend, ..)| backend.address.port() == endpoint.port).unwrap();
        endpoint.node = Some((*node).to_owned());
        endpoint.zone = Some((*zone).to_owned());
        endpoint.hints.zones = vec![(*zone).to_owned()];
    }
    service.ports[0].endpoints.sort();
    let (_, content) = content(vec![service]);
    let mut configuration: NodeConfiguration =
        serde_json::from_str(content.plain.as_deref().unwrap()).unwrap();
    configuration.zone = Some("zone-1".into());
    configuration
}

#[tokio::test]
async fn near_endpoints_are_preferred_and_far_ones_take_over() {
    let backends = numbered(4).await;
    let places = [
        (&backends[0], "node-1", "zone-1"),
        (&backends[1], "node-2", "zone-1"),
        (&backends[2], "node-3", "zone-1"),
        (&backends[3], "node-4", "zone-2"),
    ];
    for (proximity, near) in
        [(Proximity::Node, &[0][..]), (Proximity::Zone, &[0, 1, 2]), (Proximity::Any, &[0, 1, 2, 3])]
    {
        let port = free_port();
        let before = counts(&backends);
        let near_by = |endpoints: &[SocketAddr]| {
            asking("web", port, endpoints, |policy| {
                by(Algorithm::RoundRobin)(policy);
                policy.balancing.proximity = proximity;
            })
        };
        let mut mesh = Mesh::with(vec![]).await;
        mesh.apply_configuration(&placed(near_by(&addresses(&backends)), &places)).await;
        for _ in 0..24 {
            assert_eq!(ask(port, GET).await.status(), 200);
        }
        let share = |index| counts(&backends)[index] - before[index];
        for index in 0..4 {
            let expected = if near.contains(&index) { 24 / near.len() } else { 0 };
            assert_eq!(share(index), expected, "{proximity:?} {index}");
        }
        // The one on this node goes: the nearest of the others take over.
        mesh.apply_configuration(&placed(near_by(&addresses(&backends[1..])), &places)).await;
        let far = counts(&backends)[3];
        for _ in 0..6 {
            assert_eq!(ask(port, GET).await.status(), 200);
        }
        let spilled = counts(&backends)[3] - far;
        assert_eq!(spilled, if proximity == Proximity::Any { 2 } else { 0 }, "{proximity:?}");
    }
}
