//! Splits, and what they are together with access control.

use crate::common::{
    self, Mesh,
    access::{all, configuration, controlled, requests},
    ask,
    backend::Backend,
    connect, dead, free_port, http, http2,
    message::exchange,
    policy::{connect_from, flag, request, try_connect_from},
    tcp, within,
};
use std::collections::BTreeMap;
use tokio::io::AsyncReadExt;
use weft_contract::{
    HeaderRegex, HttpMatch, Service, ServiceKey, Split, SplitBackend, SplitSticky,
    policy::{RateLimit, RateLimitKey, RateLimitScope, Scheme},
};

fn split(backends: &[(&str, u32)]) -> Split {
    let backend = |(name, weight): &(&str, u32)| SplitBackend {
        service: ServiceKey::new("shop", *name),
        weight: *weight,
        ports: vec![80],
    };
    Split {
        name: "web".into(),
        matches: None,
        backends: backends.iter().map(backend).collect(),
        sticky: None,
    }
}

/// Which answers came, and how often.
async fn counts(port: u16, times: u32, path: &str) -> BTreeMap<String, u32> {
    let mut stream = connect(port).await;
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        let answer = exchange(&mut stream, request(&format!("GET {path}"), &[]).as_bytes()).await;
        let what = if answer.status() == 200 { answer.text().into() } else { answer.status().to_string() };
        *counts.entry(what).or_default() += 1;
    }
    counts
}

