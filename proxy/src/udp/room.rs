//! Leaves room for the others: how many sessions all listeners of the proxy may have together.
//!
//! In: a new session. Out: a [`Held`], which it keeps while it lives; or that there is no room, and an old one has to go. Each
//! session is an open file, and what floods one port must not keep connections of others from being accepted.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What all listeners share. One atomic number, touched when a session begins or ends.
#[derive(Clone, Debug)]
pub struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    held: AtomicUsize,
    most: usize,
}

/// A session's part of the room, until this is dropped.
#[derive(Debug)]
pub(super) struct Held(Arc<Shared>);

// === impl Room ===

impl Room {
    /// Room for so many sessions.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Shared { held: AtomicUsize::new(0), most }))
    }

    /// Half of the files that this process may have open.
    #[must_use]
    pub fn half_of_the_files() -> Self {
        use rustix::process::{Resource, getrlimit};
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::new(usize::try_from(files / 2).unwrap_or(usize::MAX))
    }

    pub(super) fn take(&self) -> Option<Held> {
        let one_more = |held| if held < self.0.most { Some(held + 1) } else { None };
        self.0.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Held(Arc::clone(&self.0)))
    }
}

// === impl Held ===

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let room = Room::new(2);
        let (one, other) = (room.take(), room.clone().take());
        assert!(one.is_some() && other.is_some() && room.take().is_none());
        drop(one);
        assert!(room.take().is_some());
        assert!(Room::half_of_the_files().take().is_some());
    }
}
