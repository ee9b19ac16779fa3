//! What clients' first messages are read as, however they are cut.

use super::{
    fixture::{
        ENCRYPTED_CLIENT_HELLO, GREASE, KEY_SHARE, PADDING, SERVER_NAME, Sketch, asking, records,
        server_name, sized,
    },
    fuzz::read,
    hello::{Broken, Heard, LARGEST, Reader},
};
use proptest::prelude::*;
use tokio_rustls::rustls::server::Acceptor;

fn hello(name: &str) -> Result<Heard, Broken> {
    Ok(Heard::Hello(Some(name.into())))
}

fn nameless() -> Result<Heard, Broken> {
    Ok(Heard::Hello(None))
}

fn heard(bytes: &[u8]) -> Result<Heard, Broken> {
    read(&[bytes]).map(|(heard, _)| heard)
}

/// Of a client that asks for nothing else than what `content` says.
fn naming(content: Vec<u8>) -> Sketch {
    Sketch { extensions: Some(vec![(SERVER_NAME, content)]), ..asking("") }
}

#[test]
fn clients_of_every_version_are_understood() {
    for minor in 0..=4 {
        let old = Sketch { version: [3, minor], ..naming(server_name(&[(0, b"a.example.com")])) };
        assert_eq!(heard(&old.bytes()), hello("a.example.com"), "3.{minor}");
    }
    let oldest = Sketch { version: [3, 0], extensions: None, ..asking("") };
    assert_eq!(heard(&oldest.bytes()), nameless());
    let nothing = Sketch { extensions: Some(vec![]), ..asking("") };
    assert_eq!(heard(&nothing.bytes()), nameless());
}

#[test]
fn what_is_not_known_is_passed_over() {
    let mut greased =
        asking("a.example.com").with(GREASE, vec![]).with(0x7a7a, vec![0; 3]).with(65_000, vec![9; 9]);
    greased.ciphers.insert(0, GREASE);
    assert_eq!(heard(&greased.bytes()), hello("a.example.com"));
    // What a client of today sends of a kind that this program's libraries may read otherwise is nothing to it.
    let nonsense = [5, 10, 13, 16, 41, 43, 44, 45, KEY_SHARE, 0xff01];
    let nonsense =
        nonsense.iter().fold(asking("a.example.com"), |sketch, kind| sketch.with(*kind, vec![0xff]));
    assert_eq!(heard(&nonsense.bytes()), hello("a.example.com"));
}

#[test]
fn of_an_encrypted_hello_the_outer_name_counts() {
    // Its kind, its ciphers, its key's number, the key, and what only the server can read: the inner name.
    let content = [&[0, 0, 1, 0, 1, 7][..], &sized(&[5; 32]), &sized(&[6; 239])].concat();
    let outer = asking("public.example.com").with(ENCRYPTED_CLIENT_HELLO, content);
    assert_eq!(heard(&outer.bytes()), hello("public.example.com"));
}

#[test]
fn names_are_compared_in_lower_case_and_without_a_dot_at_their_end() {
    assert_eq!(heard(&asking("A.Example.COM").bytes()), hello("a.example.com"));
    assert_eq!(heard(&asking("a.example.com.").bytes()), hello("a.example.com"));
    assert_eq!(heard(&asking("_a-1.b").bytes()), hello("_a-1.b"));
}

#[test]
fn what_is_no_name_of_a_host_is_none() {
    let long = ["a".repeat(63).as_str(); 4].join(".");
    for name in [".", "a..b", "[::1]", "a.example.com\0", "*.example.com", "a b", "é.example.com", &long] {
        assert_eq!(heard(&asking(name).bytes()), nameless(), "{name:?}");
    }
    assert_eq!(heard(&asking(&long[2..]).bytes()), hello(&long[2..]), "253 bytes are allowed");
    assert_eq!(
        heard(&naming(server_name(&[(7, b"a.example.com")])).bytes()),
        nameless(),
        "no name of a host"
    );
}

#[test]
fn what_asks_for_two_names_is_refused() {
    let two: &[(u8, &[u8])] = &[(0, b"a.example.com"), (0, b"b.example.com")];
    assert_eq!(heard(&naming(server_name(two)).bytes()), Err(Broken::Ambiguous));
    let twice = asking("a.example.com").with(SERVER_NAME, server_name(&[(0, b"b.example.com")]));
    assert_eq!(heard(&twice.bytes()), Err(Broken::Ambiguous));
}

