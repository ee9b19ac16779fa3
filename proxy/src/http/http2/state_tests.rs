//! Two connections that talk to each other.

use super::*;
use crate::http::{
    http2::{hpack::encode, send::Last, streams::Failure},
    wire::Frame,
};
use bytes::Bytes;
use http::HeaderMap;
use std::task::Poll;

pub const OURS: Ours =
    Ours { stream_window: 65_535, connection_window: 65_535, head_bytes: 4096, streams: 4 };

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// A client and a server that have each other's settings.
pub struct Pair {
    pub client: State,
    pub server: State,
}

impl Pair {
    pub fn new() -> Self {
        let mut pair =
            Self { client: State::new(Role::Client, OURS), server: State::new(Role::Server, OURS) };
        pair.talk();
        pair
    }

    /// Carries everything to and fro until nothing moves.
    fn talk(&mut self) {
        let Self { client, server } = self;
        while client.output.size() + server.output.size() > 0 {
            carry(client, server);
            carry(server, client);
        }
    }

    /// A request that the server has.
    pub fn ask(&mut self, ends: bool) -> u32 {
        let id = self.client.open().unwrap();
        self.client.send_head(id, ends, asking).unwrap();
        self.talk();
        let asked = self.server.asked.pop_front().unwrap();
        assert_eq!((asked.id, asked.ends, asked.request.is_ok()), (id, ends, true));
        id
    }
}

fn carry(from: &mut State, to: &mut State) {
    let mut bytes = from.output.bytes();
    from.written();
    to.read(&mut bytes);
    assert!(bytes.is_empty() || to.gone.is_some());
}

pub fn asking(out: &mut BytesMut) {
    encode::method(out, b"POST");
    encode::scheme(out, b"http");
    encode::path(out, b"/");
}

pub fn answering(out: &mut BytesMut) {
    encode::status(out, 200);
}

/// Everything of a stream that can be read now.
pub fn read(state: &mut State, id: u32) -> (Vec<u8>, Option<Frame>) {
    let mut data = Vec::new();
    loop {
        match state.poll_frame(id, &context()) {
            Poll::Ready(Ok(Frame::Data(piece))) => data.extend_from_slice(&piece),
            Poll::Ready(Ok(last)) => return (data, Some(last)),
            Poll::Ready(Err(_)) | Poll::Pending => return (data, None),
        }
    }
}

#[test]
fn a_request_is_asked_and_answered_and_forgotten() {
    let mut pair = Pair::new();
    let id = pair.ask(false);
    let (mut body, mut last) = (Bytes::from_static(b"hello"), Some(Last::End));
    assert!(pair.client.send(id, &mut body, &mut last).unwrap());
    pair.talk();
    let (came, end) = read(&mut pair.server, id);
    assert_eq!((&came[..], matches!(end, Some(Frame::End))), (&b"hello"[..], true));
    pair.server.send_interim(id, |out| encode::status(out, 103)).unwrap();
    pair.server.send_head(id, false, answering).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let (mut body, mut last) = (Bytes::from_static(b"world"), Some(Last::Trailers(trailers)));
    assert!(pair.server.send(id, &mut body, &mut last).unwrap());
    pair.talk();
    let mut status = || match pair.client.poll_head(id, &context()) {
        Poll::Ready(Ok(head)) => head.status,
        other => panic!("{other:?}"),
    };
    assert_eq!((status(), status()), (103, 200));
    let (came, end) = read(&mut pair.client, id);
    let Some(Frame::Trailers(trailers)) = end else { panic!("{end:?}") };
    assert_eq!((&came[..], &trailers["grpc-status"]), (&b"world"[..], &"0".parse().unwrap()));
    assert_eq!((pair.client.under_way(), pair.server.under_way()), (0, 0));
    pair.client.let_go(id);
    pair.server.let_go(id);
    assert_eq!(pair.client.output.size() + pair.server.output.size(), 0, "nobody is told anything");
    assert!(pair.client.streams.is_empty() && pair.server.streams.is_empty());
}

