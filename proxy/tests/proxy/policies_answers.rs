//! The proxy's own answers: each says why, to people and to programs, and leaves the connection usable where it can.

use crate::common::{
    GET, Mesh, ask,
    backend::{Backend, ok},
    connect, dead, free_port,
    message::{Message, exchange, read},
    policy::{asking, begin, eventually, flag, one_a_second, request, request_with},
    within,
};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use weft_contract::{
    Policy, Service,
    policy::{FaultAbort, Redirect, Scheme},
};
use weft_proxy::cause::Cause;

const SHORT: Duration = Duration::from_millis(100);

/// How the proxy is brought to an answer of its own.
struct Case {
    cause: Cause,
    status: u16,
    service: Service,
    /// A request without a body; another one is made of it with HEAD where it is a GET.
    request: String,
    /// Whether another request may follow.
    keeps: bool,
    retry_after: bool,
}

struct Backends {
    hello: Backend,
    mute: Backend,
    breaking: Backend,
    nonsense: Backend,
}

impl Backends {
    async fn start() -> Self {
        Self {
            hello: Backend::named("hello").await,
            mute: Backend::slow(Duration::from_secs(60), |_| ok(b"never")).await,
            breaking: Backend::connections(|mut stream, _, _| async move {
                let _ = read(&mut stream, false).await;
            })
            .await,
            nonsense: Backend::http(|_| b"nonsense\r\n\r\n".to_vec()).await,
        }
    }
}

/// A case in which a GET is answered so because of what the Service asks for, or how its endpoints are.
fn case(cause: Cause, endpoints: &[SocketAddr], change: impl FnOnce(&mut Policy)) -> Case {
    let service = asking(&cause.flag().replace('_', "-"), free_port(), endpoints, |policy| {
        policy.outlier.consecutive = 0;
        change(policy);
    });
    Case { cause, status: cause.status(), service, request: GET.into(), keeps: true, retry_after: false }
}

/// A case in which a request is answered so because of what it is itself. Nobody knows where another one would begin.
fn refused(cause: Cause, hello: &Backend, request: &str, change: impl FnOnce(&mut Policy)) -> Case {
    Case { request: request.into(), keeps: false, ..case(cause, &[hello.address], change) }
}

fn by_requests(hello: &Backend) -> Vec<Case> {
    let half = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf";
    vec![
        refused(Cause::BadRequest, hello, "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n", |_| {}),
        refused(Cause::HeadTooLarge, hello, &request("GET /", &["x: 123456789"; 100]), |policy| {
            policy.limits.header_count = 50;
        }),
        refused(Cause::BodyTooLarge, hello, &request_with("POST /", "0123456789"), |policy| {
            policy.limits.body_bytes = 9;
        }),
        refused(Cause::RequestTimeout, hello, half, |policy| policy.limits.body_timeout = SHORT),
        refused(
            Cause::NotImplemented,
            hello,
            &request("POST /", &["transfer-encoding: gzip, chunked"]),
            |_| {},
        ),
        // What follows a CONNECT may be meant for its tunnel.
        refused(Cause::MethodRefused, hello, "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", |_| {}),
    ]
}

fn by_policies(backends: &Backends) -> Vec<Case> {
    let (hello, mute) = (backends.hello.address, backends.mute.address);
    let limit = one_a_second();
    let redirect =
        Redirect { status: 302, scheme: None, host: Some("a.example".into()), port: None, path: None };
    vec![
        Case {
            retry_after: true,
            ..case(Cause::RateLimited, &[hello], |policy| policy.rate_limit = Some(limit))
        },
        Case {
            retry_after: true,
            ..case(Cause::Overloaded, &[mute], |policy| {
                policy.bulkhead.service = 1;
                policy.bulkhead.queue = 0;
            })
        },
        Case {
            retry_after: true,
            ..case(Cause::BreakerOpen, &[hello], |policy| {
                policy.circuit_breaker = Some("ResponseCodeRatio(200, 300, 0, 600) > 0.5".into());
            })
        },
        case(Cause::TryTimeout, &[mute], |policy| policy.timeouts.per_try = Some(SHORT)),
        case(Cause::DeadlineExceeded, &[mute], |policy| policy.timeouts.request = Some(SHORT)),
        case(Cause::IdleTimeout, &[mute], |policy| policy.timeouts.idle = Some(SHORT)),
        case(Cause::Fault, &[hello], |policy| {
            policy.actions.fault.get_or_insert_default().abort =
                Some(FaultAbort { status: 503, percent: 100 });
        }),
        Case {
            status: 302,
            ..case(Cause::Answered, &[hello], |policy| policy.actions.redirect = Some(redirect))
        },
    ]
}

fn by_endpoints(backends: &Backends) -> Vec<Case> {
    let mut tls = case(Cause::TlsFailed, &[backends.hello.address], |_| {});
    tls.service.ports[0].scheme = Scheme::Https;
    vec![
        case(Cause::NoEndpoint, &[], |_| {}),
        case(Cause::ConnectFailed, &[dead()], |_| {}),
        case(Cause::EndpointReset, &[backends.breaking.address], |_| {}),
        case(Cause::BadAnswer, &[backends.nonsense.address], |_| {}),
        tls,
    ]
}

