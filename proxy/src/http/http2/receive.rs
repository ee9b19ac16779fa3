//! What a connection does with messages: DATA, HEADERS and CONTINUATION (RFC 9113, sections 6.1, 6.2 and 6.10).
//!
//! In: a frame. Out: what its stream has of it, and a request where one is complete; or what is wrong.

use super::{
    fields,
    frame::{self, Head, MOST, Reason, flag, kind},
    state::{Asked, Leaving, Partial, Role, State, Wrong},
    streams::{Ended, Entry, Half},
};
use bytes::{Bytes, BytesMut};
use std::ops::Deref;

/// How many frames the fields of one message may take (CVE-2024-27316, "CONTINUATION flood").
const MOST_FRAMES: usize = 64;
const ENDLESS: Wrong = Wrong::Connection(Reason::ENHANCE_YOUR_CALM, "fields have no end");
/// How many heads of answers may wait for their reader.
const MOST_HEADS: usize = 64;

/// The payload of a frame.
#[derive(Debug)]
pub enum Payload<'a> {
    /// What is read again for the next frame.
    Part(&'a [u8]),
    /// What can be kept.
    Whole(Bytes),
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Part(bytes) => bytes,
            Self::Whole(bytes) => bytes,
        }
    }
}

pub(super) type Taken<T = ()> = Result<T, Wrong>;

pub(super) fn protocol<T>(what: &'static str) -> Taken<T> {
    Err(Wrong::Connection(Reason::PROTOCOL_ERROR, what))
}

pub(super) fn size<T>() -> Taken<T> {
    Err(Wrong::Connection(Reason::FRAME_SIZE_ERROR, "a frame has an impossible size"))
}

// === impl State ===

impl State {
    pub(super) fn take(&mut self, head: Head, payload: Payload<'_>) -> Taken<Option<Asked>> {
        if !self.theirs.settled && head.kind != kind::SETTINGS {
            return protocol("the first frame is not SETTINGS");
        }
        match (&self.partial, head.kind) {
            (None, kind::CONTINUATION) => return protocol("CONTINUATION continues nothing"),
            (Some(partial), kind::CONTINUATION) if partial.stream == head.stream => {}
            (Some(_), _) => return protocol("fields are not continued"),
            (None, _) => {}
        }
        match head.kind {
            kind::DATA => self.data(head, payload).map(|()| None),
            kind::HEADERS => self.headers(head, &payload),
            kind::CONTINUATION => self.continuation(head, &payload),
            kind::PRIORITY => self.priority(head, &payload).map(|()| None),
            kind::RST_STREAM => self.reset(head, &payload).map(|()| None),
            kind::SETTINGS => self.settings(head, &payload).map(|()| None),
            kind::PUSH_PROMISE => protocol("nobody asked for a push"),
            kind::PING => self.pinged(head, &payload).map(|()| None),
            kind::GOAWAY => self.goaway(head, &payload).map(|()| None),
            kind::WINDOW_UPDATE => self.window_update(head, &payload).map(|()| None),
            _ => Ok(None), // unknown ones are ignored (section 4.1)
        }
    }

    fn data(&mut self, head: Head, payload: Payload<'_>) -> Taken {
        let Head { length, stream, .. } = head;
        if stream == 0 {
            return protocol("DATA has no stream");
        }
        let Some(content) = head.content(&payload) else {
            return protocol("DATA is padded with more than it has");
        };
        let charged = i64::try_from(length).unwrap_or(i64::MAX);
        self.receive_window -= charged;
        if self.receive_window < 0 {
            return Err(Wrong::Connection(Reason::FLOW_CONTROL_ERROR, "more data than the window allows"));
        }
        if self.is_idle(stream) {
            return protocol("DATA before a head");
        }
        let Some(entry) = self.streams.get(stream).filter(|entry| entry.failure.is_none()) else {
            self.taken(length);
            return self.late(stream);
        };
        let size = content.len();
        let taken = accept(entry, charged, size as u64, head.ends_stream());
        if taken.is_ok() {
            match payload {
                Payload::Part(bytes) => entry.data.gather(&bytes[content]),
                Payload::Whole(bytes) => entry.data.push(bytes.slice(content)),
            }
            if head.ends_stream() {
                entry.receiving = Half::Ended;
            }
            entry.readable();
            if size < length {
                self.was_read(stream, length - size); // what pads it
            }
            if head.ends_stream() {
                self.check(stream);
            }
        } else {
            self.taken(length);
        }
        taken
    }

