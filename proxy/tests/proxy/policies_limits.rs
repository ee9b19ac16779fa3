//! How much is let through: rate limits, and bounds of what is under way.

use crate::common::{
    self, GET, Mesh, ask,
    backend::{Backend, ok},
    connect, content, free_port,
    message::{Message, exchange},
    policy::{asking, begin, connect_from, end, eventually, flag, request, request_with},
    within,
};
use futures::future::select_all;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpStream, sync::Semaphore, time::Instant};
use weft_contract::{
    NodeConfiguration, Policy, ServiceKey, Source,
    policy::{Bulkhead, RateLimit, RateLimitKey, RateLimitScope},
};

async fn mesh(endpoints: &[SocketAddr], change: impl FnOnce(&mut Policy)) -> (Mesh, u16) {
    let port = free_port();
    (Mesh::with(vec![asking("web", port, endpoints, change)]).await, port)
}

/// One request a second in the long run, so that the burst is most of what passes within a test.
fn limited(burst: u32, key: RateLimitKey) -> impl FnOnce(&mut Policy) {
    move |policy| {
        policy.rate_limit =
            Some(RateLimit { average: 1, burst, key, scope: RateLimitScope::Node, proxies: 1 });
    }
}

/// How many of the next requests pass, up to the first that does not.
async fn passing(client: &mut TcpStream, request: &str) -> usize {
    for passed in 0.. {
        let answer = exchange(client, request.as_bytes()).await;
        if answer.status() != 200 {
            assert_limited(&answer);
            return passed;
        }
    }
    unreachable!()
}

#[track_caller]
fn assert_limited(answer: &Message) {
    assert_eq!((answer.status(), flag(answer)), (429, Some("rate_limited")), "{}", answer.head);
    assert_eq!(answer.header("retry-after"), Some("1"), "{}", answer.head);
    assert_eq!(answer.text(), "weft: too many requests\n");
}

/// Allows for the tokens that come back while a slow machine sends the requests.
#[track_caller]
fn assert_about(passed: usize, burst: usize, since: Instant) {
    let more = since.elapsed().as_secs() as usize + 1;
    assert!((burst..=burst + more).contains(&passed), "{passed} of {burst}");
}

#[tokio::test]
async fn each_client_has_its_own_limit() {
    let backend = Backend::named("hello").await;
    let (mesh, port) = mesh(&[backend.address], limited(5, RateLimitKey::SourceAddress)).await;
    let start = Instant::now();
    let (mut one, mut other) = (connect_from(2, port).await, connect_from(3, port).await);
    assert_about(passing(&mut one, GET).await, 5, start);
    assert_about(passing(&mut connect_from(2, port).await, GET).await, 0, start);
    assert_about(passing(&mut other, GET).await, 5, start);
    mesh.answers("web", "rate_limited", 3).await;
    mesh.shows("requests_total", "web", "code=\"4xx\"", 3).await;
    let later = async || exchange(&mut one, GET.as_bytes()).await.status() == 200;
    eventually("it may come again when it was told to", later).await;
}

#[tokio::test]
async fn a_service_has_one_limit_for_all() {
    let backend = Backend::named("hello").await;
    let (_mesh, port) = mesh(&[backend.address], limited(5, RateLimitKey::Service)).await;
    let start = Instant::now();
    assert_about(passing(&mut connect_from(2, port).await, GET).await, 5, start);
    assert_about(passing(&mut connect_from(3, port).await, GET).await, 0, start);
}

#[tokio::test]
async fn each_value_of_a_header_has_its_own_limit() {
    let backend = Backend::named("hello").await;
    let (_mesh, port) = mesh(&[backend.address], limited(4, RateLimitKey::Header("x-key".into()))).await;
    let start = Instant::now();
    let mut client = connect(port).await;
    for fields in [&["X-Key: a"][..], &["x-key: b"], &[]] {
        assert_about(passing(&mut client, &request("GET /", fields)).await, 4, start);
    }
}

