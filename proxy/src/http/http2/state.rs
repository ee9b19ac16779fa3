//! A connection of HTTP/2 without its socket (RFC 9113): pure, and the same for both roles.
//!
//! In: frames that came, and what the owners of streams do. Out: frames to be written, requests of a client, and word to the
//! owners of streams. What breaks the protocol ends the stream or the connection, as the RFC has it.

use super::{
    fields::{self, Refused},
    frame::{self, FIRST_WINDOW, HEAD, Head, LARGEST, MOST, PREFACE, Reason, kind, setting},
    hpack::Decoder,
    output::Output,
    pieces,
    receive::Payload,
    settings::{Ours, Theirs},
    streams::{Entry, Failure, Streams},
};
use bytes::{Buf, BytesMut};
use std::{
    collections::VecDeque,
    task::{Context, Waker},
};

/// How many streams may be reset here for what came on them, before the connection is ended: each costs more here than
/// there (CVE-2025-8671, "made you reset").
const MOST_WRONG: u32 = 256;
/// How much may wait to be written before nothing more is read that could add to it. Data stops far below.
const MOST_WAITING: usize = 256 * 1024;
/// What is sent to learn that a client has read that it shall go.
pub(super) const LEAVING: [u8; 8] = *b"weft: go";

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It answers requests.
    Server,
    /// It asks.
    Client,
}

/// The connection.
#[derive(Debug)]
pub struct State {
    pub(super) role: Role,
    /// What waits to be written.
    pub output: Output,
    /// Requests that were read. All that has come is read before the first of them is looked at, for some may be given up
    /// right behind.
    pub asked: VecDeque<Asked>,
    /// Whether the client's preface has come.
    begun: bool,
    pub(super) ours: Ours,
    /// What the other side takes.
    pub theirs: Theirs,
    pub(super) streams: Streams,
    pub(super) decoder: Decoder,
    /// The fields that are coming, until they are complete.
    pub(super) partial: Option<Partial>,
    /// How many bytes may be sent on all streams.
    pub(super) send_window: i64,
    /// How many bytes the other side may send on all streams.
    pub(super) receive_window: i64,
    /// How many were taken that it was not told of.
    pub(super) untold: u32,
    /// The largest stream that the other side has opened.
    pub(super) last: u32,
    /// The next stream to be opened here.
    pub(super) next: u32,
    /// How far it is with going.
    pub(super) leaving: Leaving,
    /// The other side opens no more streams, or takes none.
    pub(super) told_to_go: bool,
    /// Why nothing more comes or goes.
    pub(super) gone: Option<&'static str>,
    pub(super) wrong: u32,
    /// How many bytes of `output` answer what the other side sent.
    pub(super) owed: usize,
    /// Whether fields were sent.
    pub(super) has_sent_fields: bool,
    /// Nobody will open streams here.
    pub(super) released: bool,
    pub(super) driver: Option<Waker>,
    /// Who waits for a change of what the other side takes.
    pub(super) waiting: Vec<Waker>,
}

/// Fields whose frames have not all come.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) stream: u32,
    pub(super) ends: bool,
    /// The stream depends on itself.
    pub(super) wrong: bool,
    pub(super) block: BytesMut,
    pub(super) frames: usize,
}

/// How far a server is with going (section 6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// The client was told, and may have opened streams meanwhile.
    Told,
    /// No stream beyond this one is answered.
    After(u32),
}

/// What a server is to do.
#[derive(Debug)]
pub struct Asked {
    /// The stream.
    pub id: u32,
    /// The request, or why it is none.
    pub request: Result<fields::Request, Refused>,
    /// Whether there is no body.
    pub ends: bool,
}

