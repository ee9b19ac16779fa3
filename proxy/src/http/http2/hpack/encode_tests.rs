use super::super::Decoder;
use super::*;
use proptest::prelude::*;

fn written(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    write(&mut out);
    out.to_vec()
}

/// The lines of a block, and which of them are never to be indexed.
fn lines(block: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let (mut out, mut lines) = (BytesMut::new(), Vec::new());
    let mut decoder = Decoder::new(4096);
    let mut fields = decoder.fields(block);
    while let Some(field) = fields.next(&mut out).unwrap() {
        let line = field.line;
        lines.push((out[line.start as usize..line.end as usize].to_vec(), line.never_indexed));
    }
    lines
}

#[test]
fn integers_are_those_of_the_rfc() {
    assert_eq!(written(|out| integer(out, 0, 5, 10)), [10]); // C.1.1
    assert_eq!(written(|out| integer(out, 0, 5, 1337)), [31, 154, 10]); // C.1.2
    assert_eq!(written(|out| integer(out, 0, 8, 42)), [42]); // C.1.3
    assert_eq!(written(|out| integer(out, 0x10, 4, 15)), [0x1f, 0]);
    assert_eq!(written(|out| integer(out, 0, 7, 255)), [127, 128, 1]);
}

#[test]
fn what_the_static_table_has_is_one_octet() {
    let block = written(|out| {
        without_table(out);
        method(out, b"GET");
        method(out, b"POST");
        path(out, b"/");
        path(out, b"/index.html");
        scheme(out, b"http");
        scheme(out, b"https");
        for code in [200, 204, 206, 304, 400, 404, 500] {
            status(out, code);
        }
    });
    let octets = [0x20, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e];
    assert_eq!(block, octets);
}

#[test]
fn pseudo_fields_with_other_values_are_literals() {
    let block = written(|out| {
        method(out, b"CONNECT");
        scheme(out, b"ftp");
        path(out, b"/sample/path");
        authority(out, b"www.example.com");
        protocol(out, b"websocket");
        status(out, 503);
    });
    assert!(block.starts_with(b"\x02\x07CONNECT\x06\x03ftp\x04\x0c/sample/path\x01\x0f"));
    let expected: [&[u8]; 6] = [
        b":method: CONNECT\r\n",
        b":scheme: ftp\r\n",
        b":path: /sample/path\r\n",
        b":authority: www.example.com\r\n",
        b":protocol: websocket\r\n",
        b":status: 503\r\n",
    ];
    assert_eq!(lines(&block), expected.map(|line| (line.to_vec(), false)));
}

#[test]
fn secrets_are_never_indexed() {
    for (name, told, never) in [
        ("Authorization", false, true),
        ("proxy-authorization", false, true),
        ("Cookie", false, true),
        ("set-cookie", false, true),
        ("x-key", true, true),
        ("date", true, true),
        ("x-key", false, false),
        ("date", false, false),
    ] {
        let block = written(|out| field(out, name.as_bytes(), b"v", told));
        let line = format!("{}: v\r\n", name.to_lowercase()).into_bytes();
        assert_eq!(lines(&block), [(line, never)], "{name}");
    }
}

#[test]
fn names_are_written_in_lower_case() {
    assert_eq!(written(|out| field(out, b"X-Foo", b"Bar", false)), b"\x00\x05x-foo\x03Bar");
    assert_eq!(written(|out| field(out, b"Content-Type", b"A", false)), b"\x0f\x10\x01A");
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        fields in prop::collection::vec(
            ("[A-Za-z-]{1,20}|Accept|Cookie|User-Agent", prop::collection::vec(any::<u8>(), 0..300), any::<bool>()),
            0..10,
        ),
    ) {
        let mut block = BytesMut::new();
        let mut expected = Vec::new();
        for (name, value, never) in &fields {
            field(&mut block, name.as_bytes(), value, *never);
            let name = name.to_ascii_lowercase();
            let secret = ["authorization", "proxy-authorization", "cookie", "set-cookie"].contains(&name.as_str());
            expected.push(([name.as_bytes(), b": ", value, b"\r\n"].concat(), *never || secret));
        }
        prop_assert_eq!(lines(&block), expected);
    }
}