    fn headers(&mut self, head: Head, payload: &[u8]) -> Taken<Option<Asked>> {
        let Some(content) = head.content(payload) else {
            return protocol("HEADERS are padded with more than they have");
        };
        let mut block = &payload[content];
        let mut wrong = false;
        if head.has(flag::PRIORITY) {
            let (Some(on), Some(rest)) = (frame::number(block), block.get(5..)) else { return size() };
            (wrong, block) = (on & MOST == head.stream, rest);
        }
        if head.stream.is_multiple_of(2) {
            return protocol("HEADERS on a stream that nobody can have opened");
        }
        if head.has(flag::END_HEADERS) {
            return self.message(head.stream, head.ends_stream(), wrong, block);
        }
        let (stream, ends) = (head.stream, head.ends_stream());
        self.partial = Some(Partial { stream, ends, wrong, block: BytesMut::from(block), frames: 1 });
        Ok(None)
    }

    fn continuation(&mut self, head: Head, payload: &[u8]) -> Taken<Option<Asked>> {
        let Some(mut partial) = self.partial.take() else { return Ok(None) };
        partial.block.extend_from_slice(payload);
        partial.frames += 1;
        let most = self.ours.head_bytes as usize + fields::EXCESS;
        if partial.frames > MOST_FRAMES.max(most / frame::LARGEST) || partial.block.len() > most {
            return Err(ENDLESS);
        }
        if head.has(flag::END_HEADERS) {
            let Partial { stream, ends, wrong, block, frames: _ } = partial;
            return self.message(stream, ends, wrong, &block);
        }
        self.partial = Some(partial);
        Ok(None)
    }

    /// The fields of a message are complete.
    fn message(&mut self, id: u32, ends: bool, wrong: bool, block: &[u8]) -> Taken<Option<Asked>> {
        match self.role {
            Role::Server if id > self.last => {
                self.last = id;
                self.request(id, ends, wrong, block)
            }
            Role::Server => self.request_trailers(id, ends, block).map(|()| None),
            Role::Client => self.answer(id, ends, block).map(|()| None),
        }
    }

    fn request(&mut self, id: u32, ends: bool, wrong: bool, block: &[u8]) -> Taken<Option<Asked>> {
        let most = self.ours.head_bytes as usize;
        let request = fields::request(&mut self.decoder, block, most).map_err(unreadable)?;
        if matches!(self.leaving, Leaving::After(_)) {
            self.streams.remember(id, true); // the client knows that it is not answered
            return Ok(None);
        }
        if self.streams.under_way() >= self.ours.streams as usize {
            return Err(Wrong::Stream(id, Reason::REFUSED_STREAM, "there are too many streams"));
        }
        if wrong {
            return Err(Wrong::Stream(id, Reason::PROTOCOL_ERROR, "a stream depends on itself"));
        }
        let length = match &request {
            Err(fields::Refused::Malformed(what)) => {
                return Err(Wrong::Stream(id, Reason::PROTOCOL_ERROR, what));
            }
            Ok((_, length)) => *length,
            Err(fields::Refused::TooLarge | fields::Refused::Unforwardable(_)) => None,
        };
        if ends && length.is_some_and(|length| length > 0) {
            return Err(Wrong::Stream(id, Reason::PROTOCOL_ERROR, "the body is shorter than it says"));
        }
        let entry = self.entry(id);
        let entry = self.streams.add(entry);
        entry.receiving = if ends { Half::Ended } else { Half::Open };
        entry.length = length;
        Ok(Some(Asked { id, request, ends }))
    }

    fn request_trailers(&mut self, id: u32, ends: bool, block: &[u8]) -> Taken {
        let trailers = fields::trailers(&mut self.decoder, block, self.ours.head_bytes as usize);
        let trailers = trailers.map_err(unreadable)?;
        match self.streams.ended(id) {
            Ended::No => {}
            Ended::ResetHere => return Ok(()), // it was on its way
            Ended::Else => return Err(Wrong::Connection(Reason::STREAM_CLOSED, "HEADERS behind the end")),
            Ended::Unknown => return protocol("HEADERS on a stream below another"),
        }
        let Some(entry) = self.streams.get(id) else { return Ok(()) };
        end_with(entry, ends, trailers)?;
        self.check(id);
        Ok(())
    }

