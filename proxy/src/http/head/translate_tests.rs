//! Heads between HTTP/1 and HTTP/2.

use super::*;
use crate::http::head::{
    parse::{self, Bounds},
    strategies::{request_head, response_head},
};
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { bytes: 64 * 1024, fields: 256 };

fn http1(head: &[u8]) -> (RequestHead, Hop) {
    let request = parse::request(&mut BytesMut::from(head), BOUNDS).unwrap().unwrap();
    let hop = hygiene::hop(&request.head, request.version);
    (request, hop)
}

fn to_http2(head: &[u8], edits: &[Edit]) -> Result<Request<()>, Error> {
    let (request, hop) = http1(head);
    to_request(&request, request.target.clone(), Scheme::HTTP, &hop, edits)
}

/// What came by HTTP/2.
fn from_http2(uri: &str, fields: &[(&str, &str)]) -> Result<RequestHead, Error> {
    let mut builder = Request::get(uri);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    request(&builder.body(()).unwrap().into_parts().0)
}

fn lines(head: &Head) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    head.fields().map(|(name, value, _)| (text(name), text(value))).collect()
}

#[test]
fn the_authority_and_host_are_one() {
    let host = |uri, fields: &[(&str, &str)]| {
        from_http2(uri, fields).map(|head| head.host.map(|host| host.to_vec()))
    };
    let is = |host: &str| Ok(Some(host.as_bytes().to_vec()));
    assert_eq!(host("http://a/", &[]), is("a"));
    assert_eq!(host("/", &[("host", "a")]), is("a"));
    assert_eq!(host("http://a/", &[("host", "A")]), is("a"));
    assert_eq!(host("/", &[]), Ok(None));
    assert_eq!(host("http://a/", &[("host", "b")]), Err(Error::Host));
    assert_eq!(host("http://a/", &[("host", "a"), ("host", "a")]), Err(Error::Host));
    assert_eq!(host("/", &[("host", "a"), ("host", "b")]), Err(Error::Host));
    assert_eq!(host("http://u@a/", &[]), Err(Error::Host));
    assert_eq!(host("/", &[("host", "u@a")]), Err(Error::Host));
}

#[test]
fn fields_of_http_1_connections_are_refused_from_http_2() {
    for (name, value) in [
        ("connection", "close"),
        ("keep-alive", "5"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "x"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
    ] {
        assert_eq!(
            from_http2("http://a/", &[(name, value)]).unwrap_err(),
            Error::ConnectionField,
            "{name}: {value}"
        );
    }
    let head = from_http2("http://a/", &[("te", "trailers"), ("expect", "100-continue")]).unwrap();
    assert_eq!(head.head.count(), 2);
}

#[test]
fn cookies_are_one_line_again() {
    let head = from_http2("http://a/x?y", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]).unwrap();
    assert_eq!(lines(&head.head), [("x".into(), "y".into()), ("cookie".into(), "a=1; b=2".into())]);
    assert_eq!(&head.target[..], b"/x?y");
}

#[test]
fn a_length_is_one_number() {
    let of = |values: &[&str]| {
        let fields: Vec<_> = values.iter().map(|value| ("content-length", *value)).collect();
        length(&from_http2("http://a/", &fields).unwrap().head)
    };
    assert_eq!(of(&[]), Ok(None));
    assert_eq!(of(&["7"]), Ok(Some(7)));
    for wrong in [&["7", "7"][..], &["7,7"], &["+7"], &["-7"], &[""], &["x"], &["99999999999999999999"]] {
        assert_eq!(of(wrong), Err(Error::Length), "{wrong:?}");
    }
}

#[test]
fn what_goes_to_http_2_has_nothing_of_the_connection() {
    let head = b"POST /x?y HTTP/1.1\r\nHost: a:8\r\nConnection: close, z\r\nZ: 1\r\nTE: gzip, trailers\r\n\
        Transfer-Encoding: chunked\r\nUpgrade: x\r\nX-A: 1\r\nx-a: 2\r\n\r\n";
    let edits = [Edit::Set(HeaderName::from_static("x-b"), HeaderValue::from_static("3"))];
    let request = to_http2(head, &edits).unwrap();
    assert_eq!(request.uri(), "http://a:8/x?y");
    assert_eq!(request.headers().get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(
        (&request.headers()["x-b"], &request.headers()["te"], request.headers().len()),
        (&"3".parse().unwrap(), &"trailers".parse().unwrap(), 4)
    );
    let host = [Edit::Set(header::HOST, HeaderValue::from_static("b"))];
    let request = to_http2(head, &host).unwrap();
    assert_eq!((request.uri().to_string().as_str(), request.headers().get("host")), ("http://b/x?y", None));
    for wrong in [&b"GET / HTTP/1.1\r\nHost: a\"b\r\n\r\n"[..], b"GET / HTTP/1.1\r\nHost: [\r\n\r\n"] {
        assert_eq!(to_http2(wrong, &[]).unwrap_err(), Error::Target);
    }
}

proptest! {
    #[test]
    fn a_request_comes_back_from_http_2(head in request_head()) {
        let (sent, _) = http1(&head);
        let (parts, ()) = to_http2(&head, &[]).unwrap().into_parts();
        let came = request(&parts).unwrap();
        prop_assert_eq!(&came.method, &sent.method);
        prop_assert_eq!(&came.target, &sent.target);
        prop_assert_eq!(&came.host, &sent.host);
        let sorted = |head: &Head| {
            let mut lines = lines(head);
            lines.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
            lines.retain(|(name, _)| name != "host");
            lines.sort_by(|one, other| one.0.cmp(&other.0));
            lines
        };
        prop_assert_eq!(sorted(&came.head), sorted(&sent.head));
    }

    #[test]
    fn an_answer_comes_back_from_http_2(head in response_head()) {
        let sent = parse::response(&mut BytesMut::from(&head[..]), BOUNDS).unwrap().unwrap();
        let came = response(&to_response(&sent, &Hop::default(), &[])).unwrap();
        prop_assert_eq!((came.status, came.head.count()), (sent.status, sent.head.count()));
    }
}
