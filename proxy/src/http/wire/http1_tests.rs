//! Connections over sockets: what is put on one side comes out of the other.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use std::{future::poll_fn, net::Ipv4Addr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A connection, and the other end of it.
async fn pair() -> (Http1, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (Http1::new(Stream::Plain(listener.accept().await.unwrap().0)), other)
}

/// Puts frames, as one does who moves them, and closes.
async fn put(mut connection: Http1, outgoing: Outgoing, frames: Vec<Frame>) {
    connection.begin_body(outgoing);
    for frame in frames {
        poll_fn(|context| connection.poll_ready(context)).await.unwrap();
        connection.put(frame);
    }
    poll_fn(|context| connection.poll_flush(context)).await.unwrap();
}

/// What arrives of frames that are put.
async fn written(outgoing: Outgoing, frames: Vec<Frame>) -> Vec<u8> {
    let (connection, mut other) = pair().await;
    let mut came = Vec::new();
    tokio::join!(put(connection, outgoing, frames), async { other.read_to_end(&mut came).await.unwrap() });
    came
}

/// What is read of a body of which these pieces arrive before the end of the connection.
async fn read(framing: Framing, pieces: &[&[u8]]) -> (Vec<u8>, Result<Option<HeaderMap>, Broken>) {
    let (mut connection, mut other) = pair().await;
    connection.expect_body(framing);
    let mut data = Vec::new();
    let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
    let writer = tokio::spawn(async move {
        for piece in pieces {
            other.write_all(&piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        other.shutdown().await.unwrap();
        other
    });
    let end = loop {
        match poll_fn(|context| connection.poll_frame(context)).await {
            Ok(Frame::Data(piece)) => data.extend_from_slice(&piece),
            Ok(Frame::Trailers(trailers)) => break Ok(Some(trailers)),
            Ok(Frame::End) => break Ok(None),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(connection.is_drained(), end.is_ok());
    writer.await.unwrap();
    (data, end)
}

fn data(bytes: &[u8]) -> Frame {
    Frame::Data(Bytes::copy_from_slice(bytes))
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.append("x-sum", "1".parse().unwrap());
    trailers.append("x-sum", "2".parse().unwrap());
    trailers
}

#[tokio::test]
async fn each_way_to_write_a_body_ends_as_it_should() {
    let body = || vec![data(b"hello"), data(b""), data(b", world")];
    let ended = || [body(), vec![Frame::End]].concat();
    let trailed = || [body(), vec![Frame::Trailers(trailers())]].concat();
    assert_eq!(written(Outgoing::Plain, ended()).await, b"hello, world");
    assert_eq!(written(Outgoing::Plain, trailed()).await, b"hello, world", "there is no place for trailers");
    assert_eq!(written(Outgoing::Raw, ended()).await, b"hello, world");
    assert_eq!(written(Outgoing::Nothing, trailed()).await, b"");
    assert_eq!(written(Outgoing::Chunked, ended()).await, b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n");
    let end = b"5\r\nhello\r\n7\r\n, world\r\n0\r\nx-sum: 1\r\nx-sum: 2\r\n\r\n";
    assert_eq!(written(Outgoing::Chunked, trailed()).await, end);
}

#[tokio::test]
async fn the_end_of_a_tunnel_closes_the_sending_side_alone() {
    let (mut connection, mut other) = pair().await;
    connection.tunnel();
    connection.put(data(b"bye"));
    poll_fn(|context| connection.poll_ready(context)).await.unwrap();
    connection.put(Frame::End);
    poll_fn(|context| connection.poll_flush(context)).await.unwrap();
    let mut came = Vec::new();
    other.read_to_end(&mut came).await.unwrap();
    assert_eq!(came, b"bye");
    other.write_all(b"late").await.unwrap();
    let Frame::Data(late) = poll_fn(|context| connection.poll_frame(context)).await.unwrap() else {
        panic!()
    };
    assert_eq!(&late[..], b"late");
    drop(other);
    assert!(poll_fn(|context| connection.poll_frame(context)).await.unwrap().is_last());
}

#[tokio::test]
async fn a_body_is_whole_only_where_its_framing_says_so() {
    let ends = |end: Result<Option<HeaderMap>, Broken>| matches!(end, Err(Broken::Ended));
    assert!(matches!(read(Framing::Length(4), &[b"ok", b"ok"]).await.1, Ok(None)));
    assert!(ends(read(Framing::Length(5), &[b"ok", b"ok"]).await.1));
    assert!(matches!(read(Framing::UntilClose, &[b"ok"]).await.1, Ok(None)));
    assert!(matches!(read(Framing::Empty, &[]).await.1, Ok(None)));
    assert!(matches!(read(Framing::Length(0), &[]).await.1, Ok(None)));
    assert!(ends(read(Framing::Chunked, &[b"2\r\nok\r\n"]).await.1));
    assert!(ends(read(Framing::Chunked, &[b"2\r\nok\r\n0\r\n"]).await.1));
    assert!(ends(read(Framing::Chunked, &[b"2\r\no"]).await.1));
    assert!(matches!(read(Framing::Chunked, &[b"x\r\n"]).await.1, Err(Broken::Protocol(_))));
    let (body, end) =
        read(Framing::Chunked, &[b"2\r\no", b"k\r\n0\r", b"\nx-sum: 1\r\nx-sum: 2\r\n\r\n"]).await;
    assert_eq!((body, end.unwrap()), (b"ok".to_vec(), Some(trailers())));
}

#[tokio::test]
async fn what_stands_behind_a_body_is_left_there() {
    for (framing, body) in
        [(Framing::Length(2), "ok"), (Framing::Chunked, "2\r\nok\r\n0\r\n\r\n"), (Framing::Empty, "")]
    {
        let (mut connection, mut other) = pair().await;
        other.write_all(format!("{body}GET").as_bytes()).await.unwrap();
        assert!(poll_fn(|context| connection.poll_fill(context)).await.unwrap());
        while connection.input.len() < body.len() + 3 {
            poll_fn(|context| connection.poll_fill(context)).await.unwrap();
        }
        connection.expect_body(framing);
        while !poll_fn(|context| connection.poll_frame(context)).await.unwrap().is_last() {}
        assert_eq!(&connection.input[..], b"GET", "{framing:?}");
        assert!(!poll_fn(|context| std::task::Poll::Ready(connection.is_idle(context))).await);
    }
}

#[tokio::test]
async fn a_connection_is_idle_only_while_nothing_came() {
    let (mut connection, other) = pair().await;
    assert!(poll_fn(|context| Poll::Ready(connection.is_idle(context))).await);
    drop(other);
    poll_fn(|context| connection.stream.poll_readable(context)).await.unwrap();
    assert!(!poll_fn(|context| Poll::Ready(connection.is_idle(context))).await, "its end has come");
    assert!(!poll_fn(|context| Poll::Ready(connection.is_idle(context))).await, "and stays");
}

/// Sends bytes, and reads once when all of them are there; how many were read.
async fn read_once(connection: &mut Http1, other: &mut TcpStream, size: usize) -> usize {
    other.write_all(&vec![7; size]).await.unwrap();
    let Stream::Plain(tcp) = &connection.stream else { panic!() };
    let mut all = vec![0; size];
    while tcp.peek(&mut all).await.unwrap() < size {
        tokio::task::yield_now().await;
    }
    let before = connection.input.len();
    assert!(poll_fn(|context| connection.poll_fill(context)).await.unwrap());
    connection.input.len() - before
}

/// Whether nothing can be read.
async fn waits(connection: &mut Http1) -> bool {
    poll_fn(|context| Poll::Ready(connection.poll_fill(context).is_pending())).await
}

#[tokio::test]
async fn behind_a_large_message_another_is_read_at_once_and_behind_a_small_one_not() {
    let (mut connection, mut other) = pair().await;
    for (size, expected) in
        [(60_000, SMALL_READ), (60_000, 60_000), (100, 100), (60_000, SMALL_READ), (60_000, 60_000)]
    {
        assert_eq!(read_once(&mut connection, &mut other, size).await, expected);
        while connection.input.len() < size {
            assert!(poll_fn(|context| connection.poll_fill(context)).await.unwrap());
        }
        connection.input.clear();
        connection.rest();
        assert!(waits(&mut connection).await);
        assert_eq!(connection.input.capacity(), 0, "what rests or waits holds nothing");
    }
}

#[tokio::test]
async fn a_body_that_is_said_to_be_large_is_read_in_large_pieces() {
    let (mut connection, mut other) = pair().await;
    assert_eq!(read_once(&mut connection, &mut other, 100).await, 100, "the head");
    connection.input.clear();
    connection.expect_body(Framing::Length(60_000));
    assert_eq!(read_once(&mut connection, &mut other, 60_000).await, 60_000);
}

#[tokio::test]
async fn what_comes_in_drops_shares_a_small_buffer() {
    let (mut connection, mut other) = pair().await;
    for size in [60_000, 1] {
        read_once(&mut connection, &mut other, size).await;
        while !waits(&mut connection).await {}
        connection.input.clear();
        connection.rest();
    }
    connection.tunnel();
    let mut kept: Vec<Bytes> = Vec::new();
    for _ in 0..3 {
        other.write_all(b"x").await.unwrap();
        let Frame::Data(drop) = poll_fn(|context| connection.poll_frame(context)).await.unwrap() else {
            panic!()
        };
        kept.push(drop);
        assert!(waits(&mut connection).await);
        assert!((1..=SMALL_READ).contains(&connection.input.capacity()));
    }
    assert!(kept.windows(2).all(|pair| pair[1].as_ptr() as usize == pair[0].as_ptr() as usize + 1));
}

#[tokio::test]
async fn behind_a_large_message_drops_give_its_buffer_up() {
    let (mut connection, mut other) = pair().await;
    read_once(&mut connection, &mut other, 60_000).await;
    while !waits(&mut connection).await {}
    connection.input.clear();
    connection.rest();
    assert_eq!(read_once(&mut connection, &mut other, 1).await, 1);
    assert!(connection.input.capacity() > SMALL_READ, "it could have been another large one");
    connection.input.clear();
    assert!(waits(&mut connection).await);
    assert_eq!(connection.input.capacity(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Small pieces, large ones and those around the border between them, more than a socket takes at once.
    #[test]
    fn all_that_is_put_comes_out_in_order(sizes in prop::collection::vec(prop_oneof![0..200_usize, 8_000..9_000_usize, 60_000..300_000_usize], 0..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bytes = |size: usize, seed: usize| (0..size).map(|index| ((index + seed) * 31 % 251) as u8).collect::<Vec<_>>();
        let pieces: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(seed, size)| bytes(*size, seed)).collect();
        let frames: Vec<Frame> = pieces.iter().map(|piece| data(piece)).chain([Frame::End]).collect();
        let expected = pieces.concat();
        for (outgoing, framing) in [(Outgoing::Plain, Framing::UntilClose), (Outgoing::Chunked, Framing::Chunked)] {
            let came = runtime.block_on(written(outgoing, frames.clone()));
            let (body, end) = runtime.block_on(read(framing, &[&came]));
            prop_assert!(body == expected, "{} bytes of {}", body.len(), expected.len());
            prop_assert!(end.unwrap().is_none());
        }
    }
}
