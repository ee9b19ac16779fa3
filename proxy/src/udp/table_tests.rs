//! The table does what a list that is searched from its beginning does.

use super::*;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const WIDE: Bounds = Bounds { service: 100, source: 100 };

fn key(source: u8, port: u16) -> Key {
    Key { client: SocketAddr::from(([10, 0, 0, source], port)), local: None }
}

/// Adds a session as a listener does: first those go that have to.
fn add(table: &mut Table<u16>, key: Key, now: Instant, bounds: Bounds) -> Vec<u16> {
    let mut gone = Vec::new();
    while let Some(place) = table.crowded(key.source(), bounds) {
        gone.push(table.remove(place).unwrap());
    }
    table.insert(key, now, key.client.port());
    gone
}

#[test]
fn a_session_expires_when_it_has_rested_long_enough_and_not_before() {
    let (mut table, start) = (Table::default(), Instant::now());
    add(&mut table, key(1, 1), start, WIDE);
    add(&mut table, key(1, 2), start + SECOND, WIDE);
    assert_eq!(table.next_expiry(30 * SECOND), Some(start + 30 * SECOND));
    assert_eq!(table.expired(start + 30 * SECOND - Duration::from_nanos(1), 30 * SECOND), None);
    let first = table.find(&key(1, 1)).unwrap();
    assert_eq!(table.expired(start + 30 * SECOND, 30 * SECOND), Some(first));

    table.touch(first, start + 2 * SECOND);
    assert_eq!(table.last_use(), Some(start + 2 * SECOND));
    let second = table.find(&key(1, 2)).unwrap();
    assert_eq!(table.expired(start + 31 * SECOND, 30 * SECOND), Some(second));
    assert_eq!(table.remove(second), Some(2));
    assert_eq!(table.expired(start + 31 * SECOND, 30 * SECOND), None);
    assert_eq!(table.expired(start + 32 * SECOND, 30 * SECOND), Some(first));
    assert_eq!(table.remove(first), Some(1));
    assert_eq!((table.len(), table.next_expiry(SECOND), table.last_use()), (0, None, None));
}

#[test]
fn a_source_at_its_bound_pays_for_its_own_sessions_and_all_pay_for_all() {
    let (mut table, now) = (Table::default(), Instant::now());
    let bounds = Bounds { service: 4, source: 2 };
    for (source, port, gone) in
        [(1, 1, vec![]), (2, 2, vec![]), (2, 3, vec![]), (2, 4, vec![2]), (3, 5, vec![]), (3, 6, vec![1])]
    {
        assert_eq!(add(&mut table, key(source, port), now, bounds), gone, "{source} {port}");
    }
    let used = table.find(&key(2, 3)).unwrap();
    table.touch(used, now);
    assert_eq!(add(&mut table, key(4, 7), now, bounds), [4], "3 has rested shorter");
}

#[test]
fn lower_bounds_take_effect_with_the_next_session() {
    let (mut table, now) = (Table::default(), Instant::now());
    (1..6).for_each(|port| assert!(add(&mut table, key(1, port), now, WIDE).is_empty()));
    assert_eq!(add(&mut table, key(1, 6), now, Bounds { service: 9, source: 2 }), [1, 2, 3, 4]);
}

#[test]
fn a_source_is_one_however_its_address_is_written() {
    let (mut table, now) = (Table::default(), Instant::now());
    let bounds = Bounds { service: 9, source: 1 };
    add(&mut table, key(1, 1), now, bounds);
    let mapped = Key { client: "[::ffff:10.0.0.1]:2".parse().unwrap(), local: None };
    assert_eq!(add(&mut table, mapped, now, bounds), [1]);
}

#[test]
fn a_ticket_never_means_a_later_session_in_the_same_place() {
    let (mut table, now) = (Table::default(), Instant::now());
    add(&mut table, key(1, 1), now, WIDE);
    let place = table.find(&key(1, 1)).unwrap();
    let ticket = table.ticket(place);
    assert_eq!(table.redeem(ticket), Some(place));
    table.remove(place);
    assert_eq!(table.redeem(ticket), None);
    add(&mut table, key(1, 1), now, WIDE);
    assert_eq!(table.find(&key(1, 1)), Some(place));
    assert_eq!(table.redeem(ticket), None);
}

#[test]
fn what_a_flood_took_is_given_back() {
    let (mut table, now) = (Table::default(), Instant::now());
    let wide = Bounds { service: usize::MAX, source: usize::MAX };
    (0..5000).for_each(|port| assert!(add(&mut table, key(1, port), now, wide).is_empty()));
    let ticket = table.ticket(table.oldest().unwrap());
    while let Some(place) = table.oldest() {
        table.remove(place);
    }
    assert_eq!((table.slots.capacity(), table.of_source.capacity()), (0, 0));
    add(&mut table, key(1, 1), now, wide);
    assert_eq!(table.redeem(ticket), None);
}

#[derive(Clone, Debug)]
enum Step {
    /// A datagram of a client: its session is used or made.
    Use(u8, u16),
    /// A session is taken out.
    Remove(u8, u16),
    /// Time passes, in seconds.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_u8..4, 1_u16..8).prop_map(|(source, port)| Step::Use(source, port)),
        1 => (1_u8..4, 1_u16..8).prop_map(|(source, port)| Step::Remove(source, port)),
        2 => (0_u64..6).prop_map(Step::Wait),
    ]
}

/// The one that has rested longest comes first.
type Model = Vec<(Key, Instant)>;

fn make_room(model: &mut Model, source: IpAddr, bounds: Bounds) {
    loop {
        let own = model.iter().filter(|(key, _)| key.source() == source).count();
        let oldest = if own >= bounds.source {
            model.iter().position(|(key, _)| key.source() == source)
        } else {
            (model.len() >= bounds.service).then_some(0)
        };
        let Some(oldest) = oldest else { return };
        model.remove(oldest);
    }
}

proptest! {
    #[test]
    fn it_is_a_list_in_the_order_of_use(
        steps in prop::collection::vec(step(), 0..200),
        service in 1_usize..12,
        source in 1_usize..6,
        idle in 1_u64..12,
    ) {
        let (bounds, idle) = (Bounds { service, source }, Duration::from_secs(idle));
        let (mut table, mut model, mut now) = (Table::default(), Model::new(), Instant::now());
        for step in steps {
            match step {
                Step::Use(source, port) => {
                    let key = key(source, port);
                    match model.iter().position(|(known, _)| *known == key) {
                        Some(index) => { model.remove(index); }
                        None => make_room(&mut model, key.source(), bounds),
                    }
                    model.push((key, now));
                    match table.find(&key) {
                        Some(place) => table.touch(place, now),
                        None => { add(&mut table, key, now, bounds); }
                    }
                }
                Step::Remove(source, port) => {
                    let key = key(source, port);
                    model.retain(|(known, _)| *known != key);
                    if let Some(place) = table.find(&key) {
                        prop_assert_eq!(table.remove(place), Some(port));
                    }
                }
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
            }
            while let Some(place) = table.expired(now, idle) {
                table.remove(place);
            }
            model.retain(|(_, used)| now - *used < idle);
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.oldest().map(|place| table.key(place)), model.first().map(|(key, _)| *key));
            prop_assert_eq!(table.last_use(), model.last().map(|(_, used)| *used));
            prop_assert!(model.iter().all(|(key, _)| table.find(key).is_some()));
        }
    }
}
