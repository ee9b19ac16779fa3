use super::super::huffman::tests::encode as in_code;
use super::*;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// A block's fields with what was read of them. All lines are in one buffer, after other text.
fn all(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, Decoded)>, Error> {
    let mut out = BytesMut::from(&b"before"[..]);
    let mut read = Vec::new();
    let mut fields = decoder.fields(block);
    while let Some(field) = fields.next(&mut out)? {
        read.push(field);
    }
    let part = |from: u32, to: u32| String::from_utf8_lossy(&out[from as usize..to as usize]).into_owned();
    let text = |line: &Line| {
        let (name, value) = (part(line.start, line.name_end), part(line.value_start, line.value_end));
        let text = format!("{name}: {value}");
        assert_eq!(part(line.start, line.end), format!("{text}\r\n"));
        assert_eq!(line.kind, Kind::of(&out[line.start as usize..line.name_end as usize]));
        text
    };
    Ok(read.into_iter().map(|field| (text(&field.line), field)).collect())
}

fn lines(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Error> {
    Ok(all(decoder, block)?.into_iter().map(|(text, _)| text).collect())
}

fn literal(first: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[first, name.len() as u8], name, &[value.len() as u8], value].concat()
}

/// Runs the blocks of one connection of the RFC's appendix, with the lines and the table's size after each.
fn appendix(most: usize, blocks: &[(&str, &[&str], usize)]) {
    let mut decoder = Decoder::new(4096);
    if most < 4096 {
        decoder.table.resize(most);
    }
    for (block, expected, size) in blocks {
        assert_eq!(lines(&mut decoder, &hex(block)).unwrap(), *expected);
        assert_eq!(decoder.table.size(), *size);
    }
}

const REQUESTS: [&[&str]; 3] = [
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
    &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ],
];

const LOCATION: &str = "location: https://www.example.com";
const RESPONSES: [&[&str]; 3] = [
    &[":status: 302", "cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT", LOCATION],
    &[":status: 307", "cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT", LOCATION],
    &[
        ":status: 200",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:22 GMT",
        LOCATION,
        "content-encoding: gzip",
        "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ],
];

#[test]
fn integers_are_those_of_the_rfc() {
    for (octets, prefix, value) in [
        (&[10u8][..], 5, Ok(10)),      // C.1.1
        (&[31, 154, 10], 5, Ok(1337)), // C.1.2
        (&[42], 8, Ok(42)),            // C.1.3
        (&[31, 0x80, 0x80, 0x00], 5, Ok(31)),
        (&[127, 0x80, 0xff, 0xff, 0xff, 0x0f], 7, Ok(0xffff_ffff)),
        (&[127, 0x81, 0xff, 0xff, 0xff, 0x0f], 7, Err(Error::Integer)),
        (&[31, 0xff, 0xff, 0xff, 0xff, 0x7f], 5, Err(Error::Integer)),
        (&[31, 0x80, 0x80, 0x80, 0x80, 0x80, 0], 5, Err(Error::Integer)),
        (&[], 5, Err(Error::Truncated)),
        (&[31], 5, Err(Error::Truncated)),
        (&[31, 0x80], 5, Err(Error::Truncated)),
    ] {
        assert_eq!(integer(&mut &octets[..], prefix), value, "{octets:?}");
    }
}

#[test]
fn single_fields_are_those_of_the_rfc() {
    for (block, line, never_indexed, size) in [
        (
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key: custom-header",
            false,
            55,
        ),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path", false, 0),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret", true, 0),
        ("82", ":method: GET", false, 0),
    ] {
        let mut decoder = Decoder::new(4096);
        let read = all(&mut decoder, &hex(block)).unwrap();
        let [(text, field)] = &read[..] else { panic!("{read:?}") };
        assert_eq!((text.as_str(), field.line.never_indexed, field.fine), (line, never_indexed, true));
        assert_eq!(decoder.table.size(), size);
    }
}

#[test]
fn requests_are_those_of_the_rfc() {
    let [first, second, third] = REQUESTS;
    let plain = [
        ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", first, 57),
        ("8286 84be 5808 6e6f 2d63 6163 6865", second, 110),
        ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", third, 164),
    ];
    appendix(4096, &plain); // C.3
    let coded = [
        ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", first, 57),
        ("8286 84be 5886 a8eb 1064 9cbf", second, 110),
        ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", third, 164),
    ];
    appendix(4096, &coded); // C.4
}