#[test]
fn what_breaks_the_format_is_refused() {
    let name = server_name(&[(0, b"a.example.com")]);
    let longer = [&name[..], &[0]].concat();
    // A name, and behind it something of another kind that has no end.
    let endless = [&[0, 20][..], &name[2..], &[9, 0, 7, 0]].concat();
    for content in
        [endless, vec![], vec![0], vec![0, 0], server_name(&[(0, b"")]), longer, name[..8].to_vec()]
    {
        assert_eq!(heard(&naming(content.clone()).bytes()), Err(Broken::Malformed), "{content:?}");
    }
    let whole = asking("a.example.com").message();
    // The message says that it ends earlier than what is in it.
    let mut short = whole.clone();
    short[3] -= 1;
    assert_eq!(heard(&records(&short, 1 << 14)), Err(Broken::Malformed));
    let mut sessions = whole;
    sessions[38] = 33;
    assert_eq!(heard(&records(&sessions, 1 << 14)), Err(Broken::Malformed), "a session of 33 bytes");
}

#[test]
fn records_that_break_the_format_are_refused() {
    let whole = asking("a.example.com").bytes();
    assert_eq!(heard(&[22, 3, 1, 0, 0]), Err(Broken::Record), "an empty record");
    assert_eq!(heard(&[22, 3, 1, 0x40, 1]), Err(Broken::Record), "a record of 16,385 bytes");
    assert_eq!(heard(&[22, 3, 1, 0, 1, 2]), Err(Broken::Unexpected), "a ServerHello");
    // A message whose middle is an alert.
    let parts = records(&asking("a.example.com").message(), 40);
    let mut torn = parts[..45].to_vec();
    torn.extend([21, 3, 1, 0, 2, 1, 0]);
    torn.extend(&parts[45..]);
    assert_eq!(heard(&torn), Err(Broken::Unexpected));
    assert_eq!(heard(&parts), heard(&whole));
}

#[test]
fn what_does_not_begin_as_tls_is_something_else_at_its_first_wrong_byte() {
    for bytes in
        [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0", b"\0", &[22, 2], &[21, 3, 1, 0, 2], &[0x80, 46, 1, 3, 1]]
    {
        assert_eq!(heard(bytes), Ok(Heard::Other), "{bytes:?}");
    }
    assert_eq!(heard(&[]), Ok(Heard::More));
    assert_eq!(heard(&[22]), Ok(Heard::More));
    assert_eq!(heard(&[22, 3]), Ok(Heard::More));
}

#[test]
fn it_may_be_as_large_as_the_bound_and_no_larger() {
    let padded = |padding: usize| asking("a.example.com").with(PADDING, vec![0; padding]);
    // As the keys of after-quantum ciphers make it: more than a packet.
    assert_eq!(
        heard(&asking("a.example.com").with(KEY_SHARE, vec![1; 1400]).bytes()),
        hello("a.example.com")
    );
    let rest = LARGEST - padded(60_000).bytes().len();
    let largest = padded(60_000 + rest);
    assert_eq!(largest.bytes().len(), LARGEST);
    assert_eq!(heard(&largest.bytes()), hello("a.example.com"));
    // In records of one byte it is six times as large.
    let many = records(&padded(LARGEST / 6).message(), 1);
    assert_eq!(heard(&many[..LARGEST - 1]), Ok(Heard::More));
    assert_eq!(heard(&many[..LARGEST]), Err(Broken::TooLarge));
    // One that says that it will be too large is not waited for.
    assert_eq!(heard(&[22, 3, 1, 0, 4, 1, 1, 0, 1]), Err(Broken::TooLarge));
}

#[test]
fn what_follows_it_is_not_looked_at() {
    let mut bytes = asking("a.example.com").bytes();
    let whole = bytes.len();
    bytes.extend(b"\x14\x03\x03\x00\x01\x01 and data sent early");
    assert_eq!(heard(&bytes), hello("a.example.com"));
    assert_eq!(read(&[&bytes[..whole], &bytes[whole..]]), Ok((hello("a.example.com").unwrap(), whole)));
}

#[test]
fn it_is_answered_in_a_version_that_the_client_knows() {
    let version = |sketch: &Sketch| {
        let mut reader = Reader::new();
        reader.read(&sketch.bytes()).unwrap();
        reader.version()
    };
    for (theirs, ours) in
        [([3, 0], (3, 0)), ([3, 1], (3, 1)), ([3, 3], (3, 3)), ([3, 4], (3, 3)), ([9, 9], (3, 3))]
    {
        assert_eq!(version(&Sketch { version: theirs, ..asking("a") }), ours);
    }
}

/// What rustls reads the name as, where it takes the message.
fn rustls(bytes: &[u8]) -> Option<Heard> {
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    loop {
        acceptor.read_tls(&mut rest).ok()?;
        if let Some(accepted) = acceptor.accept().ok()? {
            let name = accepted.client_hello().server_name().map(|name| name.trim_end_matches('.').into());
            return Some(Heard::Hello(name));
        }
        if rest.is_empty() {
            return None;
        }
    }
}

#[test]
fn a_server_of_today_reads_the_same_name_and_refuses_what_may_be_passed_on() {
    let bytes = asking("A.example.com").with(GREASE, vec![]).with(PADDING, vec![0; 99]).bytes();
    assert_eq!(rustls(&bytes), heard(&bytes).ok());
    assert_eq!(heard(&bytes), hello("a.example.com"));
    // This is why it is not rustls that reads it.
    let old = Sketch { version: [3, 1], ..naming(server_name(&[(0, b"a.example.com")])) }.bytes();
    assert_eq!((rustls(&old), heard(&old)), (None, hello("a.example.com")));
}

fn extension() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let known = prop_oneof![Just(KEY_SHARE), Just(ENCRYPTED_CLIENT_HELLO), 1_u16..];
    let kind = prop_oneof![1 => known, 9 => prop_oneof![Just(GREASE), Just(PADDING), 60_000_u16..65_000]];
    (kind, prop::collection::vec(any::<u8>(), 0..300))
}

