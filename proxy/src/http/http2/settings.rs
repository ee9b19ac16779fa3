//! What both sides of a connection have agreed on (RFC 9113, section 6.5).
//!
//! In: the settings of the other side. Out: what it takes, and what of its settings is wrong.

use super::frame::{FIRST_WINDOW, LARGEST, MOST, Reason, setting};

/// The largest frame that can be agreed on.
const LARGEST_OF_ALL: u32 = 0x00ff_ffff;

/// What we take.
#[derive(Clone, Copy, Debug)]
pub struct Ours {
    /// How many bytes a stream may bring before it is read.
    pub stream_window: u32,
    /// How many bytes all streams together may.
    pub connection_window: u32,
    /// How large the fields of a message may be.
    pub head_bytes: u32,
    /// How many streams the other side may open.
    pub streams: u32,
}

/// What the other side takes.
#[derive(Clone, Copy, Debug)]
pub struct Theirs {
    /// Whether its settings have come.
    pub settled: bool,
    /// The window of a new stream.
    pub stream_window: u32,
    /// The largest frame.
    pub largest_frame: usize,
    /// How many streams may be open.
    pub streams: u32,
    /// Whether it knows extended CONNECT (RFC 8441, section 3).
    pub extended_connect: bool,
}

impl Default for Theirs {
    fn default() -> Self {
        Self {
            settled: false,
            stream_window: FIRST_WINDOW,
            largest_frame: LARGEST,
            streams: u32::MAX,
            extended_connect: false,
        }
    }
}

// === impl Theirs ===

impl Theirs {
    /// Takes one setting. Unknown ones mean nothing.
    ///
    /// # Errors
    /// Where it cannot have this value.
    pub fn take(&mut self, name: u16, value: u32, from_server: bool) -> Result<(), Reason> {
        match (name, value) {
            (setting::ENABLE_PUSH, 0) => {}
            (setting::ENABLE_PUSH, 1) if !from_server => {}
            (setting::MAX_CONCURRENT_STREAMS, streams) => self.streams = streams,
            (setting::INITIAL_WINDOW_SIZE, 0..=MOST) => self.stream_window = value,
            (setting::INITIAL_WINDOW_SIZE, _) => return Err(Reason::FLOW_CONTROL_ERROR),
            (setting::MAX_FRAME_SIZE, 16_384..=LARGEST_OF_ALL) => self.largest_frame = value as usize,
            (setting::ENABLE_CONNECT_PROTOCOL, 0 | 1) => self.extended_connect = value == 1,
            (setting::ENABLE_PUSH | setting::MAX_FRAME_SIZE | setting::ENABLE_CONNECT_PROTOCOL, _) => {
                return Err(Reason::PROTOCOL_ERROR);
            }
            // The table of fields is not used for what is sent, so that its size is no matter.
            (_, _) => {}
        }
        Ok(())
    }
}