#[test]
fn responses_that_evict_are_those_of_the_rfc() {
    let [first, second, third] = RESPONSES;
    let plain = [
        (
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32
             3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            first,
            222,
        ),
        ("4803 3330 37c1 c0bf", second, 222),
        (
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970
             7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61
             6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
            third,
            215,
        ),
    ];
    appendix(256, &plain); // C.5
    let coded = [
        (
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad
             1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            first,
            222,
        ),
        ("4883 640e ffc1 c0bf", second, 222),
        (
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2
             e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
            third,
            215,
        ),
    ];
    appendix(256, &coded); // C.6
}

#[test]
fn a_size_is_set_at_the_front_only_and_up_to_the_most() {
    let update = |block: &[u8]| lines(&mut Decoder::new(4096), block);
    assert_eq!(update(&[0x20]), Ok(vec![]));
    assert_eq!(update(&[0x20, 0x3f, 0xe1, 0x1f, 0x82]), Ok(vec![":method: GET".to_owned()])); // 0, then 4096
    assert_eq!(update(&[0x3f, 0xe2, 0x1f]), Err(Error::SizeUpdate)); // 4097
    assert_eq!(update(&[0x82, 0x20]), Err(Error::SizeUpdate));
    let mut decoder = Decoder::new(0);
    assert_eq!(lines(&mut decoder, &[0x21]), Err(Error::SizeUpdate));
    assert_eq!(lines(&mut decoder, &literal(0x40, b"a", b"b")).unwrap(), ["a: b"]);
    assert_eq!(decoder.table.size(), 0);
}

#[test]
fn a_larger_table_than_the_initial_one_has_to_be_asked_for() {
    let mut decoder = Decoder::new(8192);
    for _ in 0..200 {
        lines(&mut decoder, &literal(0x40, b"a", &[b'b'; 31])).unwrap();
    }
    assert_eq!(decoder.table.size(), 4096);
    lines(&mut decoder, &[0x3f, 0xe1, 0x3f]).unwrap(); // 8192
    for _ in 0..200 {
        lines(&mut decoder, &literal(0x40, b"a", &[b'b'; 31])).unwrap();
    }
    assert_eq!(decoder.table.size(), 8192);
}

#[test]
fn setting_the_size_evicts_at_once() {
    let mut decoder = Decoder::new(4096);
    lines(&mut decoder, &literal(0x40, b"a", b"b")).unwrap();
    assert_eq!(lines(&mut decoder, &[0xbe]).unwrap(), ["a: b"]);
    assert_eq!(lines(&mut decoder, &[0x20, 0xbe]), Err(Error::Index));
}

#[test]
fn a_new_entry_may_have_the_name_of_one_that_it_evicts() {
    let mut decoder = Decoder::new(40);
    lines(&mut decoder, &literal(0x40, b"name", b"old")).unwrap();
    assert_eq!(lines(&mut decoder, b"\x7e\x03new\xbe").unwrap(), ["name: new", "name: new"]);
    assert_eq!(lines(&mut decoder, &[0xbf]), Err(Error::Index));
}

#[test]
fn a_line_that_the_caller_cuts_off_stays_in_the_table() {
    let mut decoder = Decoder::new(4096);
    let block = [literal(0x40, b"a", b"b"), vec![0xbe]].concat();
    let mut out = BytesMut::from(&b"kept"[..]);
    let mut fields = decoder.fields(&block);
    for _ in 0..2 {
        let line = fields.next(&mut out).unwrap().unwrap().line;
        assert_eq!((line.start, &out[..]), (4, &b"kepta: b\r\n"[..]));
        out.truncate(line.start as usize);
    }
    assert!(fields.next(&mut out).unwrap().is_none());
}

#[test]
fn broken_blocks_are_refused() {
    for (block, error) in [
        (&[0x80][..], Error::Index),
        (&[0xbe], Error::Index),
        (&[0x7e, 0x01, b'v'], Error::Index),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Error::Integer),
        (&[0x00], Error::Truncated),
        (&[0x00, 0x01], Error::Truncated),
        (&[0x00, 0x01, b'n'], Error::Truncated),
        (&[0x00, 0x01, b'n', 0x02, b'v'], Error::Truncated),
        (&[0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f], Error::Integer),
        (&[0x00, 0x7f, 0x80, 0xff, 0xff, 0xff, 0x0f], Error::Truncated),
        (&[0x00, 0x81, 0xff, 0x00], Error::Huffman),
        (&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff], Error::Huffman),
    ] {
        assert_eq!(lines(&mut Decoder::new(4096), block), Err(error), "{block:?}");
    }
}