fn sketch() -> impl Strategy<Value = (String, Sketch)> {
    let name = "[a-zA-Z0-9_-]{1,20}(\\.[a-zA-Z0-9_-]{1,20}){0,5}";
    let parts =
        (name, prop::collection::vec(extension(), 0..8), prop::collection::vec(any::<u16>(), 1..40), 0_u8..5);
    parts.prop_map(|(name, extensions, ciphers, minor)| {
        // With the one extension that rustls insists on.
        let named = naming(server_name(&[(0, name.as_bytes())])).with(13, vec![0, 2, 4, 3]);
        let sketch = extensions.into_iter().fold(named, |sketch, (kind, content)| sketch.with(kind, content));
        (name.to_ascii_lowercase(), Sketch { ciphers, version: [3, minor], ..sketch })
    })
}

proptest! {
    #[test]
    fn the_name_is_known_at_the_last_byte_however_the_message_is_cut(
        (name, sketch) in sketch(),
        record in 1_usize..2000,
        packet in 1_usize..2000,
    ) {
        let bytes = records(&sketch.message(), record);
        prop_assume!(bytes.len() <= LARGEST);
        let (last, before) = bytes.split_last().unwrap();
        let mut pieces: Vec<&[u8]> = before.chunks(packet).collect();
        prop_assert_eq!(read(&pieces), Ok((Heard::More, before.len())));
        pieces.push(std::slice::from_ref(last));
        prop_assert_eq!(read(&pieces), Ok((hello(&name).unwrap(), bytes.len())));
    }

    #[test]
    fn any_bytes_are_the_same_however_they_are_cut(
        (_, sketch) in sketch(),
        record in 1_usize..400,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        packet in 1_usize..400,
    ) {
        let mut bytes = records(&sketch.message(), record);
        for (place, byte) in changes {
            *place.get_mut(&mut bytes[..]) = byte;
        }
        let pieces: Vec<&[u8]> = bytes.chunks(packet).collect();
        let whole = heard(&bytes);
        prop_assert_eq!(read(&pieces).map(|(heard, _)| heard), whole.clone());
        // Who takes more on himself reads the same name, unless what stands beside it makes us refuse it.
        if let (Some(theirs), Ok(ours)) = (rustls(&bytes), whole) {
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn nothing_makes_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..300), prefix in 0_usize..12) {
        let mut begun = asking("a.example.com").bytes();
        begun.truncate(prefix);
        begun.extend(bytes);
        let _ = heard(&begun);
    }
}
