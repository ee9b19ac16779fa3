//! What is read of compressed fields, and what is refused of them.

use super::*;
use crate::http::http2::hpack::encode;

const MOST: usize = 4096;

fn block(fields: &[(&str, &str)]) -> BytesMut {
    let mut out = BytesMut::new();
    for (name, value) in fields {
        encode::field(&mut out, name.as_bytes(), value.as_bytes(), false);
    }
    out
}

/// The head of a request with these fields besides the pseudo-headers.
fn asked(fields: &[(&str, &str)]) -> Result<Request, Refused> {
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":path", "/x?y")];
    with([&pseudo[..], fields].concat().as_slice())
}

fn with(fields: &[(&str, &str)]) -> Result<Request, Refused> {
    request(&mut Decoder::new(4096), &block(fields), MOST).unwrap()
}

fn lines(head: &Head) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    head.fields().map(|(name, value, _)| (text(name), text(value))).collect()
}

#[test]
fn the_authority_and_host_are_one() {
    let host = |fields: &[(&str, &str)]| asked(fields).map(|(head, _)| head.host.map(|host| host.to_vec()));
    let is = |host: &str| Ok(Some(host.as_bytes().to_vec()));
    assert_eq!(host(&[(":authority", "a")]), is("a"));
    assert_eq!(host(&[("host", "a")]), is("a"));
    assert_eq!(host(&[(":authority", "a"), ("host", "A")]), is("a"));
    assert_eq!(host(&[]), Ok(None));
    for wrong in [
        &[(":authority", "a"), ("host", "b")][..],
        &[(":authority", "a"), ("host", "a"), ("host", "a")],
        &[("host", "a"), ("host", "b")],
        &[(":authority", "u@a")],
        &[("host", "u@a")],
        &[("host", "a/b")],
    ] {
        assert!(matches!(host(wrong), Err(Refused::Unforwardable(_))), "{wrong:?}");
    }
}

#[test]
fn a_request_is_read_to_the_one_form() {
    let (head, length) =
        asked(&[(":authority", "a:8"), ("x-a", "1"), ("content-length", "7"), ("te", "trailers")]).unwrap();
    assert_eq!((head.method, &head.target[..], head.version), (Method::GET, &b"/x?y"[..], Version::HTTP_2));
    assert_eq!((head.host.as_deref(), length), (Some(&b"a:8"[..]), Some(7)));
    let expected = [("x-a", "1"), ("content-length", "7"), ("te", "trailers")];
    assert_eq!(lines(&head.head), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn cookies_are_one_line_again_and_stay_out_of_tables() {
    let (head, _) = asked(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]).unwrap();
    assert_eq!(lines(&head.head), [("x".into(), "y".into()), ("cookie".into(), "a=1; b=2".into())]);
    assert!(head.head.each().last().unwrap().2.never_indexed);
}

#[test]
fn a_length_is_one_number() {
    assert_eq!(asked(&[("content-length", "7")]).unwrap().1, Some(7));
    for wrong in ["7,7", "+7", "-7", "", "x", "99999999999999999999"] {
        assert!(matches!(asked(&[("content-length", wrong)]), Err(Refused::Malformed(_))), "{wrong:?}");
    }
    let twice = [("content-length", "7"), ("content-length", "7")];
    assert!(matches!(asked(&twice), Err(Refused::Malformed(_))));
}

#[test]
fn a_status_has_three_digits() {
    let read = |status: &str| {
        let block = block(&[(":status", status), ("x-a", "1")]);
        response(&mut Decoder::new(4096), &block, MOST)
            .unwrap()
            .map(|(head, _)| (head.status, head.head.count()))
    };
    assert_eq!((read("200"), read("599"), read("103")), (Ok((200, 1)), Ok((599, 1)), Ok((103, 1))));
    for wrong in ["", "20", "2000", "099", "600", "2x0", "101"] {
        assert!(matches!(read(wrong), Err(Refused::Malformed(_))), "{wrong}");
    }
    let twice = block(&[(":status", "200"), (":status", "200")]);
    assert!(response(&mut Decoder::new(4096), &twice, MOST).unwrap().is_err());
    let asks = block(&[(":status", "200"), (":path", "/")]);
    assert!(response(&mut Decoder::new(4096), &asks, MOST).unwrap().is_err());
}

#[test]
fn trailers_are_fields_alone() {
    let read = |fields: &[(&str, &str)]| trailers(&mut Decoder::new(4096), &block(fields), MOST).unwrap();
    let came = read(&[("grpc-status", "0"), ("x-a", "1"), ("x-a", "2")]).unwrap();
    assert_eq!((came.len(), &came["grpc-status"]), (3, &HeaderValue::from_static("0")));
    for wrong in [(":status", "200"), (":path", "/"), ("connection", "close"), ("x\r\ny", "1")] {
        assert!(matches!(read(&[wrong]), Err(Refused::Malformed(_))), "{wrong:?}");
    }
}

/// The table that later blocks refer to grows with every block, whatever becomes of its message.
#[test]
fn what_is_refused_is_read_to_its_end() {
    let mut decoder = Decoder::new(4096);
    let indexed = |out: &mut BytesMut, name: &str, value: &str| {
        out.put_u8(0x40);
        for text in [name, value] {
            out.put_u8(u8::try_from(text.len()).unwrap());
            out.put_slice(text.as_bytes());
        }
    };
    for bad in ["connection", "x-large"] {
        let mut first = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]);
        encode::field(&mut first, bad.as_bytes(), &vec![b'x'; MOST + 1], false);
        indexed(&mut first, "x-a", bad);
        let refused = request(&mut decoder, &first, MOST).unwrap();
        assert!(refused.is_err());
        let mut second = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]);
        second.put_u8(0x80 | 62); // the first of the table
        let (head, _) = request(&mut decoder, &second, MOST).unwrap().unwrap();
        assert_eq!(lines(&head.head), [("x-a".to_owned(), bad.to_owned())]);
    }
}