/// `proxy-status` as a structured field (RFC 9209 and RFC 9651): the name of the proxy and its parameters.
fn proxy_status(answer: &Message) -> (String, BTreeMap<String, String>) {
    let lines: Vec<_> = answer.headers("proxy-status").collect();
    assert_eq!(lines.len(), 1, "{}", answer.head);
    let mut parts = lines[0].split("; ");
    let name = parts.next().unwrap().to_owned();
    let parameter = |part: &str| {
        let (name, value) = part.split_once('=').expect(part);
        let is_key = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        assert!(name.bytes().all(is_key), "{part}");
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let is_token = value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(quoted.is_some() || is_token, "{part}");
        (name.to_owned(), quoted.unwrap_or(value).to_owned())
    };
    (name, parts.map(parameter).collect())
}

/// Of RFC 9209, section 2.3.
const ERRORS: [&str; 12] = [
    "destination_not_found",
    "destination_unavailable",
    "connection_refused",
    "connection_terminated",
    "connection_timeout",
    "connection_read_timeout",
    "connection_limit_reached",
    "tls_protocol_error",
    "http_request_error",
    "http_request_denied",
    "http_protocol_error",
    "http_response_timeout",
];

fn assert_says_why(case: &Case, answer: &Message) {
    let cause = case.cause;
    assert_eq!((answer.status(), flag(answer)), (case.status, Some(cause.flag())), "{}", answer.head);
    let (name, parameters) = proxy_status(answer);
    assert_eq!((name.as_str(), parameters["node"].as_str()), ("weft", "node-1"));
    match cause {
        Cause::Answered => assert!(!parameters.contains_key("error"), "{parameters:?}"),
        _ => assert!(ERRORS.contains(&parameters["error"].as_str()), "{cause:?}: {parameters:?}"),
    }
    let retry_after = answer.header("retry-after").map(|seconds| seconds.parse::<u64>().unwrap());
    assert_eq!(retry_after.is_some(), case.retry_after, "{cause:?}: {}", answer.head);
    assert!(retry_after.is_none_or(|seconds| seconds >= 1), "{cause:?}");
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
}

/// Brings the Service to where the case holds.
async fn prepare(case: &Case, mute: &Backend) -> Option<tokio::net::TcpStream> {
    let port = case.service.ports[0].listener.as_ref().unwrap().port;
    match case.cause {
        Cause::RateLimited | Cause::BreakerOpen => {
            let reached = async || flag(&ask(port, GET).await) == Some(case.cause.flag());
            eventually("it is reached", reached).await;
            None
        }
        Cause::Overloaded => {
            let before = mute.requests().len();
            let mut client = connect(port).await;
            begin(&mut client, GET).await;
            eventually("it is under way", async || mute.requests().len() > before).await;
            Some(client)
        }
        _ => None,
    }
}

async fn check(mesh: &Mesh, case: &Case, mute: &Backend) {
    let (cause, name) = (case.cause, case.service.key.name.as_str());
    let port = case.service.ports[0].listener.as_ref().unwrap().port;
    let _busy = prepare(case, mute).await;
    let before = mesh.own_answers(name, cause.flag()).await;
    let mut client = connect(port).await;
    let answer = exchange(&mut client, case.request.as_bytes()).await;
    assert_says_why(case, &answer);
    let text = answer.text();
    let line = text.strip_prefix("weft: ").and_then(|text| text.strip_suffix('\n')).unwrap();
    assert!(!line.is_empty() && line.is_ascii() && !line.contains('\n'), "{cause:?}: {line:?}");
    eventually("it is counted", async || mesh.own_answers(name, cause.flag()).await > before).await;
    if !case.keeps {
        assert_eq!(answer.header("connection"), Some("close"), "{cause:?}");
        assert!(within(read(&mut client, false)).await.unwrap().is_none(), "{cause:?}");
        return;
    }
    assert_eq!(answer.header("connection"), None, "{cause:?}: {}", answer.head);
    if case.request.starts_with("GET") {
        let head = exchange(&mut client, case.request.replacen("GET", "HEAD", 1).as_bytes()).await;
        // The bucket of a second fills while others are asked; all others are as they were.
        if head.status() != 200 {
            assert_says_why(case, &head);
            // RFC 9110, section 9.3.2: it may be left out, but not be another.
            let length = head.header("content-length");
            assert!(length.is_none() || length == answer.header("content-length"), "{cause:?}");
        }
    }
    // Had HEAD had a body, this would read it.
    let again = exchange(&mut client, case.request.as_bytes()).await;
    assert!(again.status() == 200 || flag(&again) == Some(cause.flag()), "{cause:?}: {}", again.head);
}

