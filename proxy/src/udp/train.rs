//! Datagrams that travel together.
//!
//! In: what one reading of a socket brought. Out: the same datagrams in as few system calls as the kernel allows (UDP
//! segmentation offload). The buffer is the worker's, not the session's: a session at rest holds none.

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use std::{
    array,
    io::{self, IoSliceMut},
    net::UdpSocket,
};

/// The longest that the kernel gives at once (64 KiB, also where it joined several datagrams), and some more, so that the
/// beginnings of the buffers do not compete for the same lines of the processor's cache.
const STRIDE: usize = 64 * 1024 + 576;
/// The longest datagrams that are joined: longer ones may not fit the path, of which the kernel cannot make segments.
const LONGEST_SEGMENT: usize = 1400;
/// The most bytes that are sent at once, below what fits in one packet of IP.
const MOST_BYTES: usize = 64_000;

/// Datagrams that lie one behind the other, each as long as `segment`; only the last may be shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Train<'a> {
    bytes: &'a [u8],
    segment: usize,
}

/// What a worker reads into. Its pages are touched only as far as datagrams reach.
pub(super) struct Buffers {
    memory: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
    joint: Vec<u8>,
}

/// What one reading brought.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    memory: &'a [u8],
    metas: &'a [RecvMeta],
}