#[test]
fn what_nobody_reads_is_not_sent() {
    let mut pair = Pair::new();
    let (one, other) = (pair.ask(false), pair.ask(false));
    let mut body = Bytes::from(vec![7; 200_000]);
    for _ in 0..10 {
        assert!(!pair.client.send(one, &mut body, &mut None).unwrap());
        pair.talk();
    }
    assert_eq!(body.len(), 200_000 - 65_535);
    let mut more = Bytes::from_static(b"x");
    assert!(!pair.client.send(other, &mut more, &mut None).unwrap(), "all streams share a window");
    let mut came = 0;
    while came < 200_000 {
        came += read(&mut pair.server, one).0.len();
        pair.talk();
        let _ = pair.client.send(one, &mut body, &mut None).unwrap();
        pair.talk();
    }
    assert!(pair.client.send(other, &mut more, &mut None).unwrap());
}

#[test]
fn what_is_let_go_unread_makes_room_for_others() {
    let mut pair = Pair::new();
    for _ in 0..20 {
        let id = pair.ask(false);
        let mut body = Bytes::from(vec![7; 60_000]);
        while !pair.client.send(id, &mut body, &mut None).unwrap() {
            assert!(pair.client.output.size() > 0, "nothing moves");
            pair.talk();
        }
        pair.talk();
        pair.server.let_go(id);
        pair.talk();
        assert!(pair.client.poll_failed(id, &context()).is_ready());
        pair.client.let_go(id);
    }
}

#[test]
fn a_window_that_shrinks_below_nothing_is_waited_for() {
    let mut pair = Pair::new();
    let id = pair.ask(false);
    let mut body = Bytes::from(vec![7; 1000]);
    assert!(pair.client.send(id, &mut body, &mut None).unwrap());
    pair.talk();
    let mut less = BytesMut::new();
    frame::settings(&mut less, &[(setting::INITIAL_WINDOW_SIZE, 10)]);
    pair.client.read(&mut less);
    let mut body = Bytes::from(vec![7; 100]);
    assert!(!pair.client.send(id, &mut body, &mut None).unwrap());
    assert_eq!(body.len(), 100);
    let mut more = BytesMut::new();
    frame::window_update(&mut more, id, 1000);
    pair.client.read(&mut more);
    assert!(!pair.client.send(id, &mut body, &mut None).unwrap());
    assert_eq!(body.len(), 90);
}

#[test]
fn an_answer_before_the_end_of_its_request_is_whole() {
    let mut pair = Pair::new();
    let id = pair.ask(false);
    pair.server.send_head(id, true, answering).unwrap();
    pair.server.let_go(id);
    pair.talk();
    assert!(matches!(pair.client.poll_head(id, &context()), Poll::Ready(Ok(head)) if head.status == 200));
    assert!(matches!(read(&mut pair.client, id).1, Some(Frame::End)));
    let failure = pair.client.send(id, &mut Bytes::from_static(b"x"), &mut None).unwrap_err();
    assert_eq!(failure, Failure::Reset(Reason::NO_ERROR));
}

#[test]
fn a_server_that_goes_answers_what_it_was_asked_before_it_was_heard() {
    let mut pair = Pair::new();
    let before = pair.ask(true);
    pair.server.leave();
    let id = pair.client.open().unwrap();
    pair.client.send_head(id, true, asking).unwrap(); // crosses with the word
    carry(&mut pair.client, &mut pair.server);
    pair.talk();
    assert_eq!(pair.server.asked.pop_front().unwrap().id, id);
    assert!(pair.client.is_closed_to_new());
    assert_eq!(pair.client.open().unwrap_err(), Failure::Unprocessed(Reason::NO_ERROR));
    for id in [before, id] {
        pair.server.send_head(id, true, answering).unwrap();
        assert!(!pair.server.is_over());
        pair.talk();
        assert!(matches!(pair.client.poll_head(id, &context()), Poll::Ready(Ok(_))));
        pair.server.let_go(id);
        pair.client.let_go(id);
    }
    assert!(pair.server.is_over() && pair.client.is_over());
}