#[test]
fn fine_says_whether_name_and_value_are_allowed() {
    for (name, value, fine) in [
        (&b"name"[..], &b"value"[..], true),
        (b":path", b"/", true),
        (b"x!#$%&'*+-.^_`|~09", b"", true),
        (b"name", b"a\tb \x80\xff", true),
        (b"", b"value", false),
        (b":", b"value", false),
        (b"::path", b"/", false),
        (b"na:me", b"value", false),
        (b"Name", b"value", false),
        (b"na me", b"value", false),
        (b"name\r\n", b"value", false),
        (b"n\xc3\xa4me", b"value", false),
        (b"name\0", b"value", false),
        (b"name", b"a\0", false),
        (b"name", b"a\r\nb: c", false),
        (b"name", b"\n", false),
        (b"name", b"\x1f", false),
        (b"name", b"\x7f", false),
    ] {
        for first in [0x00, 0x10, 0x40] {
            let mut decoder = Decoder::new(4096);
            let mut block = literal(first, name, value);
            if first == 0x40 {
                block.extend([0xbe, 0x7e, 0x01, b'v']); // the entry, then its name with another value
            }
            let mut out = BytesMut::new();
            let mut fields = decoder.fields(&block);
            assert_eq!(fields.next(&mut out).unwrap().unwrap().fine, fine, "{name:?} {value:?}");
            if first == 0x40 {
                assert_eq!(fields.next(&mut out).unwrap().unwrap().fine, fine, "{name:?} {value:?}");
                assert_eq!(fields.next(&mut out).unwrap().unwrap().fine, is_name(name), "{name:?} {value:?}");
            }
        }
    }
}

/// What a peer may do.
#[derive(Clone, Debug)]
enum Step {
    Insert(String, String, bool),
    Point(usize),
    Resize(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => ("[a-z]{1,5}", "[a-z0-9]{0,40}", any::<bool>()).prop_map(|(name, value, code)| Step::Insert(name, value, code)),
        4 => (0usize..12).prop_map(Step::Point),
        1 => (0usize..30).prop_map(Step::Resize),
    ]
}

proptest! {
    #[test]
    fn the_table_does_as_a_plain_one_does(steps in prop::collection::vec(step(), 1..60)) {
        let mut decoder = Decoder::new(150);
        let (mut plain, mut limit): (Vec<(String, String)>, _) = (Vec::new(), 150);
        for step in steps {
            let (block, expected) = match step {
                Step::Insert(name, value, code) => {
                    let block = if code {
                        let (name, value) = (in_code(name.as_bytes()), in_code(value.as_bytes()));
                        [&[0x40, 0x80 | name.len() as u8], &name[..], &[0x80 | value.len() as u8], &value].concat()
                    } else {
                        literal(0x40, name.as_bytes(), value.as_bytes())
                    };
                    plain.insert(0, (name.clone(), value.clone()));
                    (block, Ok(vec![format!("{name}: {value}")]))
                }
                Step::Point(place) => {
                    let line = plain.get(place).map(|(name, value)| vec![format!("{name}: {value}")]);
                    (vec![0x80 | (62 + place) as u8], line.ok_or(Error::Index))
                }
                Step::Resize(size) => {
                    limit = size;
                    (vec![0x20 | size as u8], Ok(vec![]))
                }
            };
            while plain.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>() > limit {
                plain.pop();
            }
            prop_assert_eq!(lines(&mut decoder, &block), expected);
        }
    }

    #[test]
    fn any_octets_are_read_or_refused(
        most in 0usize..5000,
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..10),
    ) {
        let mut decoder = Decoder::new(most);
        for block in blocks {
            let mut out = BytesMut::new();
            let mut fields = decoder.fields(&block);
            while let Ok(Some(field)) = fields.next(&mut out) {
                prop_assert!(field.line.start <= field.line.name_end);
                prop_assert!(field.line.name_end + 2 == field.line.value_start);
                prop_assert!(field.line.value_start <= field.line.value_end);
                prop_assert_eq!(field.line.end as usize, out.len());
            }
            prop_assert!(decoder.table.size() <= most);
        }
    }
}
