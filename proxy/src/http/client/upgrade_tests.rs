//! What a connection is read as after `Upgrade: h2c`.

use super::*;
use crate::http::{
    head::{
        framing, hygiene,
        parse::{self, Bounds},
        strategies::request_head,
    },
    http2::{Connection, Ours},
    wire::stream::Stream,
};
use http::{Method, Version};
use proptest::prelude::*;
use std::net::Ipv4Addr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const BOUNDS: Bounds = Bounds { bytes: 256 * 1024, fields: 256 };
/// SETTINGS_MAX_CONCURRENT_STREAMS = 100, SETTINGS_INITIAL_WINDOW_SIZE = 65,535; as curl says it.
const SETTINGS: &str = "AAMAAABkAAQAAP__";

/// What a client sends behind the 101: the preface, and settings that say nothing.
fn own_preface() -> Vec<u8> {
    [PREFACE, b"\0\0\0\x04\0\0\0\0\0"].concat()
}

fn read(head: &[u8]) -> (RequestHead, Hop) {
    let request = parse::request(&mut BytesMut::from(head), BOUNDS).unwrap().unwrap();
    let hop = hygiene::hop(&request.head, request.version);
    (request, hop)
}

/// The request that these bytes are.
async fn decoded(bytes: &[u8]) -> RequestHead {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let ours = Ours { stream_window: 65_535, connection_window: 65_535, head_bytes: 256 * 1024, streams: 1 };
    let mut connection = Connection::server(ours, Stream::Plain(socket), BytesMut::from(bytes));
    let asked = poll_fn(|context| connection.poll_accept(context)).await.unwrap();
    assert!(asked.ends);
    asked.request.unwrap().0
}

fn head(lines: &str) -> Vec<u8> {
    format!("GET /x?y HTTP/1.1\r\nHost: web:80\r\nConnection: Upgrade, HTTP2-Settings\r\n{lines}\r\n")
        .into_bytes()
}

/// What is agreed for a request behind which `behind` has come already, and `later` comes; and what the client is told.
async fn agreed(head: &[u8], behind: &[u8], later: &[u8]) -> (Agreed, String) {
    let (request, hop) = read(head);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let mut connection = Http1::new(Stream::Plain(listener.accept().await.unwrap().0));
    connection.input.extend_from_slice(behind);
    other.write_all(later).await.unwrap();
    other.shutdown().await.unwrap();
    let agreed = h2c(&request, &hop, framing::request(&request).unwrap(), &mut connection).await;
    assert!(
        agreed != Agreed::No || connection.input == behind,
        "what was not agreed on is served as it came"
    );
    drop(connection);
    let mut told = Vec::new();
    let _ = other.read_to_end(&mut told).await; // a reset where it sent what nobody read
    (agreed, String::from_utf8(told).unwrap())
}

#[tokio::test]
async fn a_request_that_asks_for_h2c_is_stream_1() {
    let lines =
        format!("Upgrade: h2c\r\nHTTP2-Settings: {SETTINGS}\r\nTE: trailers\r\nX-A: 1\r\nCookie: b\r\n");
    let (agreed, told) = agreed(&head(&lines), b"", &own_preface()).await;
    let Agreed::Http2(bytes) = agreed else { panic!("{agreed:?}") };
    assert!(told.starts_with("HTTP/1.1 101 "), "{told}");
    let request = decoded(&bytes).await;
    assert_eq!((request.method, &request.target[..]), (Method::GET, &b"/x?y"[..]));
    assert_eq!((request.version, request.host.as_deref()), (Version::HTTP_2, Some(&b"web:80"[..])));
    let fields: Vec<_> = request.head.fields().map(|(name, value, _)| (name, value)).collect();
    assert_eq!(fields, [(&b"x-a"[..], &b"1"[..]), (b"te", b"trailers"), (b"cookie", b"b")]);
}

#[tokio::test]
async fn what_is_not_quite_asked_for_is_not_given() {
    let settings = format!("HTTP2-Settings: {SETTINGS}\r\n");
    let cases = [
        "Upgrade: h2c\r\n".to_owned(),
        format!("Upgrade: websocket\r\n{settings}"),
        format!("Upgrade: h2c\r\n{settings}{settings}"),
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP\r\n".to_owned(),
        "Upgrade: h2c\r\nHTTP2-Settings: !\r\n".to_owned(),
        format!("Upgrade: h2c\r\n{settings}Content-Length: 2\r\n"),
        format!("Upgrade: h2c\r\n{settings}Transfer-Encoding: chunked\r\n"),
    ];
    for lines in cases {
        let (agreed, told) = agreed(&head(&lines), b"", b"").await;
        assert!(agreed == Agreed::No && told.is_empty(), "{lines}: {told}");
    }
}

#[tokio::test]
async fn the_clients_own_settings_come_first_however_much_of_them_has_come() {
    let head = head(&format!("Upgrade: h2c\r\nHTTP2-Settings: {SETTINGS}\r\n"));
    let ping = b"\0\0\x08\x06\0\0\0\0\0pingping";
    let own = [&own_preface()[..], ping].concat();
    let (request, hop) = read(&head);
    let stream = http2::upgraded(&request, &hop).unwrap();
    let expected = [&own_preface()[..], &stream, ping].concat();
    for came in 0..=own.len() {
        let (bytes, _) = agreed(&head, &own[..came], &own[came..]).await;
        let Agreed::Http2(bytes) = bytes else { panic!("{came}: {bytes:?}") };
        // What had not come yet is read from the connection.
        assert!(expected.starts_with(&bytes) && bytes.len() >= expected.len() - ping.len(), "{came}");
    }
    for other in [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/1.1\r\n", b"\0"] {
        let (before, told) = agreed(&head, other, b"").await;
        assert!(before == Agreed::No && told.is_empty(), "{told}");
        assert_eq!(agreed(&head, b"", other).await.0, Agreed::Broken);
    }
    assert_eq!(agreed(&head, b"", &[PREFACE, ping].concat()).await.0, Agreed::Broken, "no settings first");
    assert_eq!(agreed(&head, PREFACE, b"").await.0, Agreed::Broken, "gone");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_request_is_decoded_to_itself(head in request_head(), long in prop::sample::select(vec![0, 126, 127, 128, 254, 255, 16_200, 40_000])) {
        let mut head = head;
        head.truncate(head.len() - 2);
        head.extend_from_slice(format!("x-long: {}\r\n\r\n", "v".repeat(long)).as_bytes());
        let (sent, hop) = read(&head);
        let bytes = [&own_preface()[..], &http2::upgraded(&sent, &hop).unwrap()].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let came = runtime.block_on(decoded(&bytes));
        prop_assert_eq!(&came.method, &sent.method);
        prop_assert_eq!(&came.target, &sent.target);
        prop_assert_eq!(&came.host, &sent.host);
        // A map does not keep the order of different names.
        let fields = |request: &RequestHead| {
            let fields = request.head.fields().filter(|(_, _, kind)| *kind != Kind::Host);
            let mut fields: Vec<_> = fields.map(|(name, value, _)| (name.to_ascii_lowercase(), value.to_vec())).collect();
            fields.sort_by(|one, other| one.0.cmp(&other.0));
            fields
        };
        prop_assert_eq!(fields(&came), fields(&sent));
    }
}