#[test]
fn many_small_fields_are_as_large_as_they_cost() {
    let few = vec![("x", ""); MOST / (FIELD + 5) - 5];
    assert!(asked(&few).is_ok());
    let many = vec![("x", ""); MOST / FIELD];
    assert_eq!(asked(&many).unwrap_err(), Refused::TooLarge);
}

/// A few bytes can refer to a large entry of the table many times over.
#[test]
fn what_unfolds_without_end_is_not_read_to_its_end() {
    let mut decoder = Decoder::new(4096);
    let mut block = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]);
    block.put_slice(&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e]); // a value of 4,000 bytes
    block.put_bytes(b'v', 4000);
    let fine = request(&mut decoder, &block, 8192).unwrap();
    assert!(fine.is_ok());
    block.put_bytes(0x80 | 62, 10);
    assert_eq!(request(&mut decoder, &block, 8192).unwrap().unwrap_err(), Refused::TooLarge);
    block.put_bytes(0x80 | 62, 1000);
    assert_eq!(request(&mut decoder, &block, 8192).unwrap_err(), Unreadable::Endless);
}

#[test]
fn connect_has_a_target_only_with_a_protocol() {
    let (plain, _) = with(&[(":method", "CONNECT"), (":authority", "a:80")]).unwrap();
    assert_eq!((plain.method, plain.target.len(), plain.protocol), (Method::CONNECT, 0, None));
    let extended = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/chat"),
        (":authority", "a"),
    ];
    let (head, _) = with(&extended).unwrap();
    assert_eq!((&head.target[..], head.protocol.as_deref()), (&b"/chat"[..], Some(&b"websocket"[..])));
    assert!(matches!(with(&extended[..2]), Err(Refused::Malformed(_))));
    let with_length = [&extended[..], &[("content-length", "100")]].concat();
    assert!(matches!(with(&with_length), Err(Refused::Malformed(_))), "it would be another request's body");
    let plain_with_path = [extended[0], extended[3], extended[4]];
    assert!(matches!(with(&plain_with_path), Err(Refused::Malformed(_))));
}