#[tokio::test]
async fn each_service_account_has_its_own_limit() {
    let backend = Backend::named("hello").await;
    let port = free_port();
    let web = asking("web", port, &[backend.address], limited(5, RateLimitKey::ServiceAccount));
    let (_, plain) = content(vec![web]);
    let mut configuration: NodeConfiguration = serde_json::from_str(plain.plain.as_deref().unwrap()).unwrap();
    let source = |byte, account: &str| Source {
        address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, byte)),
        namespace: "shop".into(),
        service_account: account.into(),
        identity_bindings: Vec::new(),
    };
    configuration.sources = vec![source(2, "front"), source(3, "front"), source(4, "batch")];
    let mut mesh = Mesh::with(vec![]).await;
    mesh.apply_configuration(&configuration).await;
    let start = Instant::now();
    assert_about(passing(&mut connect_from(2, port).await, GET).await, 5, start);
    assert_about(passing(&mut connect_from(3, port).await, GET).await, 0, start);
    assert_about(passing(&mut connect_from(4, port).await, GET).await, 5, start);
    assert_about(passing(&mut connect_from(5, port).await, GET).await, 5, start);
    assert_about(passing(&mut connect_from(6, port).await, GET).await, 5, start);
}

#[tokio::test]
async fn a_limit_of_the_cluster_is_divided_and_who_carries_it_says_so() {
    let backend = Backend::named("hello").await;
    let (port, idle, node) = (free_port(), free_port(), free_port());
    let cluster = |policy: &mut Policy| {
        policy.rate_limit = Some(RateLimit {
            average: 4,
            burst: 20,
            key: RateLimitKey::Service,
            scope: RateLimitScope::Cluster,
            proxies: 4,
        });
    };
    let mesh = Mesh::with(vec![
        asking("web", port, &[backend.address], cluster),
        asking("idle", idle, &[backend.address], cluster),
        asking("node", node, &[backend.address], limited(5, RateLimitKey::Service)),
    ])
    .await;
    assert!(mesh.confirmation().await.carrying.is_empty());
    let start = Instant::now();
    assert_about(passing(&mut connect(port).await, GET).await, 5, start);
    assert_eq!(ask(node, GET).await.status(), 200);
    assert_eq!(mesh.confirmation().await.carrying, [ServiceKey::new("shop", "web")]);
}

#[tokio::test]
async fn a_bucket_stays_as_full_as_it_is_when_the_configuration_changes() {
    let backend = Backend::named("hello").await;
    let port = free_port();
    let web = asking("web", port, &[backend.address], limited(5, RateLimitKey::SourceAddress));
    let mut mesh = Mesh::with(vec![web.clone()]).await;
    let start = Instant::now();
    let mut client = connect(port).await;
    assert_about(passing(&mut client, GET).await, 5, start);
    let another = Backend::named("hello").await;
    let mut changed = web.clone();
    changed.ports[0].endpoints.extend(asking("x", 0, &[another.address], |_| {}).ports[0].endpoints.clone());
    changed.ports[0].endpoints.sort();
    for services in [vec![web.clone(), asking("other", free_port(), &[], |_| {})], vec![changed]] {
        mesh.apply(services).await;
        assert_about(passing(&mut client, GET).await, 0, start);
    }
}

