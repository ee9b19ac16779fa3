//! Heads, whole and in pieces, right and wrong.

use super::*;
use crate::http::head::strategies::{request_head, response_head};
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { bytes: 4096, fields: 256 };

fn parsed(bytes: &[u8]) -> Result<Option<RequestHead>, Error> {
    request(&mut BytesMut::from(bytes), BOUNDS)
}

/// What can be seen of a head.
fn seen(request: &RequestHead) -> impl PartialEq + std::fmt::Debug + use<> {
    let fields: Vec<_> =
        request.head.fields().map(|(name, value, _)| (name.to_vec(), value.to_vec())).collect();
    let RequestHead { method, target, version, host, protocol, size, head: _ } = request.clone();
    (method, target, version, host, protocol, size, fields)
}

fn seen_response(response: &ResponseHead) -> impl PartialEq + std::fmt::Debug + use<> {
    let fields: Vec<_> =
        response.head.fields().map(|(name, value, _)| (name.to_vec(), value.to_vec())).collect();
    (response.status, response.reason.clone(), response.version, fields)
}

#[test]
fn a_head_is_taken_off_and_what_follows_stays() {
    let mut buffer = BytesMut::from(&b"GET /a?b HTTP/1.1\r\nHost: web\r\nX:  y \r\nEmpty:\r\n\r\nGET"[..]);
    let head = request(&mut buffer, BOUNDS).unwrap().unwrap();
    assert_eq!(&buffer[..], b"GET");
    assert_eq!(
        (&head.method, &head.target[..], head.version),
        (&Method::GET, &b"/a?b"[..], Version::HTTP_11)
    );
    assert_eq!((head.host.as_deref(), head.size), (Some(&b"web"[..]), 48));
    let fields: Vec<_> = head.head.fields().collect();
    assert_eq!(fields[1], (&b"X"[..], &b"y"[..], Kind::Other));
    assert_eq!(fields[2], (&b"Empty"[..], &b""[..], Kind::Other));
}

#[test]
fn targets_become_what_an_endpoint_wants() {
    let cases = [
        ("GET http://b HTTP/1.1", Ok(("/", Some("b")))),
        ("GET HTTP://b:8/x?y HTTP/1.1", Ok(("/x?y", Some("b:8")))),
        ("GET https://b?y HTTP/1.1", Ok(("/?y", Some("b")))),
        ("GET //b/x HTTP/1.1", Ok(("//b/x", Some("a")))),
        ("GET /x?http://b/ HTTP/1.1", Ok(("/x?http://b/", Some("a")))),
        ("OPTIONS * HTTP/1.1", Ok(("*", Some("a")))),
        ("CONNECT b:443 HTTP/1.1", Ok(("b:443", Some("a")))),
        ("GET * HTTP/1.1", Err(())),
        ("GET ** HTTP/1.1", Err(())),
        ("GET http:// HTTP/1.1", Err(())),
        ("GET http://u@b/ HTTP/1.1", Err(())),
        ("GET http://b,c/ HTTP/1.1", Err(())),
        ("GET http:/b HTTP/1.1", Err(())),
        ("GET b HTTP/1.1", Err(())),
        ("GET /# HTTP/1.1", Err(())),
        ("GET /x#y HTTP/1.1", Err(())),
    ];
    for (line, expected) in cases {
        let head = parsed(format!("{line}\r\nHost: a\r\n\r\n").as_bytes());
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let got =
            head.map(|head| head.unwrap()).map(|head| (text(&head.target), head.host.as_ref().map(text)));
        let expected = expected.map(|(target, host)| (target.to_owned(), host.map(str::to_owned)));
        assert_eq!(got.map_err(|_| ()), expected, "{line}");
    }
}

#[test]
fn fields_and_bytes_are_counted() {
    let with = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(count));
    let of = |text: &str, bytes, fields| request(&mut BytesMut::from(text), Bounds { bytes, fields });
    for count in [1, FEW, FEW + 1, 256] {
        assert_eq!(of(&with(count), 9999, 256).unwrap().unwrap().head.count(), count);
    }
    assert_eq!(of(&with(257), 9999, 256).unwrap_err(), Error::TooLarge);
    let text = with(20);
    assert!(of(&text, text.len(), 256).unwrap().is_some());
    assert_eq!(of(&text, text.len() - 1, 256).unwrap_err(), Error::TooLarge);
    assert_eq!(of(&"x".repeat(100), 100, 256).unwrap_err(), Error::TooLarge, "before it is whole");
}

