//! Those who wait for their turn, in an order that is fair between sources.
//!
//! In: who comes, who leaves, and which source has room. Out: who is next.
//!
//! Each source has a line of its own, first come, first served; lines take turns. A line whose source is full steps out
//! of the ring until it is told that there is room, so that the next is found without passing over it again and again.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::Hash,
};

/// Waiters in lines by key.
#[derive(Debug)]
pub(crate) struct Queue<Key, Waiter> {
    /// The lines that take turns; each stands here once, or is aside.
    ring: VecDeque<Key>,
    lines: HashMap<Key, Line<Waiter>>,
    waiting: usize,
    next_ticket: u64,
}

#[derive(Debug)]
struct Line<Waiter> {
    /// By ticket, which is the order in which they came; a tree, for anybody may leave.
    waiters: BTreeMap<u64, Waiter>,
    /// Whether it does not take turns for now.
    aside: bool,
}

/// Who was found in a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Where its line stands among those that take turns.
    turn: usize,
    ticket: u64,
}

// === impl Queue ===

impl<Key: Copy + Eq + Hash, Waiter> Queue<Key, Waiter> {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// Whether nobody waits who could be next.
    pub(crate) fn nobody_is_next(&self) -> bool {
        self.ring.is_empty()
    }

    /// Puts a waiter at the end of a line; gives the ticket by which it can leave.
    pub(crate) fn push(&mut self, key: Key, waiter: Waiter) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let line = self.lines.entry(key).or_insert_with(|| {
            self.ring.push_back(key);
            Line { waiters: BTreeMap::new(), aside: false }
        });
        line.waiters.insert(ticket, waiter);
        self.waiting += 1;
        ticket
    }

    /// Who is next.
    pub(crate) fn next(&self) -> Option<&Waiter> {
        let line = self.lines.get(self.ring.front()?)?;
        line.waiters.first_key_value().map(|(_, waiter)| waiter)
    }

    /// The first for whom something is that not all can use, and then the first of that line who can. Lines without such a
    /// one keep their turn.
    pub(crate) fn find(&self, mut can_use: impl FnMut(&Waiter) -> bool) -> Option<Found> {
        self.ring.iter().enumerate().find_map(|(turn, key)| {
            let mut waiters = self.lines.get(key)?.waiters.iter();
            waiters.find(|(_, waiter)| can_use(waiter)).map(|(ticket, _)| Found { turn, ticket: *ticket })
        })
    }

    /// Takes out who was found; what has changed since, finds nobody. Their line comes last then.
    pub(crate) fn take(&mut self, found: Found) -> Option<Waiter> {
        let Found { turn, ticket } = found;
        let key = *self.ring.get(turn)?;
        let line = self.lines.get_mut(&key)?;
        let waiter = line.waiters.remove(&ticket)?;
        self.waiting -= 1;
        self.ring.remove(turn);
        if line.waiters.is_empty() {
            self.lines.remove(&key);
        } else {
            self.ring.push_back(key);
        }
        Some(waiter)
    }

    /// Takes out who is next; it is another line's turn then.
    pub(crate) fn take_next(&mut self) -> Option<Waiter> {
        let next = self.find(|_| true)?;
        self.take(next)
    }

    /// The line of who is next takes no turns until [`Queue::resume`].
    pub(crate) fn set_next_aside(&mut self) {
        let Some(key) = self.ring.pop_front() else { return };
        if let Some(line) = self.lines.get_mut(&key) {
            line.aside = true;
        }
    }

    /// A line takes turns again, if there is one.
    pub(crate) fn resume(&mut self, key: Key) {
        if let Some(line) = self.lines.get_mut(&key)
            && line.aside
        {
            line.aside = false;
            self.ring.push_back(key);
        }
    }

    /// All lines take turns again.
    pub(crate) fn resume_all(&mut self) {
        for (key, line) in &mut self.lines {
            if line.aside {
                line.aside = false;
                self.ring.push_back(*key);
            }
        }
    }

    /// Takes somebody out; none if it is not there any more.
    pub(crate) fn leave(&mut self, key: Key, ticket: u64) -> Option<Waiter> {
        let line = self.lines.get_mut(&key)?;
        let waiter = line.waiters.remove(&ticket)?;
        self.waiting -= 1;
        if line.waiters.is_empty() {
            self.lines.remove(&key);
            self.ring.retain(|other| *other != key);
        }
        Some(waiter)
    }

    /// Takes out the last of the longest line, if that is still the longer one after `key` got one more. So nobody is kept
    /// out by those who fill the queue.
    pub(crate) fn displace_for(&mut self, key: Key) -> Option<Waiter> {
        let own = self.lines.get(&key).map_or(0, |line| line.waiters.len());
        let longest = self.lines.values_mut().max_by_key(|line| line.waiters.len())?;
        if longest.waiters.len() <= own + 1 {
            return None;
        }
        self.waiting -= 1;
        longest.waiters.pop_last().map(|(_, waiter)| waiter)
    }
}