/// What came that must not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The connection ends.
    Connection(Reason, &'static str),
    /// The stream ends.
    Stream(u32, Reason, &'static str),
}

// === impl State ===

impl State {
    /// A connection that begins: its settings wait to be written.
    #[must_use]
    pub fn new(role: Role, ours: Ours) -> Self {
        let mut output = Output::default();
        let Ours { stream_window, connection_window, head_bytes, streams } = ours;
        let common =
            [(setting::INITIAL_WINDOW_SIZE, stream_window), (setting::MAX_HEADER_LIST_SIZE, head_bytes)];
        output.put(|out| match role {
            Role::Server => {
                let own = [(setting::MAX_CONCURRENT_STREAMS, streams), (setting::ENABLE_CONNECT_PROTOCOL, 1)];
                frame::settings(out, &[common, own].concat());
            }
            Role::Client => {
                out.extend_from_slice(PREFACE);
                frame::settings(out, &[&common[..], &[(setting::ENABLE_PUSH, 0)]].concat());
            }
        });
        if let Some(more) = connection_window.checked_sub(FIRST_WINDOW).filter(|more| *more > 0) {
            output.put(|out| frame::window_update(out, 0, more));
        }
        Self {
            role,
            output,
            asked: VecDeque::new(),
            begun: role == Role::Client,
            ours,
            theirs: Theirs::default(),
            streams: Streams::default(),
            decoder: Decoder::new(4096), // what is taken where nothing else is said
            partial: None,
            send_window: i64::from(FIRST_WINDOW),
            receive_window: i64::from(connection_window.max(FIRST_WINDOW)),
            untold: 0,
            last: 0,
            next: 1,
            leaving: Leaving::No,
            told_to_go: false,
            gone: None,
            wrong: 0,
            owed: 0,
            has_sent_fields: false,
            released: false,
            driver: None,
            waiting: Vec::new(),
        }
    }

    /// Takes what is complete of the input, as long as the other side reads what answers it. What is wrong is dealt with here.
    pub fn read(&mut self, input: &mut BytesMut) {
        if !self.begun && self.gone.is_none() {
            if input.len() < PREFACE.len() {
                return;
            }
            if input[..PREFACE.len()] != *PREFACE {
                return self.end(Reason::PROTOCOL_ERROR, "the connection does not begin as HTTP/2 does");
            }
            input.advance(PREFACE.len());
            self.begun = true;
        }
        while self.gone.is_none() && !self.owes() {
            let Some(head) = Head::read(input) else { return };
            if head.length > LARGEST {
                return self.end(Reason::FRAME_SIZE_ERROR, "a frame is too large");
            }
            let whole = HEAD + head.length;
            if input.len() < whole {
                return;
            }
            if head.kind == kind::DATA && head.length >= pieces::LARGE {
                input.advance(HEAD);
                self.receive(head, Payload::Whole(input.split_to(head.length).freeze()));
            } else {
                self.receive(head, Payload::Part(&input[HEAD..whole]));
                input.advance(whole);
            }
        }
    }

    fn receive(&mut self, head: Head, payload: Payload<'_>) {
        match self.take(head, payload) {
            Ok(asked) => self.asked.extend(asked),
            Err(Wrong::Stream(id, reason, what)) => self.refuse(id, reason, what),
            Err(Wrong::Connection(reason, what)) => self.end(reason, what),
        }
    }

    /// Resets a stream for what came on it.
    pub(super) fn refuse(&mut self, id: u32, reason: Reason, what: &'static str) {
        // What was on its way, or could not be known, is no fault of the other side.
        if !matches!(reason, Reason::REFUSED_STREAM | Reason::STREAM_CLOSED) {
            self.wrong += 1;
        }
        let opened = self.last.max(self.next) / 2;
        if self.wrong > MOST_WRONG && self.wrong > opened / 2 {
            return self.end(Reason::ENHANCE_YOUR_CALM, "too many streams had to be reset");
        }
        self.reply(|out| frame::reset(out, id, reason));
        match self.streams.get(id) {
            Some(entry) => {
                entry.fail(Failure::Wrong(what));
                self.check(id);
            }
            None => self.streams.remember(id, true),
        }
    }

    /// Ends the connection, and tells the other side why.
    pub fn end(&mut self, reason: Reason, what: &'static str) {
        if self.gone.is_none() {
            let last = match self.leaving {
                Leaving::After(last) => last, // it must not rise (section 6.8)
                Leaving::No | Leaving::Told => self.last,
            };
            self.output.put(|out| frame::goaway(out, last, reason));
            self.fail(what);
        }
    }

    /// The connection has ended.
    pub fn fail(&mut self, what: &'static str) {
        if self.gone.is_none() {
            self.gone = Some(what);
            self.streams.fail_all(Failure::Gone(what));
            self.changed();
            self.wake_driver();
        }
    }

    /// Tells a client that it shall connect anew; what it has asked meanwhile is answered (section 6.8).
    pub fn leave(&mut self) {
        if self.leaving == Leaving::No && self.gone.is_none() {
            self.leaving = Leaving::Told;
            self.output.put(|out| {
                frame::goaway(out, MOST, Reason::NO_ERROR);
                frame::ping(out, 0, LEAVING);
            });
            self.wake_driver();
        }
    }

    /// A PING was answered.
    pub(super) fn ponged(&mut self, payload: [u8; 8]) {
        if self.leaving == Leaving::Told && payload == LEAVING {
            let last = self.last;
            self.leaving = Leaving::After(last);
            self.output.put(|out| frame::goaway(out, last, Reason::NO_ERROR));
        }
    }

    /// Whether there is nothing left to do but to write `output`.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let left = match self.role {
            Role::Server => self.told_to_go || matches!(self.leaving, Leaving::After(_)),
            Role::Client => self.told_to_go || self.released,
        };
        self.gone.is_some() || (left && self.streams.is_empty())
    }

    /// An endpoint whose connection nobody wants any longer is told so.
    pub fn part(&mut self) {
        if self.role == Role::Client && self.released && !self.told_to_go {
            self.end(Reason::NO_ERROR, "nobody wants it any longer");
        }
    }

    /// Whether the other side must read before more is read from it.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.owed > LARGEST || self.output.size() > MOST_WAITING
    }

    /// Gives back the memory that a connection without streams does not need.
    pub fn rest(&mut self) {
        if self.streams.is_empty() {
            self.output.rest();
            self.asked = VecDeque::new();
        }
    }

    /// Some of what waited was written, or all.
    pub fn written(&mut self) {
        if self.output.size() == 0 {
            self.owed = 0;
        }
        if self.output.is_half_full() {
            return;
        }
        self.streams.wake_waiting();
        self.changed();
    }

    /// The connection is being driven: nobody need be woken for that.
    pub fn is_driven(&mut self) {
        self.driver = None;
    }

    /// Whoever drives the connection is woken when there is something to write.
    pub fn register_driver(&mut self, context: &Context<'_>) {
        self.driver = Some(context.waker().clone());
    }

    /// There is something to write. Once is enough until it was looked for.
    pub(super) fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// What the other side takes has changed.
    pub(super) fn changed(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    /// Waits for such a change.
    pub(super) fn wait(&mut self, context: &Context<'_>) {
        if !self.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            self.waiting.push(context.waker().clone());
        }
    }

    /// Writes what answers something that came.
    pub(super) fn reply(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let before = self.output.size();
        self.output.put(write);
        self.owed += self.output.size() - before;
    }

    /// A stream may be over.
    pub(super) fn check(&mut self, id: u32) {
        if self.streams.check(id) {
            self.changed(); // there may be room for another
        }
    }

    /// The window of a new stream of this side.
    pub(super) fn entry(&self, id: u32) -> Entry {
        Entry::new(id, i64::from(self.ours.stream_window), i64::from(self.theirs.stream_window))
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// Where the connection takes no more.
    pub fn open(&mut self) -> Result<u32, Failure> {
        if let Some(what) = self.gone {
            return Err(Failure::Gone(what));
        }
        if self.is_closed_to_new() {
            return Err(Failure::Unprocessed(Reason::NO_ERROR));
        }
        let id = self.next;
        self.next += 2;
        let entry = self.entry(id);
        self.streams.add(entry);
        Ok(id)
    }

    /// Whether no stream can be opened here any more.
    #[must_use]
    pub fn is_closed_to_new(&self) -> bool {
        self.gone.is_some() || self.told_to_go || self.next > MOST
    }

    /// How many streams are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.streams.under_way()
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
pub(super) mod tests;
