//! The streams of a connection (RFC 9113, section 5).
//!
//! In: what frames say of a stream, and what its owner does with it. Out: what its owner gets to see. A stream is kept until
//! its owner lets it go, and is remembered for a while after, to tell what is late from what is wrong.

use super::{frame::Reason, pieces::Pieces};
use crate::http::head::ResponseHead;
use http::HeaderMap;
use std::{
    collections::VecDeque,
    task::{Context, Waker},
};

/// How many streams that have ended are remembered.
const REMEMBERED: usize = 64;
/// And of those that were reset here, for which something may be on its way.
const REMEMBERED_RESET: usize = 1024;

/// Why a stream came to no good end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The other side reset it.
    Reset(Reason),
    /// The other side said that it was not processed.
    Unprocessed(Reason),
    /// What came broke the protocol, and it was reset here.
    Wrong(&'static str),
    /// Its connection is gone.
    Gone(&'static str),
}

/// One direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// No head yet.
    Idle,
    /// The head is there.
    Open,
    /// It is complete.
    Ended,
}

/// A stream.
#[derive(Debug)]
pub struct Entry {
    /// Its number.
    pub id: u32,
    /// What comes.
    pub receiving: Half,
    /// What goes.
    pub sending: Half,
    /// Heads of answers that came and were not yet taken.
    pub heads: VecDeque<ResponseHead>,
    /// Data that came and was not yet taken.
    pub data: Pieces,
    /// Trailers that came.
    pub trailers: Option<HeaderMap>,
    /// How many bytes are still to come, where the head said so.
    pub length: Option<u64>,
    /// How many bytes the other side may send.
    pub receive_window: i64,
    /// How many were taken that it was not told of.
    pub untold: u32,
    /// How many bytes may be sent; less than none where the other side took some back (section 6.9.2).
    pub send_window: i64,
    /// Why nothing more comes or goes.
    pub failure: Option<Failure>,
    /// Whether it counts as under way.
    pub counts: bool,
    /// Whatever length its answer says, it says nothing of what comes: HEAD, and CONNECT.
    pub ignores_length: bool,
    owner: Option<Waker>,
    waits: Waits,
}

/// How a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It has not.
    No,
    /// It was reset on this side: what still comes was on its way.
    ResetHere,
    /// Otherwise: nothing more may come.
    Else,
    /// Nobody remembers it, if it ever was.
    Unknown,
}

/// What the owner of a stream waits for.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    to_read: bool,
    to_write: bool,
    /// For something that all streams share.
    shared: bool,
}

/// All streams of a connection.
#[derive(Debug, Default)]
pub struct Streams {
    /// By number, which only grows; and which is looked for without the rest.
    entries: VecDeque<(u32, Box<Entry>)>,
    /// Those that have ended in order, or were reset by the other side.
    ended: VecDeque<u32>,
    /// Those that were reset here.
    reset: VecDeque<u32>,
    /// Whose data waits for something that all streams share.
    waiting: Vec<u32>,
    /// How many are under way.
    under_way: usize,
}

// === impl Entry ===

impl Entry {
    /// A stream with nothing on it.
    #[must_use]
    pub fn new(id: u32, receive_window: i64, send_window: i64) -> Self {
        Self {
            id,
            receiving: Half::Idle,
            sending: Half::Idle,
            heads: VecDeque::new(),
            data: Pieces::default(),
            trailers: None,
            length: None,
            receive_window,
            untold: 0,
            send_window,
            failure: None,
            counts: true,
            ignores_length: false,
            owner: None,
            waits: Waits::default(),
        }
    }

    /// Its owner is woken when more has come, or it failed.
    pub fn wait_to_read(&mut self, context: &Context<'_>) {
        self.waits.to_read = true;
        self.register(context);
    }

    /// Its owner is woken when more can be sent, or it failed.
    pub fn wait_to_write(&mut self, context: &Context<'_>) {
        self.waits.to_write = true;
        self.register(context);
    }

