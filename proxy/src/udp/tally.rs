//! Counts without touching what threads share for each datagram.
//!
//! In: datagrams. Out: the route's counters, brought up to date once a turn.

use super::train::Train;
use crate::{
    cause::Cause,
    metrics::{Datagrams, Traffic},
};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Tally {
    traffic: Arc<Traffic>,
    received: Count,
    sent: Count,
}

#[derive(Debug, Default)]
struct Count {
    datagrams: u64,
    bytes: u64,
}

// === impl Tally ===

impl Tally {
    pub(super) fn new(traffic: Arc<Traffic>) -> Self {
        Self { traffic, received: Count::default(), sent: Count::default() }
    }

    pub(super) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// For what is rare.
    pub(super) fn counters(&self) -> &Datagrams {
        self.traffic.datagrams()
    }

    /// A client sent it.
    pub(super) fn received(&mut self, train: Train<'_>) {
        self.received.add(train);
    }

    /// It was sent to a client.
    pub(super) fn sent(&mut self, train: Train<'_>) {
        self.sent.add(train);
    }

    /// It went no further.
    pub(super) fn dropped(&self, cause: Cause, train: Train<'_>) {
        self.counters().dropped(cause, train.count() as u64);
    }

    /// An endpoint refused a datagram, which is no longer known.
    pub(super) fn lost(&self, cause: Cause) {
        self.counters().dropped(cause, 1);
    }

    /// Brings the route's counters up to date.
    pub(super) fn settle(&mut self) {
        let Self { traffic, received, sent } = self;
        let counters = traffic.datagrams();
        if received.datagrams != 0 {
            let Count { datagrams, bytes } = std::mem::take(received);
            counters.received(datagrams, bytes);
        }
        if sent.datagrams != 0 {
            let Count { datagrams, bytes } = std::mem::take(sent);
            counters.sent(datagrams, bytes);
        }
    }
}

// === impl Count ===

impl Count {
    fn add(&mut self, train: Train<'_>) {
        self.datagrams += train.count() as u64;
        self.bytes += train.bytes().len() as u64;
    }
}