    fn answer(&mut self, id: u32, ends: bool, block: &[u8]) -> Taken {
        let most = self.ours.head_bytes as usize;
        if self.is_idle(id) {
            return protocol("an answer to nothing");
        }
        let head_is_there = self.streams.get(id).is_some_and(|entry| entry.receiving != Half::Idle);
        if head_is_there {
            let trailers = fields::trailers(&mut self.decoder, block, most).map_err(unreadable)?;
            let entry = self.streams.get(id).filter(|entry| entry.failure.is_none());
            let Some(entry) = entry else { return Ok(()) };
            end_with(entry, ends, trailers)?;
            self.check(id);
            return Ok(());
        }
        let answer = fields::response(&mut self.decoder, block, most).map_err(unreadable)?;
        let Some(entry) = self.streams.get(id).filter(|entry| entry.failure.is_none()) else { return Ok(()) };
        let wrong = |what| Err(Wrong::Stream(id, Reason::PROTOCOL_ERROR, what));
        let (head, length) = match answer {
            Ok(answer) => answer,
            Err(fields::Refused::Malformed(what) | fields::Refused::Unforwardable(what)) => {
                return wrong(what);
            }
            Err(fields::Refused::TooLarge) => return wrong("the head of the answer is too large"),
        };
        if head.status < 200 {
            if ends {
                return wrong("an interim answer ends the stream");
            }
            if entry.heads.len() == MOST_HEADS {
                return Err(Wrong::Stream(id, Reason::ENHANCE_YOUR_CALM, "too many interim answers"));
            }
        } else {
            entry.receiving = if ends { Half::Ended } else { Half::Open };
            entry.length = length.filter(|_| !entry.ignores_length && !matches!(head.status, 204 | 304));
        }
        if ends && entry.length.is_some_and(|length| length > 0) {
            return wrong("the body is shorter than it says");
        }
        entry.heads.push_back(head);
        entry.readable();
        if ends {
            self.check(id);
        }
        Ok(())
    }

    /// Something came for a stream that is not there.
    fn late(&mut self, stream: u32) -> Taken {
        match (self.role, self.streams.ended(stream)) {
            // It may have been sent before it was read that nobody wants it.
            (Role::Client, _) | (Role::Server, Ended::ResetHere) => Ok(()),
            (Role::Server, Ended::No | Ended::Else | Ended::Unknown) => {
                Err(Wrong::Stream(stream, Reason::STREAM_CLOSED, "DATA behind the end"))
            }
        }
    }

    /// Whether a stream was not opened yet.
    pub(super) fn is_idle(&self, stream: u32) -> bool {
        match self.role {
            Role::Server => stream > self.last || stream.is_multiple_of(2),
            Role::Client => stream >= self.next || stream.is_multiple_of(2),
        }
    }
}

/// Whether data may come on a stream: so many bytes as windows count, and as the body has.
fn accept(entry: &mut Entry, charged: i64, size: u64, ends: bool) -> Taken {
    let wrong = |reason, what| Err(Wrong::Stream(entry.id, reason, what));
    match entry.receiving {
        Half::Open => {}
        Half::Idle => return wrong(Reason::PROTOCOL_ERROR, "DATA before a head"),
        Half::Ended => return wrong(Reason::STREAM_CLOSED, "DATA behind the end"),
    }
    entry.receive_window -= charged;
    if entry.receive_window < 0 {
        return wrong(Reason::FLOW_CONTROL_ERROR, "more data than the window allows");
    }
    if let Some(length) = &mut entry.length {
        match length.checked_sub(size) {
            Some(left) => *length = left,
            None => return wrong(Reason::PROTOCOL_ERROR, "the body is longer than it says"),
        }
        if ends && *length > 0 {
            return wrong(Reason::PROTOCOL_ERROR, "the body is shorter than it says");
        }
    }
    Ok(())
}

/// Ends what comes on a stream with trailers.
fn end_with(entry: &mut Entry, ends: bool, trailers: Result<http::HeaderMap, fields::Refused>) -> Taken {
    let wrong = |what| Err(Wrong::Stream(entry.id, Reason::PROTOCOL_ERROR, what));
    if entry.receiving == Half::Ended {
        return Err(Wrong::Connection(Reason::STREAM_CLOSED, "HEADERS behind the end"));
    }
    if !ends {
        return wrong("trailers do not end the stream");
    }
    if entry.length.is_some_and(|left| left > 0) {
        return wrong("the body is shorter than it says");
    }
    match trailers {
        Ok(trailers) => entry.trailers = Some(trailers),
        Err(fields::Refused::Malformed(what) | fields::Refused::Unforwardable(what)) => return wrong(what),
        Err(fields::Refused::TooLarge) => return wrong("the trailers are too large"),
    }
    entry.receiving = Half::Ended;
    entry.readable();
    Ok(())
}

fn unreadable(error: fields::Unreadable) -> Wrong {
    match error {
        fields::Unreadable::Compression(_) => {
            Wrong::Connection(Reason::COMPRESSION_ERROR, "fields cannot be decompressed")
        }
        fields::Unreadable::Endless => ENDLESS,
    }
}

#[cfg(test)]
#[path = "receive_tests.rs"]
mod tests;
