//! Gives every meshed port a proxy port of its own.
//!
//! In: who wants ports, the record of who has which, and the range. Out: who gets which. The record is what the shadow
//! Services' target ports say, and nothing else: who has a port keeps it, and a new one gets the port that its name
//! hashes to, or the next free one after that. So a Service that comes back gets its old port again, and a port just
//! freed is seldom given to another Service while some proxy still knows it as the first one's.

use crate::settings::PortRange;
use std::collections::{BTreeMap, HashSet};
use weft_contract::{ServiceKey, Transport, fingerprint};

/// A port of one Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortKey {
    /// Its number on the Service.
    pub port: u16,
    /// Its transport on the Service.
    pub transport: Transport,
}

/// The proxy port of each port of one Service.
pub type Record = BTreeMap<PortKey, u16>;

/// Who has which proxy ports.
pub type Allotment = BTreeMap<ServiceKey, Record>;

/// Gives ports to all of `wanted`, in that order. A Service gets all its ports or none: those that the range cannot hold
/// are absent from the result.
#[must_use]
pub fn allot(wanted: Vec<(ServiceKey, Vec<PortKey>)>, record: &Allotment, range: PortRange) -> Allotment {
    let mut taken = HashSet::new();
    let mut kept = Allotment::new();
    for (service, ports) in &wanted {
        kept.insert(service.clone(), keep(ports, record.get(service), range, &mut taken));
    }
    let mut allotment = Allotment::new();
    for (service, ports) in wanted {
        let mut own = kept.remove(&service).unwrap_or_default();
        let missing: Vec<_> = ports.into_iter().filter(|port| !own.contains_key(port)).collect();
        let room = usize::from(range.last - range.first) + 1 - taken.len();
        if missing.len() > room {
            // All or nothing: what it had goes back to the others.
            own.values().for_each(|port| {
                taken.remove(port);
            });
            continue;
        }
        for port in missing {
            own.extend(free(&service, port, range, &mut taken).map(|number| (port, number)));
        }
        allotment.insert(service, own);
    }
    allotment
}

/// The ports that a Service has by the record and still wants, inside the range, and nobody's before it.
fn keep(ports: &[PortKey], record: Option<&Record>, range: PortRange, taken: &mut HashSet<u16>) -> Record {
    let Some(record) = record else { return Record::new() };
    ports
        .iter()
        .filter_map(|port| record.get(port).map(|number| (*port, *number)))
        .filter(|(_, number)| (range.first..=range.last).contains(number) && taken.insert(*number))
        .collect()
}

/// The first free port from the one that the name hashes to.
fn free(service: &ServiceKey, port: PortKey, range: PortRange, taken: &mut HashSet<u16>) -> Option<u16> {
    let size = u32::from(range.last - range.first) + 1;
    let name = format!("{service}:{}/{}", port.port, port.transport.kubernetes());
    let hash = u32::from_str_radix(fingerprint(name.as_bytes()).get(..8)?, 16).ok()?;
    (0..size)
        .filter_map(|step| u16::try_from((hash % size + step) % size).ok())
        .map(|offset| range.first + offset)
        .find(|number| taken.insert(*number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: PortRange = PortRange { first: 10_000, last: 10_009 };

    fn service(number: u8) -> ServiceKey {
        ServiceKey::new("namespace", format!("service-{number}"))
    }

    fn ports(count: u16) -> Vec<PortKey> {
        (1..=count).map(|port| PortKey { port, transport: Transport::Tcp }).collect()
    }

    fn numbers(allotment: &Allotment) -> Vec<u16> {
        allotment.values().flat_map(BTreeMap::values).copied().collect()
    }

    #[test]
    fn a_service_left_out_is_served_as_soon_as_ports_free() {
        let full: Vec<_> = (0..6).map(|number| (service(number), ports(2))).collect();
        let first = allot(full.clone(), &Allotment::new(), SMALL);
        assert_eq!(first.len(), 5);
        assert!(!first.contains_key(&service(5)), "the last in order is left out");
        let second = allot(full[1..].to_vec(), &first, SMALL);
        assert!(second.contains_key(&service(5)));
        assert!((1..5).all(|number| second[&service(number)] == first[&service(number)]));
    }

    #[test]
    fn two_records_of_one_port_are_told_apart() {
        let record: Allotment = (0..2)
            .map(|number| (service(number), ports(1).into_iter().map(|port| (port, 10_004)).collect()))
            .collect();
        let allotment = allot((0..2).map(|number| (service(number), ports(1))).collect(), &record, SMALL);
        assert_eq!(numbers(&allotment)[0], 10_004, "the first in order keeps it");
        assert_ne!(numbers(&allotment)[1], 10_004);
    }

    #[test]
    fn a_service_too_large_for_what_is_left_does_not_stop_smaller_ones() {
        let wanted = vec![(service(0), ports(11)), (service(1), ports(10))];
        let allotment = allot(wanted, &Allotment::new(), SMALL);
        assert_eq!(allotment.keys().collect::<Vec<_>>(), [&service(1)]);
    }

    #[test]
    fn a_record_outside_the_range_is_given_a_port_inside() {
        let record = [(service(0), [(ports(1)[0], 9_999)].into())].into();
        assert!(numbers(&allot(vec![(service(0), ports(1))], &record, SMALL))[0] >= SMALL.first);
    }

    proptest! {
        #[test]
        fn ports_are_unique_in_range_and_stable(
            before in prop::collection::btree_map(0_u8..30, 1_u16..4, 0..20),
            after in prop::collection::btree_map(0_u8..30, 1_u16..4, 0..20),
        ) {
            let wanted = |sizes: &BTreeMap<u8, u16>| -> Vec<_> {
                sizes.iter().map(|(number, count)| (service(*number), ports(*count))).collect()
            };
            let range = PortRange { first: 20_000, last: 20_063 };
            let first = allot(wanted(&before), &Allotment::new(), range);
            let second = allot(wanted(&after), &first, range);
            let all = numbers(&second);
            prop_assert!(all.iter().all(|number| (range.first..=range.last).contains(number)));
            prop_assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
            // Whoever had a port, and still wants it, has it still.
            for (service, record) in &second {
                for (port, number) in record {
                    if let Some(had) = first.get(service).and_then(|record| record.get(port)) {
                        prop_assert_eq!(had, number);
                    }
                }
            }
            // A restart in between changes nothing.
            prop_assert_eq!(allot(wanted(&after), &second, range), second);
        }
    }
}
