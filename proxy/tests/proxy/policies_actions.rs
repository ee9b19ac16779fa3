//! What is done to a request on its way.

use crate::common::{
    GET, Mesh, ask,
    backend::Backend,
    connect, dead, free_port, http,
    message::{Message, exchange},
    policy::{asking, begin, eventually, flag, one_a_second, request, request_with},
};
use std::time::Duration;
use tokio::time::Instant;
use weft_contract::{
    Policy, ServiceKey,
    policy::{
        Actions, Cors, Fault, FaultAbort, FaultDelay, HeaderChange, HeaderMatch, Mirror, PathRewrite,
        Redirect,
    },
};

async fn mesh(backend: &Backend, change: impl FnOnce(&mut Policy)) -> (Mesh, u16) {
    let port = free_port();
    (Mesh::with(vec![asking("web", port, &[backend.address], change)]).await, port)
}

fn acting(actions: Actions) -> impl FnOnce(&mut Policy) {
    |policy| policy.actions = actions
}

fn set(name: &str, value: &str) -> HeaderChange {
    HeaderChange::Set(name.into(), value.into())
}

fn add(name: &str, value: &str) -> HeaderChange {
    HeaderChange::Add(name.into(), value.into())
}

fn all<'a>(message: &'a Message, name: &str) -> Vec<&'a str> {
    message.headers(name).collect()
}

#[tokio::test]
async fn headers_are_changed_both_ways() {
    let backend = Backend::http(|_| {
        b"HTTP/1.1 200 OK\r\nserver: secret\r\nx-kept: 1\r\nx-many: a\r\ncontent-length: 0\r\n\r\n".to_vec()
    })
    .await;
    let (_mesh, port) = mesh(
        &backend,
        acting(Actions {
            request_headers: vec![
                set("x-set", "new"),
                add("x-added", "two"),
                HeaderChange::Remove("x-gone".into()),
                set("host", "inside.example"),
            ],
            response_headers: vec![
                HeaderChange::Remove("server".into()),
                add("x-many", "b"),
                set("x-new", "c"),
            ],
            ..Actions::default()
        }),
    )
    .await;
    let fields = ["X-Set: old", "x-set: older", "X-Added: one", "X-Gone: 1", "x-gone: 2", "x-kept: 3"];
    let answer = ask(port, &request("GET /", &fields)).await;
    let seen = &backend.requests()[0];
    assert_eq!(all(seen, "x-set"), ["new"]);
    assert_eq!(all(seen, "x-added"), ["one", "two"]);
    assert_eq!(all(seen, "x-kept"), ["3"]);
    assert_eq!(all(seen, "host"), ["inside.example"]);
    assert!(!seen.head.to_lowercase().contains("x-gone"), "{}", seen.head);
    assert_eq!(seen.header("x-forwarded-host"), Some("web.shop.mesh"), "what the client asked for");
    assert_eq!(all(&answer, "x-many"), ["a", "b"]);
    assert_eq!((answer.header("server"), answer.header("x-new")), (None, Some("c")));
    assert_eq!(answer.header("x-kept"), Some("1"));
}

