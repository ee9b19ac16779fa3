//! Remembers the first datagrams of the newest sessions.
//!
//! In: a session's first datagram. Out: the same, where its endpoint turns out to refuse it. UDP's clients ask again only
//! after seconds, and a refusal comes within a round trip: so a dead endpoint costs a client nothing. The memory is a
//! ring of fixed size, so that neither sessions nor floods hold any.

/// How many sessions' first datagrams are remembered.
const MOST: usize = 256;
/// The longest that is remembered: DNS questions and the like are shorter.
pub(super) const LONGEST: usize = 512;

/// The ring; it is made when it is first used.
#[derive(Debug, Default)]
pub(super) struct Recall {
    entries: Vec<Entry>,
    next: usize,
}

/// A datagram, copied out of the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    ticket: u64,
    length: u16,
    bytes: [u8; LONGEST],
}

// === impl Recall ===

impl Recall {
    /// Remembers the first datagram of a session, if it is short enough.
    pub(super) fn remember(&mut self, ticket: u64, datagram: &[u8]) {
        let Ok(length) = u16::try_from(datagram.len()) else { return };
        if datagram.len() > LONGEST {
            return;
        }
        if self.entries.len() < MOST {
            self.next = self.entries.len();
            self.entries.push(Entry { ticket, length, bytes: [0; LONGEST] });
        }
        let entry = &mut self.entries[self.next];
        (entry.ticket, entry.length) = (ticket, length);
        entry.bytes[..datagram.len()].copy_from_slice(datagram);
        self.next = (self.next + 1) % MOST;
    }

    /// The first datagram of a session, if it is not forgotten.
    pub(super) fn first_of(&self, ticket: u64) -> Option<Entry> {
        self.entries.iter().find(|entry| entry.ticket == ticket).copied()
    }
}

// === impl Entry ===

impl Entry {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recalled(recall: &Recall, ticket: u64) -> Option<Vec<u8>> {
        recall.first_of(ticket).map(|entry| entry.bytes().to_vec())
    }

    #[test]
    fn the_newest_are_remembered_and_the_memory_does_not_grow() {
        let mut recall = Recall::default();
        for ticket in 0..1000_u64 {
            recall.remember(ticket, &ticket.to_be_bytes());
        }
        assert_eq!(recall.entries.len(), MOST);
        for ticket in 0..1000_u64 {
            let expected = (ticket >= 1000 - MOST as u64).then(|| ticket.to_be_bytes().to_vec());
            assert_eq!(recalled(&recall, ticket), expected, "{ticket}");
        }
    }

    #[test]
    fn what_is_long_is_not_remembered_and_what_is_empty_is() {
        let mut recall = Recall::default();
        recall.remember(1, &[1; LONGEST]);
        recall.remember(2, &[2; LONGEST + 1]);
        recall.remember(3, &[]);
        assert_eq!(recalled(&recall, 1), Some(vec![1; LONGEST]));
        assert_eq!(recalled(&recall, 2), None);
        assert_eq!(recalled(&recall, 3), Some(vec![]));
    }
}
