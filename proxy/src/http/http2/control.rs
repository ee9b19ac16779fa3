//! What a connection does with frames that carry no message (RFC 9113, sections 6.3 to 6.9).
//!
//! In: a frame. Out: what both sides agree on, and what a stream may send; or what is wrong.

use super::{
    frame::{self, Head, MOST, Reason, flag},
    receive::{Taken, protocol, size},
    settings::Theirs,
    state::{Role, State, Wrong},
    streams::Failure,
};

// === impl State ===

impl State {
    pub(super) fn priority(&self, head: Head, payload: &[u8]) -> Taken {
        if head.stream == 0 {
            return protocol("PRIORITY has no stream");
        }
        let (reason, what) = match frame::number(payload) {
            Some(on) if payload.len() == 5 && on & MOST != head.stream => return Ok(()), // deprecated (section 5.3)
            Some(_) if payload.len() == 5 => (Reason::PROTOCOL_ERROR, "a stream depends on itself"),
            Some(_) | None => (Reason::FRAME_SIZE_ERROR, "PRIORITY has an impossible size"),
        };
        // A stream that was not opened cannot be reset (section 6.4).
        Err(match self.is_idle(head.stream) {
            true => Wrong::Connection(reason, what),
            false => Wrong::Stream(head.stream, reason, what),
        })
    }

    pub(super) fn reset(&mut self, head: Head, payload: &[u8]) -> Taken {
        let (4, Some(reason)) = (payload.len(), frame::number(payload).map(Reason)) else { return size() };
        if head.stream == 0 || self.is_idle(head.stream) {
            return protocol("RST_STREAM on a stream that was not opened");
        }
        if let Some(entry) = self.streams.get(head.stream) {
            entry.fail(match reason {
                Reason::REFUSED_STREAM => Failure::Unprocessed(reason),
                reason => Failure::Reset(reason),
            });
            self.check(head.stream);
            self.changed();
        }
        Ok(())
    }

    pub(super) fn settings(&mut self, head: Head, payload: &[u8]) -> Taken {
        if head.stream != 0 {
            return protocol("SETTINGS have a stream");
        }
        if head.has(flag::ACK) {
            return if payload.is_empty() { Ok(()) } else { size() };
        }
        if !payload.len().is_multiple_of(6) {
            return size();
        }
        let before = self.theirs.stream_window;
        let mut theirs = Theirs { settled: true, ..self.theirs };
        for (name, value) in frame::each_setting(payload) {
            let taken = theirs.take(name, value, self.role == Role::Client);
            taken.map_err(|reason| Wrong::Connection(reason, "a setting has an impossible value"))?;
        }
        self.theirs = theirs;
        let change = i64::from(theirs.stream_window) - i64::from(before);
        for entry in self.streams.each() {
            entry.send_window += change;
            if entry.send_window > i64::from(MOST) {
                return Err(Wrong::Connection(Reason::FLOW_CONTROL_ERROR, "a window is too large"));
            }
            if change > 0 {
                entry.writable();
            }
        }
        self.reply(frame::settings_ack);
        self.changed();
        Ok(())
    }

    pub(super) fn pinged(&mut self, head: Head, payload: &[u8]) -> Taken {
        let Ok(payload) = <[u8; 8]>::try_from(payload) else { return size() };
        if head.stream != 0 {
            return protocol("PING has a stream");
        }
        if head.has(flag::ACK) {
            self.ponged(payload);
        } else {
            self.reply(|out| frame::ping(out, flag::ACK, payload));
        }
        Ok(())
    }

    pub(super) fn goaway(&mut self, head: Head, payload: &[u8]) -> Taken {
        let (Some(last), Some(reason)) = (frame::number(payload), payload.get(4..).and_then(frame::number))
        else {
            return size();
        };
        if head.stream != 0 {
            return protocol("GOAWAY has a stream");
        }
        self.told_to_go = true;
        if self.role == Role::Client {
            for entry in self.streams.each().filter(|entry| entry.id > last & MOST) {
                entry.fail(Failure::Unprocessed(Reason(reason)));
            }
            self.streams.check_all();
        }
        self.changed();
        Ok(())
    }

    pub(super) fn window_update(&mut self, head: Head, payload: &[u8]) -> Taken {
        let (4, Some(by)) = (payload.len(), frame::number(payload)) else { return size() };
        let by = i64::from(by & MOST);
        if head.stream == 0 {
            self.send_window += by;
            if by == 0 {
                return protocol("a window grows by nothing");
            }
            if self.send_window > i64::from(MOST) {
                return Err(Wrong::Connection(Reason::FLOW_CONTROL_ERROR, "a window is too large"));
            }
            self.streams.wake_waiting();
            return Ok(());
        }
        if self.is_idle(head.stream) {
            return protocol("WINDOW_UPDATE on a stream that was not opened");
        }
        if by == 0 {
            return Err(Wrong::Stream(head.stream, Reason::PROTOCOL_ERROR, "a window grows by nothing"));
        }
        let Some(entry) = self.streams.get(head.stream) else { return Ok(()) };
        entry.send_window += by;
        if entry.send_window > i64::from(MOST) {
            let reason = Reason::FLOW_CONTROL_ERROR;
            return Err(Wrong::Stream(head.stream, reason, "a window is too large"));
        }
        entry.writable();
        Ok(())
    }
}