#[tokio::test]
async fn a_path_is_rewritten_and_the_query_stays() {
    let backend = Backend::named("hello").await;
    let prefix = PathRewrite::Prefix("/api/".into(), "/v2".into());
    let (mut mesh, port) =
        mesh(&backend, acting(Actions { rewrite: Some(prefix), ..Actions::default() })).await;
    for path in ["/api?a=/api", "/api/x/y?b", "/apix", "/other/api"] {
        ask(port, &request(&format!("GET {path}"), &[])).await;
    }
    let whole = Actions { rewrite: Some(PathRewrite::Full("/one".into())), ..Actions::default() };
    mesh.apply(vec![asking("web", port, &[backend.address], acting(whole))]).await;
    ask(port, &request_with("POST /anything?q=1", "body")).await;
    let seen: Vec<String> =
        backend.requests().iter().map(|seen| seen.head.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(seen, ["/v2?a=/api", "/v2/x/y?b", "/apix", "/other/api", "/one?q=1"]);
}

#[tokio::test]
async fn a_client_is_sent_elsewhere_and_nothing_is_forwarded() {
    let backend = Backend::named("hello").await;
    let redirect = Redirect {
        status: 308,
        scheme: Some("https".into()),
        host: Some("shop.example".into()),
        port: None,
        path: Some(PathRewrite::Prefix("/old".into(), "/new".into())),
    };
    let (mesh, port) =
        mesh(&backend, acting(Actions { redirect: Some(redirect), ..Actions::default() })).await;
    let mut client = connect(port).await;
    for line in ["GET /old/a?b=c", "POST /old/a?b=c"] {
        let answer = exchange(&mut client, request_with(line, "").as_bytes()).await;
        assert_eq!(
            (answer.status(), answer.header("location")),
            (308, Some("https://shop.example/new/a?b=c"))
        );
        assert_eq!(answer.header("connection"), None, "the connection goes on");
    }
    assert!(backend.requests().is_empty());
    mesh.answers("web", "answered", 2).await;
}

fn pages() -> Cors {
    Cors {
        origins: vec!["https://shop.example".into(), "https://*.shop.example".into()],
        methods: vec!["PUT".into()],
        headers: vec!["x-token".into()],
        expose: vec!["x-total".into()],
        credentials: true,
        max_age: Some(600),
    }
}

#[tokio::test]
async fn a_browser_is_answered_by_the_proxy_and_the_page_may_read_the_answer() {
    let backend = Backend::http(|_| {
        b"HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\ncontent-length: 0\r\n\r\n".to_vec()
    })
    .await;
    let (_mesh, port) = mesh(&backend, acting(Actions { cors: Some(pages()), ..Actions::default() })).await;
    let mut client = connect(port).await;
    let mut preflight = async |origin: &str| {
        let fields = [
            &*format!("origin: {origin}"),
            "access-control-request-method: PUT",
            "access-control-request-headers: X-Token",
        ];
        exchange(&mut client, request("OPTIONS /", &fields).as_bytes()).await
    };
    let answer = preflight("https://www.shop.example").await;
    assert_eq!(answer.status(), 204, "{}", answer.head);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://www.shop.example"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("PUT"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("x-token"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    let answer = preflight("https://evil.example").await;
    assert_eq!((answer.status(), answer.header("access-control-allow-origin")), (204, None));
    assert!(backend.requests().is_empty(), "no endpoint is asked");

    let answer = ask(port, &request("PUT /", &["origin: https://shop.example"])).await;
    assert_eq!(all(&answer, "access-control-allow-origin"), ["https://shop.example"]);
    assert_eq!(answer.header("access-control-expose-headers"), Some("x-total"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    let answer = ask(port, &request("PUT /", &["origin: https://evil.example"])).await;
    assert_eq!(answer.header("access-control-allow-origin"), None, "what the endpoint says does not count");
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test]
#[allow(clippy::too_many_lines)] // one story
async fn a_page_can_read_why_the_proxy_refused() {
    let mute = Backend::slow(Duration::from_secs(60), |_| vec![]).await;
    let with_cors = |change: fn(&mut Policy)| {
        move |policy: &mut Policy| {
            policy.actions.cors = Some(pages());
            change(policy);
        }
    };
    let ports = [(); 5].map(|()| free_port());
    let _mesh = Mesh::with(vec![
        asking("dead", ports[0], &[dead()], with_cors(|_| {})),
        asking("empty", ports[1], &[], with_cors(|_| {})),
        asking(
            "late",
            ports[2],
            &[mute.address],
            with_cors(|policy| {
                policy.timeouts.request = Some(Duration::from_millis(50));
            }),
        ),
        asking(
            "limited",
            ports[3],
            &[dead()],
            with_cors(|policy| {
                policy.rate_limit = Some(one_a_second());
                policy.timeouts.connect = Some(Duration::from_millis(50));
            }),
        ),
        asking(
            "full",
            ports[4],
            &[mute.address],
            with_cors(|policy| {
                policy.bulkhead.service = 1;
                policy.bulkhead.queue_timeout = Duration::from_millis(50);
            }),
        ),
    ])
    .await;
    let from_page = request("GET /", &["origin: https://shop.example"]);
    assert_eq!(ask(ports[3], &from_page).await.status(), 502);
    let mut first = connect(ports[4]).await;
    begin(&mut first, &from_page).await;
    eventually("it is under way", async || !mute.requests().is_empty()).await;
    let expected = ["connect_failed", "no_endpoint", "deadline_exceeded", "rate_limited", "overloaded"];
    for (port, expected) in ports.into_iter().zip(expected) {
        let mut answer = ask(port, &from_page).await;
        while expected == "rate_limited" && flag(&answer) != Some(expected) {
            answer = ask(port, &from_page).await; // a second has passed meanwhile
        }
        assert_eq!(flag(&answer), Some(expected));
        assert_eq!(all(&answer, "access-control-allow-origin"), ["https://shop.example"], "{expected}");
        assert_eq!(all(&answer, "vary"), ["Origin"], "{expected}");
        let other = ask(port, &request("GET /", &["origin: https://evil.example"])).await;
        assert_eq!(other.header("access-control-allow-origin"), None, "{expected}");
    }
}

#[tokio::test]
async fn requests_fail_on_purpose() {
    let backend = Backend::named("hello").await;
    let pause = Duration::from_millis(200);
    let (mesh, port) = mesh(
        &backend,
        acting(Actions {
            fault: Some(Fault {
                only: Some(HeaderMatch { name: "x-fail".into(), value: Some("yes".into()) }),
                delay: Some(FaultDelay { pause, percent: 100 }),
                abort: Some(FaultAbort { status: 418, percent: 100 }),
            }),
            ..Actions::default()
        }),
    )
    .await;
    let mut client = connect(port).await;
    let start = Instant::now();
    let failing = request("GET /", &["x-fail: yes"]);
    let answer = exchange(&mut client, failing.as_bytes()).await;
    assert_eq!((answer.status(), flag(&answer)), (418, Some("fault")));
    assert!(start.elapsed() >= pause, "both: the answer comes after the pause");
    assert!(backend.requests().is_empty());
    for fields in [&["x-fail: no"][..], &[]] {
        assert_eq!(exchange(&mut client, request("GET /", fields).as_bytes()).await.text(), "hello");
    }
    mesh.answers("web", "fault", 1).await;
}

#[tokio::test]
async fn a_share_of_requests_is_delayed_or_fails() {
    let backend = Backend::named("hello").await;
    let (_mesh, port) = mesh(
        &backend,
        acting(Actions {
            fault: Some(Fault {
                only: None,
                delay: None,
                abort: Some(FaultAbort { status: 500, percent: 50 }),
            }),
            ..Actions::default()
        }),
    )
    .await;
    let mut client = connect(port).await;
    let mut failed = 0;
    for _ in 0..200 {
        failed += u32::from(exchange(&mut client, GET.as_bytes()).await.status() == 500);
    }
    assert!((60..=140).contains(&failed), "{failed}");
    assert_eq!(backend.requests().len(), 200 - failed as usize);
}

#[tokio::test]
async fn a_delayed_request_is_given_up_with_its_client_and_with_its_deadline() {
    let backend = Backend::named("hello").await;
    let (mesh, port) = mesh(&backend, |policy| {
        policy.timeouts.request = Some(Duration::from_millis(100));
        policy.actions.fault.get_or_insert_default().delay =
            Some(FaultDelay { pause: Duration::from_secs(60), percent: 100 });
    })
    .await;
    let answer = ask(port, GET).await;
    assert_eq!((answer.status(), flag(&answer)), (504, Some("deadline_exceeded")));
    let mut client = connect(port).await;
    begin(&mut client, GET).await;
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let gone = async || mesh.metric("requests_total", "web", "code=\"none\"").await == 1;
    eventually("the client is found gone", gone).await;
    assert!(backend.requests().is_empty());
}

fn copying(percent: u32) -> impl FnOnce(&mut Policy) {
    acting(Actions {
        mirror: Some(Mirror { service: ServiceKey::new("shop", "copy"), port: 80, percent }),
        request_headers: vec![set("x-set", "new")],
        rewrite: Some(PathRewrite::Prefix("/a".into(), "/b".into())),
        ..Actions::default()
    })
}

#[tokio::test]
async fn a_copy_arrives_at_the_other_service_with_its_body() {
    let (backend, mirror) = (Backend::named("hello").await, Backend::named("copied").await);
    let (port, other) = (free_port(), free_port());
    let mesh = Mesh::with(vec![
        asking("web", port, &[backend.address], copying(100)),
        http("copy", other, &[mirror.address]),
    ])
    .await;
    let chunked =
        "PUT /a/x?y HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let large = "x".repeat(60_000);
    let sent = [request("GET /a/x?y", &[]), request_with("POST /a/x?y", &large), chunked.to_owned()];
    for (index, sent) in sent.iter().enumerate() {
        assert_eq!(ask(port, sent).await.text(), "hello");
        eventually("the copy arrives", async || mirror.requests().len() == index + 1).await;
        let (original, copy) = (&backend.requests()[index], &mirror.requests()[index]);
        assert_eq!(original.head, copy.head, "the same, changes included");
        assert!(original.body == copy.body && copy.head.contains(" /b/x?y "), "{}", copy.head);
        assert_eq!(copy.header("x-set"), Some("new"));
    }
    mesh.shows("requests_total", "web", "code=\"2xx\"", 3).await;
    mesh.shows("requests_total", "copy", "code=\"2xx\"", 0).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_copied_and_a_share_is_a_share() {
    let (backend, mirror) = (Backend::named("hello").await, Backend::named("copied").await);
    let (port, other) = (free_port(), free_port());
    let copy = http("copy", other, &[mirror.address]);
    let mut mesh =
        Mesh::with(vec![asking("web", port, &[backend.address], copying(100)), copy.clone()]).await;
    let large = request_with("POST /large", &"x".repeat(100_000));
    assert_eq!(ask(port, &large).await.text(), "hello");
    assert_eq!(ask(port, &request("GET /small", &[])).await.text(), "hello");
    eventually("the small one is copied", async || !mirror.requests().is_empty()).await;
    assert!(mirror.requests()[0].head.starts_with("GET /small "));

    mesh.apply(vec![asking("web", port, &[backend.address], copying(50)), copy.clone()]).await;
    let mut client = connect(port).await;
    for _ in 0..100 {
        exchange(&mut client, GET.as_bytes()).await;
    }
    mesh.apply(vec![asking("web", port, &[backend.address], copying(0)), copy]).await;
    eventually("half are copied", async || mirror.requests().len() >= 25).await;
    assert!(mirror.requests().len() <= 1 + 75, "{}", mirror.requests().len());
}

#[tokio::test]
async fn a_mirror_that_is_dead_or_mute_or_missing_affects_nobody() {
    let backend = Backend::named("hello").await;
    let mute = Backend::slow(Duration::from_secs(60), |_| vec![]).await;
    for endpoints in [Some(vec![dead()]), Some(vec![mute.address]), Some(vec![]), None] {
        let port = free_port();
        let mut services = vec![asking("web", port, &[backend.address], copying(100))];
        services.extend(endpoints.map(|endpoints| http("copy", free_port(), &endpoints)));
        let mesh = Mesh::with(services).await;
        let mut client = connect(port).await;
        let start = Instant::now();
        for _ in 0..10 {
            assert_eq!(exchange(&mut client, request_with("POST /", "x").as_bytes()).await.text(), "hello");
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        mesh.shows("requests_total", "web", "code=\"2xx\"", 10).await;
    }
}