/// Sends trains whose order is theirs, joined where that is possible: at most `most` datagrams at once.
pub(super) fn couple(
    trains: &[Train<'_>],
    most: usize,
    joint: &mut Vec<u8>,
    mut send: impl FnMut(Train<'_>),
) {
    let mut rest = trains;
    while let Some(first) = rest.first() {
        let (together, later) = rest.split_at(number_to_join(rest, most));
        if together.len() == 1 {
            send(*first);
        } else {
            joint.clear();
            together.iter().for_each(|train| joint.extend_from_slice(train.bytes));
            send(Train { bytes: joint, segment: first.segment });
        }
        rest = later;
    }
}

/// How many of the first trains make one: at least one.
fn number_to_join(trains: &[Train<'_>], most: usize) -> usize {
    let Some(Train { bytes, segment }) = trains.first().copied() else { return 0 };
    let mut length = bytes.len();
    let mut number = 1;
    for next in &trains[1..] {
        let fits = next.segment == segment || (next.count() == 1 && next.bytes.len() < segment);
        let together = length + next.bytes.len();
        // What is shorter than the others, or empty, can only be at the end.
        let open = !length.is_multiple_of(segment.max(1)) || segment == 0 || segment > LONGEST_SEGMENT;
        if open
            || !fits
            || next.bytes.is_empty()
            || together > MOST_BYTES
            || together.div_ceil(segment) > most
        {
            break;
        }
        length = together;
        number += 1;
    }
    number
}

// === impl Train ===

impl<'a> Train<'a> {
    /// A single datagram.
    pub(super) fn single(bytes: &'a [u8]) -> Self {
        Self { bytes, segment: bytes.len() }
    }

    /// All of it.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many datagrams it is.
    pub(super) fn count(&self) -> usize {
        if self.bytes.len() <= self.segment { 1 } else { self.bytes.len().div_ceil(self.segment) }
    }

    /// How long its datagrams are, where they can be sent at once.
    pub(super) fn segment(&self, most: usize) -> Option<usize> {
        let joined = self.count() > 1 && self.count() <= most;
        (joined && self.segment <= LONGEST_SEGMENT && self.bytes.len() <= MOST_BYTES).then_some(self.segment)
    }

    /// The datagrams one by one. An empty one is one too.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> {
        let (bytes, segment) = (self.bytes, self.segment.max(1));
        (0..self.count()).map(move |number| &bytes[number * segment..bytes.len().min((number + 1) * segment)])
    }
}

// === impl Buffers ===

impl Default for Buffers {
    fn default() -> Self {
        let metas = [RecvMeta::default(); BATCH_SIZE];
        Self { memory: vec![0; STRIDE * BATCH_SIZE], metas, joint: Vec::new() }
    }
}

impl Buffers {
    /// Reads up to `most` messages, each of which is a train. Beside them, room to join some.
    pub(super) fn receive(
        &mut self,
        state: &UdpSocketState,
        socket: &UdpSocket,
        most: usize,
    ) -> io::Result<(Batch<'_>, &mut Vec<u8>)> {
        let Self { memory, metas, joint } = self;
        let count = {
            let mut places = memory.chunks_exact_mut(STRIDE);
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                array::from_fn(|_| IoSliceMut::new(places.next().unwrap_or_default()));
            state.recv(UdpSockRef::from(socket), &mut slices[..most.min(BATCH_SIZE)], metas)?
        };
        Ok((Batch { memory, metas: &metas[..count] }, joint))
    }
}

// === impl Batch ===

impl<'a> Batch<'a> {
    /// How many messages there are.
    pub(super) fn len(&self) -> usize {
        self.metas.len()
    }

    /// Where a message came from, and to.
    pub(super) fn meta(&self, index: usize) -> &'a RecvMeta {
        &self.metas[index]
    }

    /// What a message brought; nothing where there are fewer.
    pub(super) fn train(&self, index: usize) -> Train<'a> {
        let Some(meta) = self.metas.get(index) else { return Train::default() };
        let bytes = &self.memory[index * STRIDE..][..meta.len];
        Train { bytes, segment: if meta.stride == 0 { meta.len } else { meta.stride.min(meta.len) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(lengths: &[usize], most: usize) -> Vec<usize> {
        let bytes = [0; 66_000];
        let trains: Vec<_> = lengths.iter().map(|length| Train::single(&bytes[..*length])).collect();
        let mut counts = Vec::new();
        couple(&trains, most, &mut Vec::new(), |train| counts.push(train.count()));
        counts
    }

    #[test]
    fn equal_ones_travel_together_and_a_shorter_one_is_the_last() {
        assert_eq!(counts(&[100, 100, 100], 64), [3]);
        assert_eq!(counts(&[100, 100, 99, 99], 64), [3, 1]);
        assert_eq!(counts(&[100, 101, 101], 64), [1, 2]);
        assert_eq!(counts(&[100, 100, 0, 100], 64), [2, 1, 1], "an empty one travels alone");
        assert_eq!(counts(&[0, 0, 1], 64), [1, 1, 1]);
        assert_eq!(counts(&[10; 5], 2), [2, 2, 1]);
        assert_eq!(counts(&[10; 3], 1), [1, 1, 1], "where the kernel cannot");
        assert_eq!(counts(&[1400; 60], 64), [45, 15], "within one packet of IP");
        assert_eq!(counts(&[1401, 1401], 64), [1, 1], "which may not fit the path");
        assert_eq!(counts(&[65_507], 64), [1]);
        assert_eq!(counts(&[], 64), [0; 0]);
    }

    #[test]
    fn a_train_of_the_kernels_is_taken_apart_where_it_cannot_go_on_as_one() {
        let train = Train { bytes: &[7; 25], segment: 10 };
        assert_eq!((train.count(), train.segment(64), train.segment(2)), (3, Some(10), None));
        let lengths: Vec<_> = train.datagrams().map(<[u8]>::len).collect();
        assert_eq!(lengths, [10, 10, 5]);
        assert_eq!(Train::single(&[]).datagrams().count(), 1);
        assert_eq!(Train::single(&[1]).segment(64), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_added_or_put_in_another_order(
            messages in prop::collection::vec((0_usize..40, 1_usize..20), 0..32),
            most in 1_usize..20,
        ) {
            let bytes: Vec<u8> = (0..2000_usize).map(|index| index as u8).collect();
            let mut start = 0;
            let trains: Vec<_> = messages.iter().map(|(length, segment)| {
                let train = Train { bytes: &bytes[start..start + length], segment: (*segment).min(*length) };
                start += length;
                train
            }).collect();
            let sent: Vec<Vec<u8>> = trains.iter().flat_map(|train| train.datagrams().map(<[u8]>::to_vec)).collect();
            let mut came = Vec::new();
            couple(&trains, most, &mut Vec::new(), |train| came.extend(train.datagrams().map(<[u8]>::to_vec)));
            prop_assert_eq!(came, sent);
        }
    }
}
