//! The answer to one question.
//!
//! In: a question and the [`Names`]. Out: an [`Answer`], the content of the message to send. Pure: the same
//! question, names and turn always give the same answer.

use super::names::{Entry, Names, Node, Place, SERVER_LABEL};
use hickory_proto::{
    op::{Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, HINFO, NS, SOA, SRV},
    },
};

/// How long, in seconds, an answer may be kept, and how long that there is none. Short: the mesh changes a
/// name's address when it begins or ceases to serve a Service. CoreDNS uses as much for the cluster's zone.
pub(super) const TTL_SECONDS: u32 = 5;

/// The label of the mailbox in a SOA record. Nobody reads it; the record must name one.
const MAILBOX_LABEL: &str = "hostmaster";
/// The SOA's serial. Nobody transfers these zones, which is all that a serial is for.
const SERIAL: u32 = 1;
/// When secondaries would refresh, in seconds. There are none; this and the next two are customary.
const REFRESH_SECONDS: i32 = 7200;
/// When secondaries would try again, in seconds.
const RETRY_SECONDS: i32 = 1800;
/// When secondaries would give up, in seconds.
const EXPIRE_SECONDS: i32 = 86_400;
/// The priority of a SRV record: a Service has one target, so neither this nor the weight decides anything.
const SRV_PRIORITY: u16 = 0;
/// The weight of a SRV record.
const SRV_WEIGHT: u16 = 100;

/// The content of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The code of the reply.
    pub code: ResponseCode,
    /// Whether the reply speaks for a zone of the mesh.
    pub authoritative: bool,
    /// What was asked for.
    pub answers: Vec<Record>,
    /// The zone's SOA record where there is nothing to answer, which says how long that may be kept.
    pub authorities: Vec<Record>,
    /// What the asker would ask for next.
    pub additionals: Vec<Record>,
}

/// Answers a question from the names. Each turn begins with another one of several addresses, so that those
/// who take the first one spread.
#[must_use]
pub fn answer(question: &Query, names: &Names, turn: usize) -> Answer {
    if !matches!(question.query_class(), DNSClass::IN | DNSClass::ANY) {
        return Answer::refused();
    }
    if matches!(question.query_type(), RecordType::AXFR | RecordType::IXFR) {
        return Answer::refused();
    }
    let name = question.name();
    let labels: Vec<Vec<u8>> = name.iter().map(<[u8]>::to_ascii_lowercase).collect();
    match names.find(&labels) {
        Place::Outside => Answer::refused(),
        Place::Missing { zone } => Answer::none(ResponseCode::NXDomain, &name.trim_to(zone)),
        Place::Found { zone, node } => {
            let answer = records(name, question.query_type(), node, turn);
            if answer.answers.is_empty() {
                return Answer::none(ResponseCode::NoError, &name.trim_to(zone));
            }
            answer
        }
    }
}

/// The records of one type at a name that exists. Owner names are the asker's own, in the asker's case.
fn records(name: &Name, wanted: RecordType, node: Node<'_>, turn: usize) -> Answer {
    let mut answer = Answer::empty();
    match (node, wanted) {
        // RFC 8482: one small record instead of everything, which only those ask for who want it large.
        (Node::Apex | Node::Service(_) | Node::Port(..), RecordType::ANY) => {
            answer.answers.push(record(name, RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()))));
        }
        (Node::Apex, RecordType::SOA) => answer.answers.push(authority(name)),
        (Node::Apex, RecordType::NS) => {
            answer.answers.push(record(name, RData::NS(NS(below(name, SERVER_LABEL)))));
        }
        (Node::Service(entry), RecordType::A) => answer.answers = v4(name, entry, turn),
        (Node::Service(entry), RecordType::AAAA) => answer.answers = v6(name, entry, turn),
        (Node::Port(entry, port), RecordType::SRV) => {
            // The target is the Service, whose name is the asked one without `_PORT._tcp`.
            let target = name.base_name().base_name();
            answer.additionals = v4(&target, entry, turn);
            answer.additionals.extend(v6(&target, entry, turn));
            let service = SRV::new(SRV_PRIORITY, SRV_WEIGHT, port, target);
            answer.answers.push(record(name, RData::SRV(service)));
        }
        (Node::Apex | Node::Empty | Node::Service(_) | Node::Port(..), _) => {}
    }
    answer
}

fn v4(name: &Name, entry: &Entry, turn: usize) -> Vec<Record> {
    turned(&entry.v4, turn).map(|address| record(name, RData::A(A(*address)))).collect()
}

fn v6(name: &Name, entry: &Entry, turn: usize) -> Vec<Record> {
    turned(&entry.v6, turn).map(|address| record(name, RData::AAAA(AAAA(*address)))).collect()
}

/// All of the items, beginning with another one each turn.
fn turned<T>(items: &[T], turn: usize) -> impl Iterator<Item = &T> {
    let (before, from) = items.split_at(turn.checked_rem(items.len()).unwrap_or(0));
    from.iter().chain(before)
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL_SECONDS, data)
}

/// The SOA record of a zone.
fn authority(zone: &Name) -> Record {
    let (server, mailbox) = (below(zone, SERVER_LABEL), below(zone, MAILBOX_LABEL));
    let soa = SOA::new(server, mailbox, SERIAL, REFRESH_SECONDS, RETRY_SECONDS, EXPIRE_SECONDS, TTL_SECONDS);
    record(zone, RData::SOA(soa))
}

/// The name one label below a zone; the zone itself where there is no room for a label.
fn below(zone: &Name, label: &str) -> Name {
    zone.prepend_label(label).unwrap_or_else(|_| zone.clone())
}

// === impl Answer ===

impl Answer {
    fn empty() -> Self {
        Self {
            code: ResponseCode::NoError,
            authoritative: true,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }

    /// Not ours to answer.
    fn refused() -> Self {
        Self { code: ResponseCode::Refused, authoritative: false, ..Self::empty() }
    }

    /// There is no such record, or no such name (RFC 2308).
    fn none(code: ResponseCode, zone: &Name) -> Self {
        Self { code, authorities: vec![authority(zone)], ..Self::empty() }
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