#[test]
fn what_an_endpoint_did_not_process_is_told_apart() {
    let mut pair = Pair::new();
    let ids = [pair.ask(true), pair.ask(true), pair.ask(true)];
    let mut bytes = BytesMut::new();
    frame::reset(&mut bytes, ids[0], Reason::REFUSED_STREAM);
    frame::goaway(&mut bytes, ids[1], Reason::NO_ERROR);
    pair.client.read(&mut bytes);
    let mut failure = |id| match pair.client.poll_head(id, &context()) {
        Poll::Ready(Err(failure)) => Some(failure),
        Poll::Ready(Ok(_)) | Poll::Pending => None,
    };
    assert_eq!(failure(ids[0]), Some(Failure::Unprocessed(Reason::REFUSED_STREAM)));
    assert_eq!(failure(ids[1]), None);
    assert_eq!(failure(ids[2]), Some(Failure::Unprocessed(Reason::NO_ERROR)));
}

#[test]
fn more_streams_than_allowed_are_refused_and_can_be_asked_elsewhere() {
    let mut pair = Pair::new();
    for _ in 0..OURS.streams {
        pair.ask(true);
    }
    assert!(pair.client.poll_open(&context()).is_pending());
    let id = pair.client.open().unwrap();
    pair.client.send_head(id, true, asking).unwrap();
    pair.talk();
    assert!(pair.server.asked.is_empty());
    let Poll::Ready(Err(failure)) = pair.client.poll_head(id, &context()) else { panic!("it is refused") };
    assert_eq!(failure, Failure::Unprocessed(Reason::REFUSED_STREAM));
}

#[test]
fn an_answer_that_ends_before_its_length_is_none() {
    let answers = |length: &'static str, ignored: bool| {
        let mut pair = Pair::new();
        let id = pair.ask(true);
        if ignored {
            pair.client.ignore_length(id);
        }
        let answer = |out: &mut BytesMut| {
            answering(out);
            encode::field(out, b"content-length", length.as_bytes(), false);
        };
        pair.server.send_head(id, true, answer).unwrap();
        pair.talk();
        matches!(pair.client.poll_head(id, &context()), Poll::Ready(Ok(_)))
    };
    assert!(answers("0", false) && answers("5", true));
    assert!(!answers("5", false), "who reads it by HTTP/1 would wait for five bytes");
}

#[test]
fn who_does_not_read_is_not_read_from_however_small_the_questions() {
    let mut pair = Pair::new();
    let mut asked = 0;
    let large = "x".repeat(4000);
    let answer = |out: &mut BytesMut| {
        answering(out);
        encode::field(out, b"x-large", large.as_bytes(), false);
    };
    loop {
        let Ok(id) = pair.client.open() else { panic!("it is open") };
        pair.client.send_head(id, true, asking).unwrap();
        carry_some(&mut pair.client, &mut pair.server);
        let Some(request) = pair.server.asked.pop_front() else { break };
        asked += 1;
        pair.server.send_head(request.id, true, answer).unwrap();
        pair.server.let_go(request.id);
        pair.client.let_go(id);
        assert!(asked < 1000, "it goes on without end");
    }
    assert!(asked > 10 && pair.server.output.size() < MOST_WAITING + 8192);
    let waiting = pair.server.output.is_half_full();
    pair.server.output.bytes();
    pair.server.written();
    assert!(waiting && !pair.server.owes(), "it is read again when it has read");
}

/// Carries without a look at what is left.
fn carry_some(from: &mut State, to: &mut State) {
    let mut bytes = from.output.bytes();
    from.written();
    to.read(&mut bytes);
}
