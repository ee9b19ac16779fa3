//! Frames arrive whole and in order, however they were written.

use super::*;
use crate::http::http2::frame::Head;
use proptest::prelude::*;
use std::{future::poll_fn, net::Ipv4Addr};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

/// What was put, written to a socket and read from it again, as frames.
async fn written(output: &mut Output) -> Vec<(Head, Vec<u8>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let mut stream = Stream::Plain(listener.accept().await.unwrap().0);
    let mut bytes = Vec::new();
    let write = async {
        poll_fn(|context| output.poll_flush(context, &mut stream)).await.unwrap();
        drop(stream);
    };
    tokio::join!(write, async { other.read_to_end(&mut bytes).await.unwrap() });
    let (mut rest, mut frames) = (&bytes[..], Vec::new());
    while let Some(head) = Head::read(rest) {
        frames.push((head, rest[HEAD..HEAD + head.length].to_vec()));
        rest = &rest[HEAD + head.length..];
    }
    assert!(rest.is_empty());
    frames
}

#[tokio::test]
async fn small_data_of_one_stream_becomes_one_frame_that_also_ends_it() {
    let mut output = Output::default();
    output.put_data(1, Bytes::from_static(b"a"));
    output.put_data(1, Bytes::from_static(b"b"));
    output.put_data(3, Bytes::from_static(b"c"));
    output.put_data(1, Bytes::from_static(b"d"));
    output.put_end(1);
    output.put_end(3);
    let frames = written(&mut output).await;
    let data = |stream, flags, data: &[u8]| {
        (Head { length: data.len(), kind: kind::DATA, flags, stream }, data.to_vec())
    };
    let end = flag::END_STREAM;
    assert_eq!(frames, [data(1, 0, b"ab"), data(3, 0, b"c"), data(1, end, b"d"), data(3, end, b"")]);
    assert_eq!(output.size(), 0);
}

#[tokio::test]
async fn no_frame_grows_beyond_the_largest() {
    let mut output = Output::default();
    for _ in 0..10 {
        output.put_data(1, Bytes::from(vec![7; LARGE - 1]));
    }
    assert!(output.is_full());
    let frames = written(&mut output).await;
    assert_eq!(frames.len(), 5);
    assert!(frames.iter().all(|(head, _)| head.length == (LARGE - 1) * 2));
}

#[tokio::test]
async fn fields_that_are_too_large_for_a_frame_are_continued() {
    for size in [0_usize, 99, 100, 101, 200, 250] {
        let mut output = Output::default();
        let block: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
        output.put_fields(5, flag::END_STREAM, 100, |out| out.extend_from_slice(&block));
        let frames = written(&mut output).await;
        let payload: Vec<u8> = frames.iter().flat_map(|(_, payload)| payload.clone()).collect();
        assert_eq!(payload, block);
        assert_eq!(frames.len(), size.div_ceil(100).max(1), "{size}");
        for (index, (head, payload)) in frames.iter().enumerate() {
            let (first, last) = (index == 0, index == frames.len() - 1);
            assert_eq!(head.kind, if first { kind::HEADERS } else { kind::CONTINUATION });
            assert_eq!(head.flags & flag::END_HEADERS != 0, last);
            assert_eq!(head.flags & flag::END_STREAM != 0, first);
            assert_eq!((head.stream, payload.len() <= 100), (5, true));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_stream_gets_its_own_bytes_in_order(pieces in prop::collection::vec((0..3_u32, 1..LARGE * 2, any::<u8>()), 0..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let mut output = Output::default();
        let mut expected = [vec![], vec![], vec![]];
        for (stream, size, byte) in pieces {
            output.put_data(stream * 2 + 1, Bytes::from(vec![byte; size]));
            expected[stream as usize].extend(vec![byte; size]);
        }
        let mut came = [vec![], vec![], vec![]];
        for (head, payload) in runtime.block_on(written(&mut output)) {
            came[(head.stream / 2) as usize].extend(payload);
        }
        prop_assert!(came == expected);
    }
}