#[test]
fn a_version_is_wrong_only_where_there_is_one() {
    let cases = [
        ("GET / HTTP/2.0\r\n\r\n", Error::Version),
        ("GET / HTTP/1.2\r\n\r\n", Error::Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Error::Version),
        ("GET / a HTTP/1.1\r\n\r\n", Error::Syntax("the first line is not three words")),
        ("GET / gopher\r\n\r\n", Error::Syntax("the first line is not three words")),
    ];
    for (head, error) in cases {
        assert_eq!(parsed(head.as_bytes()).unwrap_err(), error, "{head}");
    }
    let of = |text: &str| response(&mut BytesMut::from(text), BOUNDS).unwrap_err();
    assert_eq!(of("HTTP/2.0 200 OK\r\n\r\n"), Error::Version);
    assert!(matches!(of("ICY 200 OK\r\n\r\n"), Error::Syntax(_)));
}

#[test]
fn an_answer_may_have_no_reason() {
    for (line, reason) in [("200 OK", "OK"), ("200", ""), ("200 ", ""), ("200 a b", "a b")] {
        let head = response(&mut BytesMut::from(format!("HTTP/1.1 {line}\r\n\r\n").as_str()), BOUNDS);
        let head = head.unwrap().unwrap();
        assert_eq!((head.status, &head.reason[..]), (200, reason.as_bytes()), "{line}");
    }
}

proptest! {
    #[test]
    fn a_request_cut_anywhere_is_the_same(head in request_head(), cut in any::<prop::sample::Index>()) {
        let whole = parsed(&head).unwrap().unwrap();
        prop_assert_eq!(whole.size, head.len());
        let mut buffer = BytesMut::from(&head[..cut.index(head.len())]);
        prop_assert!(request(&mut buffer, BOUNDS).unwrap().is_none());
        buffer.extend_from_slice(&head[buffer.len()..]);
        prop_assert_eq!(seen(&request(&mut buffer, BOUNDS).unwrap().unwrap()), seen(&whole));
    }

    #[test]
    fn an_answer_cut_anywhere_is_the_same(head in response_head(), cut in any::<prop::sample::Index>()) {
        let whole = response(&mut BytesMut::from(&head[..]), BOUNDS).unwrap().unwrap();
        let mut buffer = BytesMut::from(&head[..cut.index(head.len())]);
        prop_assert!(response(&mut buffer, BOUNDS).unwrap().is_none());
        buffer.extend_from_slice(&head[buffer.len()..]);
        prop_assert_eq!(seen_response(&response(&mut buffer, BOUNDS).unwrap().unwrap()), seen_response(&whole));
    }

    /// Also for heads that are nearly right: what is refused late is refused early, and the other way round.
    #[test]
    fn a_cut_changes_nothing_for_mangled_heads(
        head in request_head(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"\r\n\0 \t:;,/#@\x7f\xffAH1".to_vec())), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut head = head;
        for (place, byte) in changes {
            let place = place.index(head.len());
            head[place] = byte;
        }
        let whole = parsed(&head);
        let mut buffer = BytesMut::from(&head[..cut.index(head.len())]);
        let early = request(&mut buffer, BOUNDS);
        let later = match early {
            Ok(None) => {
                buffer.extend_from_slice(&head[buffer.len()..]);
                request(&mut buffer, BOUNDS)
            }
            early => early,
        };
        match (&whole, &later) {
            (Ok(Some(one)), Ok(Some(other))) => prop_assert_eq!(seen(one), seen(other)),
            (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
            _ => prop_assert!(false, "{:?} but {:?}", whole, later),
        }
        if let Ok(Some(head)) = &whole {
            let bytes = head.head.fields().flat_map(|(name, value, _)| [name, value].concat()).collect::<Vec<_>>();
            prop_assert!(!bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
    }

    #[test]
    fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parsed(&bytes);
        let _ = response(&mut BytesMut::from(&bytes[..]), BOUNDS);
        let _ = response(&mut BytesMut::from(&[b"HTTP/1.1 ", &bytes[..]].concat()[..]), BOUNDS);
    }
}