fn counted(expected: &[(&str, u32)]) -> BTreeMap<String, u32> {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// Whether these came, each as often give or take one.
fn about(found: &BTreeMap<String, u32>, expected: &[(&str, u32)]) -> bool {
    let near =
        |(name, count): &(&str, u32)| found.get(*name).is_some_and(|found| found.abs_diff(*count) <= 1);
    found.len() == expected.len() && expected.iter().all(near)
}

/// The Services `web`, which is split, `stable` and `canary`, and the port of the first.
struct Shop {
    mesh: Mesh,
    port: u16,
    backends: [Backend; 3],
    listeners: [u16; 3],
}

impl Shop {
    async fn with(change: impl FnOnce(&mut Service)) -> Self {
        let backends = [
            Backend::named("web").await,
            Backend::named_at(11, "stable").await,
            Backend::named_at(12, "canary").await,
        ];
        let listeners = [free_port(), free_port(), free_port()];
        let mesh = Mesh::start(tempfile::tempdir().unwrap());
        let mut shop = Self { mesh, port: listeners[0], backends, listeners };
        let services = shop.services(change);
        shop.mesh.apply(services).await;
        shop
    }

    fn services(&self, change: impl FnOnce(&mut Service)) -> Vec<Service> {
        let names = ["web", "stable", "canary"];
        let service =
            |place: usize| http(names[place], self.listeners[place], &[self.backends[place].address]);
        let mut web = service(0);
        change(&mut web);
        vec![web, service(1), service(2)]
    }
}

#[tokio::test]
async fn weights_hold_within_a_percent_over_http1_and_http2() {
    let shop = Shop::with(|web| web.split = Some(split(&[("stable", 70), ("canary", 30), ("web", 0)]))).await;
    let counted = counts(shop.port, 2_000, "/").await;
    assert!((1_390..=1_410).contains(&counted["stable"]) && counted["canary"] == 2_000 - counted["stable"]);
    let client = http2::connect(shop.port).await;
    let mut canary = 0;
    for _ in 0..1_000 {
        let answer = http2::ask(&client, http2::get("/")).await.unwrap();
        canary += u32::from(answer.body == b"canary");
    }
    assert!((295..=305).contains(&canary), "{canary}");
    let stable = 3_000 - canary - counted["canary"];
    for (backend, count) in [("stable", stable), ("canary", canary + counted["canary"])] {
        let label = format!("backend=\"{backend}\",code=\"2xx\"");
        shop.mesh.shows("backend_requests_total", "web", &label, count.into()).await;
        let label = format!("backend=\"{backend}\"");
        shop.mesh.shows("backend_request_duration_seconds_count", "web", &label, count.into()).await;
    }
    shop.mesh.shows("requests_total", "web", "code=\"2xx\"", 3_000).await;
}

#[tokio::test]
async fn a_root_may_be_its_own_backend_and_backends_are_not_split_again() {
    let mut shop = Shop::with(|web| web.split = Some(split(&[("web", 1), ("canary", 1)]))).await;
    let counted_first = counts(shop.port, 100, "/").await;
    assert!(about(&counted_first, &[("web", 50), ("canary", 50)]), "{counted_first:?}");
    let mut services = shop.services(|web| web.split = Some(split(&[("canary", 1)])));
    services[2].split = Some(split(&[("stable", 1)]));
    services[0].ports[0].endpoints.clear(); // a root without pods
    shop.mesh.apply(services).await;
    assert_eq!(counts(shop.port, 10, "/").await, counted(&[("canary", 10)]));
    assert_eq!(counts(shop.listeners[2], 10, "/").await, counted(&[("stable", 10)]));
}

#[tokio::test]
async fn without_a_side_to_go_to_there_is_an_answer() {
    for backends in [vec![], vec![("stable", 0), ("canary", 0)], vec![("missing", 1)]] {
        let shop = Shop::with(|web| web.split = Some(split(&backends))).await;
        let answer = ask(shop.port, common::GET).await;
        assert_eq!((answer.status(), flag(&answer)), (503, Some("no_endpoint")));
        assert_eq!(answer.text(), "weft: the split of shop/web:80 has no backend to go to\n");
    }
    // What is missing for a moment is made up for by the others.
    let shop = Shop::with(|web| web.split = Some(split(&[("missing", 1), ("stable", 1)]))).await;
    assert_eq!(counts(shop.port, 10, "/").await, counted(&[("stable", 10)]));
}

#[tokio::test]
async fn what_does_not_match_goes_to_the_root() {
    let condition = HttpMatch {
        path: Some("/new".into()),
        methods: vec!["GET".into()],
        headers: vec![HeaderRegex { name: "x-user".into(), regex: "^a".into() }],
    };
    let matches = Some(vec![condition, HttpMatch { path: Some("/always$".into()), ..HttpMatch::default() }]);
    let shop = Shop::with(|web| web.split = Some(Split { matches, ..split(&[("canary", 1)]) })).await;
    for (line, field, expected) in [
        ("GET /new/1", "x-user: alice", "canary"),
        ("GET /new/1", "x-user: bob", "web"),
        ("POST /new/1", "x-user: alice", "web"),
        ("GET /old", "x-user: alice", "web"),
        ("GET /always?x=1", "x-user: bob", "canary"),
    ] {
        let answer = ask(shop.port, &request(line, &[field, "content-length: 0"])).await;
        assert_eq!(answer.text(), expected, "{line} {field}");
    }
}

#[tokio::test]
async fn the_roots_policy_holds_and_the_backends_scheme_and_port() {
    let h2c = http2::Backend::streams(|mut stream| async move {
        let answer =
            stream.request.headers.get("x-root").map_or("", |value| value.to_str().unwrap()).to_owned();
        let mut send = stream.respond.send_response(http::Response::new(()), false).unwrap();
        http2::send(&mut send, answer.into(), true).await.unwrap();
    })
    .await;
    let port = free_port();
    let mut web = http("web", port, &[dead()]);
    web.split = Some(split(&[("new", 1)]));
    web.policy.actions.request_headers =
        vec![weft_contract::policy::HeaderChange::Set("x-root".into(), "of the root".into())];
    let (average, burst) = (1, 2);
    let (key, scope) = (RateLimitKey::Service, RateLimitScope::default());
    web.policy.rate_limit = Some(RateLimit { average, burst, key, scope, proxies: 1 });
    let mut new = http("new", free_port(), &[h2c.address]);
    new.ports[0].scheme = Scheme::H2c;
    new.ports[0].listener = None; // only through the split
    new.policy.actions.request_headers =
        vec![weft_contract::policy::HeaderChange::Set("x-root".into(), "of the backend".into())];
    let _mesh = Mesh::with(vec![web, new]).await;
    assert_eq!(ask(port, common::GET).await.text(), "of the root");
    assert_eq!(ask(port, common::GET).await.status(), 200);
    assert_eq!(ask(port, common::GET).await.status(), 429);
}

#[tokio::test]
async fn a_retry_stays_on_its_side() {
    let stable = Backend::named("stable").await;
    let port = free_port();
    let mut web = http("web", port, &[]);
    web.split = Some(split(&[("stable", 1), ("canary", 1)]));
    let canary = http("canary", free_port(), &[dead(), dead()]);
    let _mesh = Mesh::with(vec![web, http("stable", free_port(), &[stable.address]), canary]).await;
    let counts = counts(port, 20, "/").await;
    assert!(about(&counts, &[("stable", 10), ("502", 10)]), "{counts:?}");
}

#[tokio::test]
async fn a_cookie_keeps_its_user_on_one_side_also_where_weights_change() {
    let sticky = |stable, canary| {
        let sticky = Some(SplitSticky::Cookie("side".into()));
        Some(Split { sticky, ..split(&[("stable", stable), ("canary", canary)]) })
    };
    let mut shop = Shop::with(|web| web.split = sticky(0, 1)).await;
    let answer = ask(shop.port, common::GET).await;
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax") && !cookie.contains("canary"), "{cookie}");
    let cookie = format!("cookie: {}", cookie.split(';').next().unwrap());
    let services = shop.services(|web| web.split = sticky(99, 1));
    shop.mesh.apply(services).await;
    for _ in 0..20 {
        let answer = ask(shop.port, &request("GET /", &[&cookie])).await;
        assert_eq!((answer.text(), answer.header("set-cookie")), ("canary", None));
    }
    let services = shop.services(|web| web.split = sticky(1, 0));
    shop.mesh.apply(services).await;
    let answer = ask(shop.port, &request("GET /", &[&cookie])).await;
    assert_eq!((answer.text(), answer.header("set-cookie").is_some()), ("stable", true));
}

#[tokio::test]
async fn a_header_keeps_its_user_on_one_side() {
    let sticky = Some(SplitSticky::Header("x-user".into()));
    let shop =
        Shop::with(|web| web.split = Some(Split { sticky, ..split(&[("stable", 1), ("canary", 1)]) })).await;
    let mut sides = BTreeMap::new();
    for user in 0..40 {
        let field = format!("x-user: {user}");
        let side = ask(shop.port, &request("GET /", &[&field])).await.text().to_owned();
        for _ in 0..3 {
            assert_eq!(ask(shop.port, &request("GET /", &[&field])).await.text(), side);
        }
        *sides.entry(side).or_insert(0) += 1;
    }
    assert_eq!(sides.len(), 2, "{sides:?}");
}

#[tokio::test]
async fn with_access_control_the_target_backends_own_rules_decide() {
    let shop = Shop::with(|_| ()).await;
    let pods = [(1, "web"), (11, "stable"), (12, "canary"), (7, "front")];
    let services = || shop.services(|web| web.split = Some(split(&[("stable", 1), ("canary", 1)])));
    let grants = vec![all("front", "stable"), requests("front", "canary", &["GET"], "/beta")];
    let mut mesh = Mesh::start(tempfile::tempdir().unwrap());
    let mut services = services();
    for (service, port) in services.iter_mut().zip([free_port(), free_port(), free_port()]) {
        service.ports[0].listener.as_mut().unwrap().port = port;
    }
    let port = services[0].ports[0].listener.as_ref().unwrap().port;
    mesh.apply_configuration(&controlled(services, &pods, grants)).await;
    for (client, path, expected) in [
        (7, "/", [("stable", 5), ("403", 5)].as_slice()),
        (7, "/beta", [("stable", 5), ("canary", 5)].as_slice()),
        (8, "/beta", [("403", 10)].as_slice()),
    ] {
        let mut stream = connect_from(client, port).await;
        let mut found = BTreeMap::new();
        for _ in 0..10 {
            let answer = exchange(&mut stream, request(&format!("GET {path}"), &[]).as_bytes()).await;
            let what =
                if answer.status() == 200 { answer.text().into() } else { answer.status().to_string() };
            *found.entry(what).or_default() += 1;
        }
        assert!(about(&found, expected), "{client} {path}: {found:?}");
    }
    let denied = mesh.metric("denied_total", "web", "mode=\"enforce\"").await;
    assert!((14..=16).contains(&denied), "{denied}");
}

#[tokio::test]
async fn tcp_is_split_by_connection() {
    let named = |last_byte, name: &'static [u8]| {
        Backend::connections_at(last_byte, move |mut stream, _, _| async move {
            use tokio::io::AsyncWriteExt;
            stream.write_all(name).await.unwrap();
        })
    };
    let (a, b) = (named(11, b"a").await, named(12, b"b").await);
    let port = free_port();
    let mut store = tcp("store", port, &[dead()]);
    store.split = Some(split(&[("a", 3), ("b", 1)]));
    let others = || vec![tcp("a", free_port(), &[a.address]), tcp("b", free_port(), &[b.address])];
    let mut mesh = Mesh::with([vec![store.clone()], others()].concat()).await;
    let side = async |client| {
        let mut name = String::new();
        let read = match try_connect_from(client, port).await {
            Ok(mut stream) => within(stream.read_to_string(&mut name)).await,
            Err(error) => Err(error),
        };
        read.map_or_else(|error| error.kind().to_string(), |_| name)
    };
    let mut counts = BTreeMap::new();
    for _ in 0..40 {
        *counts.entry(side(1).await).or_default() += 1;
    }
    assert!(about(&counts, &[("a", 30), ("b", 10)]), "{counts:?}");
    mesh.shows("backend_connections_total", "store", "backend=\"a\"", counts["a"].into()).await;
    // Whose rules? Those of the side that it comes to.
    let pods = [(11, "a"), (12, "b"), (7, "front")];
    let services = [vec![store.clone()], others()].concat();
    mesh.apply_configuration(&controlled(services, &pods, vec![all("front", "b")])).await;
    let mut counts = BTreeMap::new();
    for _ in 0..40 {
        *counts.entry(side(7).await).or_default() += 1;
    }
    assert!(about(&counts, &[("connection reset", 30), ("b", 10)]), "{counts:?}");
    // With conditions there is nothing to split: of a connection nobody knows whether they hold.
    store.split.as_mut().unwrap().matches = Some(vec![HttpMatch::default()]);
    store.ports[0].endpoints = tcp("b", 1, &[b.address]).ports[0].endpoints.clone();
    mesh.apply_configuration(&configuration([vec![store], others()].concat(), &pods)).await;
    for _ in 0..10 {
        assert_eq!(side(7).await, "b");
    }
}
