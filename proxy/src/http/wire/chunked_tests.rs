//! Chunks, whole and in pieces, right and wrong.

use super::*;
use proptest::prelude::*;

/// What a body came to: its data, its trailers, whether it ended, and whether it was refused.
#[derive(Debug, Default, PartialEq)]
struct Read {
    data: Vec<u8>,
    trailers: HeaderMap,
    ended: bool,
    refused: bool,
    left: Vec<u8>,
}

/// Reads a body that comes in pieces, cut at these places.
fn read(bytes: &[u8], cuts: &[usize]) -> Read {
    let mut places: Vec<usize> = cuts.iter().map(|cut| (*cut).min(bytes.len())).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let (mut read, mut decoder, mut buffer, mut from) = (Read::default(), Decoder::new(), BytesMut::new(), 0);
    for to in places {
        buffer.extend_from_slice(&bytes[from..to]);
        from = to;
        while !read.ended && !read.refused {
            match decoder.next(&mut buffer) {
                Ok(Some(Frame::Data(data))) => {
                    assert!(!data.is_empty(), "a piece of nothing");
                    read.data.extend_from_slice(&data);
                }
                Ok(Some(Frame::Trailers(trailers))) => (read.trailers, read.ended) = (trailers, true),
                Ok(Some(Frame::End)) => read.ended = true,
                Ok(None) => break,
                Err(_) => read.refused = true,
            }
        }
    }
    if read.ended {
        read.left = buffer.to_vec(); // what is left where it is refused is nobody's
    }
    read
}

fn whole(bytes: &[u8]) -> Read {
    read(bytes, &[])
}

#[test]
fn data_comes_without_its_chunks() {
    let body = whole(b"5\r\nhello\r\n00007 ; a=\"b\"\t;c\r\n, world\r\n000\r\n\r\nGET");
    assert_eq!((&body.data[..], body.ended, &body.left[..]), (&b"hello, world"[..], true, &b"GET"[..]));
    assert!(body.trailers.is_empty());
    assert_eq!(whole(b"A\r\n0123456789\r\n0\r\n\r\n").data, b"0123456789");
}

#[test]
fn trailers_come_without_what_may_not_be_there() {
    let body = whole(b"0\r\nX-Sum: 1\r\nx-sum: 2 \r\nContent-Length: 3\r\nempty:\r\n\r\nGET");
    assert_eq!(body.trailers.get_all("x-sum").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!((body.trailers.len(), body.trailers.get("empty").unwrap().as_bytes()), (3, &b""[..]));
    assert_eq!((body.ended, &body.left[..]), (true, &b"GET"[..]));
}

#[test]
fn what_two_could_read_differently_is_refused() {
    let lines: &[&[u8]] = &[
        b"\r\n",
        b"g\r\n",
        b"0x1\r\n",
        b"+1\r\n",
        b"-1\r\n",
        b" 1\r\n",
        b"1 x\r\n",
        b"1\x0b\r\n",
        b"1\x0c\r\n",
        b"1\0\r\n",
        b"1\n",
        b"1\r\r\n",
        b"1;\r\r\n",
        b"1;a\x01\r\n",
        b"1_0\r\n",
        b"1234567890123456\r\n",
        b"fffffffffffffffff\r\n",
        b"1\r\na\n0",
        b"1\r\nab\r\n",
        b"1\r\na0\r\n",
        b"0\r\nx\r\n\r\n",
        b"0\r\nx : y\r\n\r\n",
        b"0\r\n x: y\r\n\r\n",
        b"0\r\nx: y\n\r\n",
        b"0\r\nx: y\r\n z\r\n\r\n",
        b"0\r\nx: \0\r\n\r\n",
        b"0\n\r\n",
        b"0\r\n\n",
    ];
    for line in lines {
        let body = whole(line);
        assert!(body.refused && !body.ended, "{:?}: {body:?}", String::from_utf8_lossy(line));
    }
}

#[test]
fn lines_and_trailers_are_bounded_however_they_come() {
    let with = |extension: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(extension));
    assert!(whole(with(LONGEST_LINE - 4).as_bytes()).ended);
    assert!(whole(with(LONGEST_LINE - 3).as_bytes()).refused);
    let with = |value: usize| format!("0\r\nx: {}\r\n\r\n", "y".repeat(value));
    assert!(whole(with(LARGEST_TRAILERS - 7).as_bytes()).ended);
    for cuts in [&[][..], &[100], &[LARGEST_TRAILERS + 2]] {
        assert!(read(with(LARGEST_TRAILERS - 6).as_bytes(), cuts).refused, "{cuts:?}");
    }
    assert!(whole("f".repeat(LONGEST_LINE).as_bytes()).refused, "before its line is whole");
}

prop_compose! {
    /// A body in chunks, and its data.
    fn body()(
        chunks in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..20), "0{0,3}", "( ?;[a-z=]{0,5})?"), 0..6),
        trailers in prop::collection::vec("[a-z]{1,5}: [a-z]{0,5}\r\n", 0..3),
    ) -> (Vec<u8>, Vec<u8>) {
        let (mut bytes, mut data) = (Vec::new(), Vec::new());
        for (chunk, zeroes, extension) in chunks {
            bytes.extend_from_slice(format!("{zeroes}{:x}{extension}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(&chunk);
            bytes.extend_from_slice(b"\r\n");
            data.extend_from_slice(&chunk);
        }
        bytes.extend_from_slice(format!("0\r\n{}\r\n", trailers.concat()).as_bytes());
        (bytes, data)
    }
}

proptest! {
    #[test]
    fn the_same_data_comes_however_it_is_cut((bytes, data) in body(), cuts in prop::collection::vec(0..200_usize, 0..8)) {
        let one = whole(&bytes);
        prop_assert_eq!(&one.data, &data);
        prop_assert!(one.ended && one.left.is_empty());
        prop_assert_eq!(read(&bytes, &cuts), one);
        let every: Vec<usize> = (0..bytes.len()).collect();
        prop_assert_eq!(read(&bytes, &every).data, data);
    }

    #[test]
    fn a_mangled_body_is_the_same_however_it_is_cut(
        (bytes, _) in body(),
        place in any::<prop::sample::Index>(),
        byte in prop::sample::select(b"\r\n\0 \t;:0afF\xff".to_vec()),
        cuts in prop::collection::vec(0..200_usize, 0..8),
    ) {
        let mut bytes = bytes;
        let place = place.index(bytes.len());
        bytes[place] = byte;
        prop_assert_eq!(read(&bytes, &cuts), whole(&bytes));
    }

    #[test]
    fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(0..200_usize, 0..8)) {
        prop_assert_eq!(read(&bytes, &cuts), whole(&bytes));
    }
}