    /// Its owner is woken when it failed.
    pub fn register(&mut self, context: &Context<'_>) {
        match &mut self.owner {
            Some(owner) => owner.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }

    /// More has come.
    pub fn readable(&mut self) {
        if self.waits.to_read {
            self.wake();
        }
    }

    /// More can be sent.
    pub fn writable(&mut self) {
        if self.waits.to_write {
            self.wake();
        }
    }

    /// Ends it both ways, unless it has ended already.
    pub fn fail(&mut self, failure: Failure) {
        if self.failure.is_none() {
            self.failure = Some(failure);
            self.wake();
        }
    }

    /// Whether nothing more is to come or to go.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.failure.is_some() || (self.receiving == Half::Ended && self.sending == Half::Ended)
    }

    fn wake(&mut self) {
        (self.waits.to_read, self.waits.to_write) = (false, false);
        if let Some(owner) = &self.owner {
            owner.wake_by_ref();
        }
    }
}

// === impl Streams ===

impl Streams {
    /// Adds one, whose number is above all others.
    pub fn add(&mut self, entry: Entry) -> &mut Entry {
        self.under_way += 1;
        &mut self.entries.push_back_mut((entry.id, Box::new(entry))).1
    }

    /// The one of this number.
    pub fn get(&mut self, id: u32) -> Option<&mut Entry> {
        let at = self.place(id)?;
        self.entries.get_mut(at).map(|(_, entry)| &mut **entry)
    }

    /// Each of them.
    pub fn each(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().map(|(_, entry)| &mut **entry)
    }

    /// Takes one away, and remembers it.
    pub fn remove(&mut self, id: u32, reset: bool) -> Option<Box<Entry>> {
        let (_, mut entry) = self.entries.remove(self.place(id)?)?;
        self.settle(&mut entry);
        self.remember(id, reset);
        Some(entry)
    }

    /// Remembers one that is not there, or no longer.
    pub fn remember(&mut self, id: u32, reset: bool) {
        let (remembered, most) =
            if reset { (&mut self.reset, REMEMBERED_RESET) } else { (&mut self.ended, REMEMBERED) };
        if remembered.len() == most {
            remembered.pop_front();
        }
        remembered.push_back(id);
    }

    /// Whether, and how, a stream that was opened once has ended.
    #[must_use]
    pub fn ended(&mut self, id: u32) -> Ended {
        if let Some(entry) = self.get(id) {
            return match entry.failure {
                None => Ended::No,
                Some(Failure::Wrong(_)) => Ended::ResetHere,
                Some(Failure::Reset(_) | Failure::Unprocessed(_) | Failure::Gone(_)) => Ended::Else,
            };
        }
        if self.reset.contains(&id) {
            Ended::ResetHere
        } else if self.ended.contains(&id) {
            Ended::Else
        } else {
            Ended::Unknown
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many are under way: what is only kept for its owner does not count.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Whether one is over, which counted until now.
    pub fn check(&mut self, id: u32) -> bool {
        let over = self.get(id).is_some_and(|entry| entry.is_over() && std::mem::take(&mut entry.counts));
        self.under_way -= usize::from(over);
        over
    }

    /// Any may be over.
    pub fn check_all(&mut self) {
        let over = self.each().filter(|entry| entry.counts && entry.is_over());
        let count = over.map(|entry| entry.counts = false).count();
        self.under_way -= count;
    }

    /// Fails all, and gives the owners their word.
    pub fn fail_all(&mut self, failure: Failure) {
        for entry in self.each() {
            entry.fail(failure);
        }
        self.check_all();
    }

    /// The owner of one waits for something that all share.
    pub fn wait(&mut self, id: u32) {
        if let Some(entry) = self.get(id)
            && !std::mem::replace(&mut entry.waits.shared, true)
        {
            self.waiting.push(id);
        }
    }

    /// What all share may be there again.
    pub fn wake_waiting(&mut self) {
        for id in std::mem::take(&mut self.waiting) {
            if let Some(entry) = self.get(id) {
                entry.waits.shared = false;
                entry.writable();
            }
        }
    }

    fn settle(&mut self, entry: &mut Entry) {
        if entry.counts {
            entry.counts = false;
            self.under_way -= 1;
        }
    }

    fn place(&self, id: u32) -> Option<usize> {
        // Mostly it is the last one.
        match self.entries.back() {
            Some((last, _)) if *last == id => Some(self.entries.len() - 1),
            Some(_) => self.entries.binary_search_by_key(&id, |(other, _)| *other).ok(),
            None => None,
        }
    }
}