impl<Key, Waiter> Default for Queue<Key, Waiter> {
    fn default() -> Self {
        Self { ring: VecDeque::new(), lines: HashMap::new(), waiting: 0, next_ticket: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(waiters: &[(char, u32)]) -> (Queue<char, u32>, Vec<u64>) {
        let mut queue = Queue::default();
        let tickets = waiters.iter().map(|(key, waiter)| queue.push(*key, *waiter)).collect();
        (queue, tickets)
    }

    fn drain(queue: &mut Queue<char, u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.take_next()).collect()
    }

    #[test]
    fn lines_take_turns_and_each_is_first_come_first_served() {
        let (mut queue, _) = queue(&[('a', 1), ('a', 2), ('a', 3), ('b', 4), ('c', 5), ('b', 6)]);
        assert_eq!((queue.len(), queue.next()), (6, Some(&1)));
        assert_eq!(drain(&mut queue), [1, 4, 5, 2, 6, 3]);
        assert_eq!((queue.len(), queue.next(), queue.nobody_is_next()), (0, None, true));
    }

    #[test]
    fn who_leaves_is_gone_and_an_empty_line_takes_no_turn() {
        let (mut queue, tickets) = queue(&[('a', 1), ('b', 2), ('a', 3), ('a', 4)]);
        assert_eq!(queue.leave('a', tickets[2]), Some(3));
        assert_eq!(queue.leave('a', tickets[2]), None);
        assert_eq!(queue.leave('b', tickets[1]), Some(2));
        assert_eq!(queue.leave('b', tickets[1]), None);
        queue.push('b', 5);
        assert_eq!(queue.len(), 3);
        assert_eq!(drain(&mut queue), [1, 5, 4]);
    }

    #[test]
    fn a_line_set_aside_waits_until_it_is_told() {
        let (mut queue, tickets) = queue(&[('a', 1), ('b', 2), ('a', 3)]);
        queue.set_next_aside();
        queue.push('a', 4);
        assert_eq!(drain(&mut queue), [2]);
        assert_eq!((queue.len(), queue.nobody_is_next()), (3, true));
        queue.resume('b');
        queue.resume('a');
        queue.resume('a');
        assert_eq!(queue.take_next(), Some(1));
        queue.set_next_aside();
        assert_eq!(queue.leave('a', tickets[2]), Some(3));
        queue.resume_all();
        assert_eq!(drain(&mut queue), [4]);
    }

    #[test]
    fn who_can_use_it_is_found_and_the_turns_of_others_stay() {
        let (mut queue, _) = queue(&[('a', 1), ('b', 2), ('a', 4), ('b', 3), ('c', 6)]);
        let mut take_even = || {
            let found = queue.find(|waiter| waiter % 2 == 0)?;
            queue.take(found)
        };
        assert_eq!([(); 4].map(|()| take_even()), [Some(4), Some(2), Some(6), None]);
        assert_eq!(
            (queue.len(), drain(&mut queue)),
            (2, vec![1, 3]),
            "whose lines went to the end in this order"
        );
    }

    #[test]
    fn the_longest_line_makes_room_for_a_shorter_one() {
        let (mut queue, _) = queue(&[('a', 1), ('a', 2), ('a', 3), ('b', 4)]);
        assert_eq!(queue.displace_for('a'), None);
        assert_eq!(queue.displace_for('b'), Some(3));
        assert_eq!(queue.displace_for('b'), None, "that would turn the tables");
        assert_eq!(queue.displace_for('c'), Some(2));
        assert_eq!(queue.displace_for('c'), None);
        assert_eq!(drain(&mut queue), [1, 4]);
    }
}
