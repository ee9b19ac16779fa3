//! The doorway by which `fuzz/` reaches a connection of HTTP/2: nothing else uses it.
//!
//! In: what a client sends behind its preface, in the pieces in which it arrives. Out: what it is read as and what it is told,
//! in a form that can be compared.

use super::{
    frame::PREFACE,
    settings::Ours,
    state::{Asked, Role, State},
};
use crate::http::wire::Frame;
use bytes::BytesMut;
use std::{
    fmt::Write as _,
    task::{Context, Poll, Waker},
};

const OURS: Ours =
    Ours { stream_window: 65_535, connection_window: 65_535, head_bytes: 16 * 1024, streams: 8 };

/// What a connection is read as, request by request, and then the bytes that its client is told.
#[must_use]
pub fn http2(pieces: &[&[u8]]) -> (Vec<String>, Vec<u8>) {
    let mut state = State::new(Role::Server, OURS);
    let mut input = BytesMut::from(PREFACE);
    let (mut read, mut told) = (Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let before = input.len();
            state.read(&mut input);
            told.extend_from_slice(&state.output.bytes());
            state.written();
            if input.len() == before {
                break;
            }
        }
    }
    while let Some(Asked { id, request, ends }) = state.asked.pop_front() {
        let mut text = format!("{id} {ends} ");
        // Memory takes everything.
        let _ = match request {
            Ok((head, length)) => write!(text, "{head:?} {length:?}"),
            Err(refused) => write!(text, "{refused}"),
        };
        let context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(frame)) = state.poll_frame(id, &context) {
            let _ = write!(text, " {frame:?}");
            if !matches!(frame, Frame::Data(_)) {
                break;
            }
        }
        read.push(text);
    }
    (read, told)
}