/// Answers a request when it is told to.
async fn held() -> (Backend, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let backend = Backend::connections(move |mut stream, _, noted| {
        let gate = Arc::clone(&opened);
        async move {
            use tokio::io::AsyncWriteExt;
            while let Ok(Some(request)) = common::message::read(&mut stream, false).await {
                noted.lock().unwrap().push(request);
                gate.acquire().await.unwrap().forget();
                if stream.write_all(&ok(b"held")).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (backend, gate)
}

fn bounded(bulkhead: Bulkhead) -> impl FnOnce(&mut Policy) {
    move |policy| {
        policy.bulkhead = bulkhead;
        policy.retry.attempts = 1;
    }
}

/// No bound but those that a test sets.
fn unbounded() -> Bulkhead {
    Bulkhead { service: 0, source: 0, endpoint: 0, queue: 0, queue_timeout: Duration::from_secs(60) }
}

#[track_caller]
fn assert_overloaded(answer: &Message) {
    assert_eq!((answer.status(), flag(answer)), (503, Some("overloaded")), "{}", answer.head);
    assert!(answer.header("retry-after").is_some(), "{}", answer.head);
}

/// Begins so many requests, each on a connection of its own.
async fn begun(count: usize, from: u8, port: u16) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = connect_from(from, port).await;
        begin(&mut client, GET).await;
        clients.push(client);
    }
    clients
}

/// The first answer to any of them.
async fn first_answer(clients: &mut [TcpStream]) -> Message {
    select_all(clients.iter_mut().map(|client| Box::pin(end(client)))).await.0
}

async fn under_way(backend: &Backend, count: usize) {
    eventually("they are under way", async || backend.requests().len() == count).await;
}

#[tokio::test]
async fn what_is_above_the_bound_of_a_service_waits_and_what_is_above_the_queue_is_refused() {
    let (backend, gate) = held().await;
    let (mesh, port) =
        mesh(&[backend.address], bounded(Bulkhead { service: 2, queue: 2, ..unbounded() })).await;
    let mut going = begun(2, 2, port).await;
    under_way(&backend, 2).await;
    let mut waiting = begun(1, 2, port).await;
    // Whether the others have their place in the queue shows only in who finds none.
    waiting.extend(begun(2, 2, port).await);
    let refused = first_answer(&mut waiting).await;
    assert_overloaded(&refused);
    assert_eq!(backend.requests().len(), 2, "and no more than two were ever under way");
    gate.add_permits(1);
    under_way(&backend, 3).await;
    gate.add_permits(3);
    for client in &mut going {
        assert_eq!(end(client).await.text(), "held");
    }
    under_way(&backend, 4).await;
    mesh.answers("web", "overloaded", 1).await;
}

/// Asks a backend that has its one request under way already.
async fn waits_too_long(bulkhead: Bulkhead) {
    let (backend, _gate) = held().await;
    let timeout = Duration::from_millis(100);
    let bulkhead = Bulkhead { queue: 5, queue_timeout: timeout, ..bulkhead };
    let (_mesh, port) = mesh(&[backend.address], bounded(bulkhead)).await;
    let _going = begun(1, 2, port).await;
    under_way(&backend, 1).await;
    let start = Instant::now();
    assert_overloaded(&ask(port, GET).await);
    assert!(start.elapsed() >= timeout);
    assert_overloaded(&ask(port, &request_with("POST /", "body")).await);
}

#[tokio::test]
async fn who_waits_too_long_is_refused() {
    waits_too_long(Bulkhead { service: 1, ..unbounded() }).await;
}

#[tokio::test]
async fn one_noisy_client_starves_no_other() {
    let (backend, gate) = held().await;
    let bulkhead = Bulkhead { service: 10, source: 3, queue: 4, ..unbounded() };
    let (_mesh, port) = mesh(&[backend.address], bounded(bulkhead)).await;
    let _noisy = begun(50, 2, port).await;
    under_way(&backend, 3).await;
    let mut quiet = begun(2, 3, port).await;
    under_way(&backend, 5).await;
    gate.add_permits(5);
    for client in &mut quiet {
        assert_eq!(end(client).await.text(), "held");
    }
}

#[tokio::test]
async fn an_endpoint_has_no_more_than_its_bound() {
    let ((one, gate), (other, _)) = (held().await, held().await);
    let bulkhead = Bulkhead { endpoint: 2, ..unbounded() };
    let (_mesh, port) = mesh(&[one.address, other.address], bounded(bulkhead)).await;
    let mut going = begun(4, 2, port).await;
    under_way(&one, 2).await;
    under_way(&other, 2).await;
    let answer = ask(port, GET).await;
    assert_overloaded(&answer);
    assert_eq!(answer.text(), "weft: no endpoint of shop/web:80 has room for another request\n");
    gate.add_permits(1);
    assert_eq!(first_answer(&mut going).await.text(), "held");
    let mut next = begun(1, 2, port).await;
    under_way(&one, 3).await;
    gate.add_permits(3);
    assert_eq!(end(&mut next[0]).await.text(), "held");
}

#[tokio::test]
async fn what_finds_every_endpoint_full_waits_and_what_finds_the_queue_full_is_refused() {
    let (backend, gate) = held().await;
    let (mesh, port) =
        mesh(&[backend.address], bounded(Bulkhead { endpoint: 2, queue: 2, ..unbounded() })).await;
    let mut going = begun(2, 2, port).await;
    under_way(&backend, 2).await;
    // Whether the others have their place in the queue shows only in who finds none.
    let mut waiting = begun(4, 2, port).await;
    for _ in 0..2 {
        let (refused, index, _) = select_all(waiting.iter_mut().map(|client| Box::pin(end(client)))).await;
        assert_overloaded(&refused);
        drop(waiting.remove(index));
    }
    // One of them goes away, and takes no turn.
    socket2::SockRef::from(&waiting[0]).set_linger(Some(Duration::ZERO)).unwrap();
    drop(waiting.remove(0));
    mesh.shows("requests_total", "web", "code=\"none\"", 1).await;
    gate.add_permits(3);
    for client in going.iter_mut().chain(&mut waiting) {
        assert_eq!(end(client).await.text(), "held");
    }
    assert_eq!(backend.requests().len(), 3);
    mesh.answers("web", "overloaded", 2).await;
}

#[tokio::test]
async fn who_waits_too_long_for_an_endpoint_is_refused() {
    waits_too_long(Bulkhead { endpoint: 1, ..unbounded() }).await;
}

/// However a request ends, its place is free again.
#[tokio::test]
async fn a_place_is_given_back_on_every_way_out() {
    let backend = Backend::connections(|mut stream, _, noted| async move {
        use tokio::io::AsyncWriteExt;
        while let Ok(Some(request)) = common::message::read(&mut stream, false).await {
            let path = request.head.split(' ').nth(1).unwrap().to_owned();
            noted.lock().unwrap().push(request);
            match path.as_str() {
                "/answer" => stream.write_all(&ok(b"answer")).await.unwrap(),
                "/break" => return,
                "/half" => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
                    return;
                }
                "/nonsense" => stream.write_all(b"nonsense\r\n\r\n").await.unwrap(),
                _ => tokio::time::sleep(Duration::from_secs(60)).await,
            }
        }
    })
    .await;
    let (_mesh, port) = mesh(&[backend.address], |policy| {
        bounded(Bulkhead { service: 1, source: 1, endpoint: 1, ..unbounded() })(policy);
        policy.timeouts.request = Some(Duration::from_millis(300));
        policy.outlier.consecutive = 0;
    })
    .await;
    let free_again = async || {
        let free = async || ask(port, "GET /answer HTTP/1.1\r\nhost: a\r\n\r\n").await.status() == 200;
        eventually("the place is free again", free).await;
    };
    for path in ["/answer", "/break", "/nonsense", "/late"] {
        ask(port, &request(&format!("GET {path}"), &[])).await;
        free_again().await;
    }
    let mut client = connect(port).await;
    begin(&mut client, &request("GET /half", &[])).await;
    assert!(within(common::message::read(&mut client, false)).await.is_err());
    free_again().await;
    // The client goes away: while it waits for the answer, and within its own body.
    for sent in
        [request("GET /late", &[]), "POST /late HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf".into()]
    {
        let before = backend.requests().len();
        let mut client = connect(port).await;
        begin(&mut client, &sent).await;
        if sent.starts_with("GET") {
            under_way(&backend, before + 1).await;
        }
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        free_again().await;
    }
}