#[tokio::test]
async fn every_answer_says_why_and_leaves_the_connection_usable_where_it_can() {
    let backends = Backends::start().await;
    let cases: Vec<Case> = by_requests(&backends.hello)
        .into_iter()
        .chain(by_policies(&backends))
        .chain(by_endpoints(&backends))
        .collect();
    let mesh = Mesh::with(cases.iter().map(|case| case.service.clone()).collect()).await;
    for case in &cases {
        check(&mesh, case, &backends.mute).await;
    }
    // What is left: what needs more than a request (see below, and policies_timeouts), who may call whom (see access), what only
    // connections meet that are no HTTP, and our own faults.
    let seen: Vec<Cause> = cases.iter().map(|case| case.cause).collect();
    let elsewhere = [
        Cause::NoService,
        Cause::Denied,
        Cause::ConnectTimeout,
        Cause::Drained,
        Cause::UnknownServerName,
        Cause::NotTls,
        Cause::Internal,
    ];
    let missing: Vec<Cause> = Cause::ALL.into_iter().filter(|cause| !seen.contains(cause)).collect();
    assert_eq!(missing, elsewhere);
}

#[tokio::test]
async fn a_port_that_is_no_longer_served_says_so() {
    let backend = Backend::named("hello").await;
    let port = free_port();
    let mut mesh = Mesh::with(vec![asking("web", port, &[backend.address], |_| {})]).await;
    let mut client = connect(port).await;
    mesh.shows("connections", "web", "", 1).await;
    mesh.apply(vec![]).await;
    let answer = exchange(&mut client, GET.as_bytes()).await;
    assert_eq!((answer.status(), flag(&answer)), (404, Some("no_service")), "{}", answer.head);
    assert_eq!(proxy_status(&answer).1["error"], "destination_not_found");
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(within(read(&mut client, false)).await.unwrap().is_none());
}

#[tokio::test]
async fn after_a_body_that_was_read_the_connection_goes_on_and_else_it_ends() {
    let backend = Backend::slow(Duration::from_secs(60), |_| ok(b"never")).await;
    let (late, empty) = (free_port(), free_port());
    let _mesh = Mesh::with(vec![
        asking("late", late, &[backend.address], |policy| policy.timeouts.request = Some(SHORT)),
        asking("empty", empty, &[], |_| {}),
    ])
    .await;
    let post = request_with("POST /", "body");
    let mut client = connect(late).await;
    for _ in 0..2 {
        let answer = exchange(&mut client, post.as_bytes()).await;
        assert_eq!((answer.status(), answer.header("connection")), (504, None), "it was read");
    }
    let mut client = connect(empty).await;
    let answer = exchange(&mut client, post.as_bytes()).await;
    assert_eq!((answer.status(), answer.header("connection")), (503, Some("close")), "it was not");
    assert!(within(read(&mut client, false)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_body_without_a_length_is_counted_as_it_comes() {
    let backend = Backend::named("hello").await;
    let port = free_port();
    let mesh = Mesh::with(vec![asking("web", port, &[backend.address], |policy| {
        policy.limits.body_bytes = 8;
    })])
    .await;
    let chunked = |body: &str| {
        format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}0\r\n\r\n")
    };
    assert_eq!(ask(port, &chunked("4\r\nfour\r\n4\r\nfour\r\n")).await.text(), "hello");
    let answer = ask(port, &chunked("4\r\nfour\r\n5\r\nfives\r\n")).await;
    assert_eq!((answer.status(), flag(&answer)), (413, Some("body_too_large")));
    assert_eq!(answer.header("connection"), Some("close"));
    mesh.answers("web", "body_too_large", 1).await;
    assert_eq!(backend.requests().len(), 1, "no endpoint has got it whole");
}

/// Whatever a client sends, the names of series and labels come from the configuration.
#[tokio::test]
async fn no_client_can_make_a_series() {
    let backend = Backend::named("hello").await;
    let port = free_port();
    let mesh = Mesh::with(vec![asking("web", port, &[backend.address], |_| {})]).await;
    let series = async || {
        let metrics = mesh.admin("/metrics").await;
        let names = metrics.text().lines().filter(|line| !line.starts_with('#'));
        let names: Vec<String> =
            names.map(|line| line.rsplit_once(' ').map_or(line, |(name, _)| name).to_owned()).collect();
        names
    };
    let strange = async |number: usize| {
        // Not one of gRPC's, so that this is a field like any other, even where it would leave no time.
        let line = format!("M{number} /path-{number}?query={number}");
        let fields = [format!("x-{number}: {number}"), format!("grpc-timeout: {number}n")];
        let answer = ask(port, &request(&line, &[&fields[0], &fields[1]])).await;
        assert_eq!(answer.status(), 200);
    };
    strange(0).await;
    mesh.shows("requests_total", "web", "code=\"2xx\"", 1).await;
    let before = series().await;
    for number in 1..20 {
        strange(number).await;
    }
    mesh.shows("requests_total", "web", "code=\"2xx\"", 20).await;
    assert_eq!(series().await, before);
    for line in &before {
        let labels = line.split_once('{').map_or("", |(_, labels)| labels);
        assert!(!line.contains("path-") && !labels.contains("127.0.0.1"), "{line}");
    }
}
