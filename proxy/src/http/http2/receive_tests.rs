//! A connection that is talked to badly.

use super::super::{
    compose,
    frame::{self, HEAD, Head, PREFACE, flag, kind},
    hpack::encode,
    state::tests::{OURS, Pair, asking, read},
    state::{LEAVING, Role, State},
    streams::Ended,
};
use super::*;
use bytes::BufMut;
use proptest::prelude::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

/// A server that was sent `bytes` behind a preface and settings, and a request on stream 1 with a body to come.
fn told(bytes: impl FnOnce(&mut BytesMut)) -> State {
    let mut server = State::new(Role::Server, OURS);
    let mut input = BytesMut::from(PREFACE);
    frame::settings(&mut input, &[]);
    let mut block = BytesMut::new();
    asking(&mut block);
    frame::head(&mut input, block.len(), kind::HEADERS, flag::END_HEADERS, 1);
    input.extend_from_slice(&block);
    server.read(&mut input);
    assert_eq!(server.asked.pop_front().unwrap().id, 1);
    server.output.bytes();
    server.written();
    bytes(&mut input);
    server.read(&mut input);
    server
}

/// The last frame that the server has said: its type, stream and reason.
fn said(server: &mut State) -> Option<(u8, u32, Reason)> {
    let bytes = server.output.bytes();
    let (mut rest, mut last) = (&bytes[..], None);
    while let Some(head) = Head::read(rest) {
        let payload = &rest[HEAD..HEAD + head.length];
        let reason =
            if head.kind == kind::GOAWAY { frame::number(&payload[4..]) } else { frame::number(payload) };
        last = Some((head.kind, head.stream, Reason(reason.unwrap_or_default())));
        rest = &rest[HEAD + head.length..];
    }
    last
}

#[test]
fn a_body_is_as_long_as_it_says() {
    for (length, data, fine) in [("5", &b"hello"[..], true), ("4", b"hello", false), ("6", b"hello", false)] {
        let mut server = told(|out| {
            let mut block = BytesMut::new();
            asking(&mut block);
            encode::field(&mut block, b"content-length", length.as_bytes(), false);
            frame::head(out, block.len(), kind::HEADERS, flag::END_HEADERS, 3);
            out.extend_from_slice(&block);
            frame::head(out, data.len(), kind::DATA, flag::END_STREAM, 3);
            out.extend_from_slice(data);
        });
        let expected = (!fine).then_some((kind::RST_STREAM, 3, Reason::PROTOCOL_ERROR));
        assert_eq!(said(&mut server), expected, "{length}");
    }
}

#[test]
fn who_drives_the_connection_hears_when_it_rests() {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut server = told(|out| frame::reset(out, 1, Reason::CANCEL));
    server.register_driver(&Context::from_waker(&waker));
    server.let_go(1);
    assert_eq!((server.output.size(), woken.0.load(Ordering::Relaxed)), (0, 1));
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn padding_alone_is_given_back_too() {
    let mut server = told(|_| {});
    for _ in 0..2000 {
        let mut input = BytesMut::new();
        frame::head(&mut input, 256, kind::DATA, flag::PADDED, 1);
        input.put_u8(255);
        input.put_bytes(0, 255);
        server.read(&mut input);
        assert_eq!(server.gone, None);
    }
    assert!(server.streams.get(1).unwrap().receive_window > 0);
}

#[test]
fn a_stream_that_was_reset_here_is_remembered_longer_than_others() {
    let mut server = told(|_| {});
    server.let_go(1);
    for id in (3..1000).step_by(2) {
        server.streams.remember(id, false);
    }
    assert_eq!(server.streams.ended(1), Ended::ResetHere);
    assert_eq!((server.streams.ended(3), server.streams.ended(999)), (Ended::Unknown, Ended::Else));
}

#[test]
fn the_last_stream_of_a_server_that_goes_does_not_rise() {
    let mut server = told(|_| {});
    server.leave();
    server.ponged(LEAVING);
    let mut input = BytesMut::new();
    let mut block = BytesMut::new();
    asking(&mut block);
    frame::head(&mut input, block.len(), kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 3);
    input.extend_from_slice(&block);
    server.read(&mut input);
    assert!(server.asked.is_empty());
    server.output.bytes();
    server.end(Reason::ENHANCE_YOUR_CALM, "enough");
    let bytes = server.output.bytes();
    assert_eq!(frame::number(&bytes[HEAD..]), Some(1));
}

#[test]
fn padding_counts_and_is_given_back() {
    let mut server = told(|out| {
        frame::head(out, 10, kind::DATA, flag::PADDED, 1);
        out.put_slice(&[4, b'h', b'e', b'l', b'l', b'o', 0, 0, 0, 0]);
    });
    assert_eq!(read(&mut server, 1).0, b"hello");
    assert_eq!((server.untold, server.streams.get(1).unwrap().untold), (10, 10), "read, or padding");
    let mut server = told(|out| {
        frame::head(out, 3, kind::DATA, flag::PADDED, 1);
        out.put_slice(&[3, 0, 0]);
    });
    assert_eq!(said(&mut server), Some((kind::GOAWAY, 0, Reason::PROTOCOL_ERROR)));
}

#[test]
fn streams_that_are_made_to_be_reset_have_an_end() {
    let mut server = told(|_| {});
    let mut count = 0;
    while server.gone.is_none() {
        count += 1;
        let mut input = BytesMut::new();
        frame::window_update(&mut input, 1, 0);
        server.read(&mut input);
        server.output.bytes();
        server.written();
        assert!(count < 1000, "it goes on without end");
    }
    assert!(count > 100, "{count} are few");
}

#[test]
fn what_still_comes_for_a_stream_that_was_reset_here_is_nothing() {
    let mut server = told(|_| {});
    server.let_go(1);
    assert_eq!(said(&mut server), Some((kind::RST_STREAM, 1, Reason::CANCEL)));
    assert_eq!(server.streams.ended(1), Ended::ResetHere);
    let mut input = BytesMut::new();
    frame::head(&mut input, 5, kind::DATA, flag::END_STREAM, 1);
    input.extend_from_slice(b"hello");
    frame::window_update(&mut input, 1, 1);
    frame::reset(&mut input, 1, Reason::CANCEL);
    server.read(&mut input);
    assert_eq!((said(&mut server), server.untold), (None, 5));
}

proptest! {
    /// Whatever comes, in whatever pieces, is taken or refused.
    #[test]
    fn nothing_that_comes_breaks_it(
        frames in prop::collection::vec(
            (0..12_u8, any::<u8>(), 0..8_u32, prop::collection::vec(any::<u8>(), 0..40), any::<bool>()),
            0..40,
        ),
        role in prop::sample::select(vec![Role::Server, Role::Client]),
    ) {
        let mut state = match role {
            Role::Server => told(|_| {}),
            Role::Client => {
                let mut pair = Pair::new();
                pair.ask(false);
                pair.client
            }
        };
        for (kind, flags, stream, mut payload, fields) in frames {
            if fields && kind == kind::HEADERS {
                let mut block = BytesMut::new();
                compose::own(&mut block, 200, &[]);
                payload = block.to_vec();
            }
            let mut input = BytesMut::new();
            frame::head(&mut input, payload.len(), kind, flags, stream);
            input.extend_from_slice(&payload);
            state.read(&mut input);
            while let Some(asked) = state.asked.pop_front() {
                read(&mut state, asked.id);
            }
            state.output.bytes();
            state.written();
        }
        state.streams.check_all();
        let open = state.streams.each().filter(|entry| !entry.is_over()).count();
        prop_assert_eq!(state.under_way(), open);
    }
}
