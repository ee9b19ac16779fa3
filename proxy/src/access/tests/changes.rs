//! What stays and what ends when one plan follows another.

use super::*;
use crate::{plan::SharedPlan, route::Stay};

#[test]
fn what_did_not_change_is_the_same_gate() {
    let to = || Grant { http: Some(vec![path("/[ac]")]), ..grant(account("web"), &[account("one")]) };
    let sources = || vec![pod(1, "one", &[]), pod(11, "web", &[])];
    let first = plan(configuration(vec![to()], sources(), port(Transport::Tcp, &[(11, 80)])), None);
    let more = [sources(), vec![pod(20, "else", &[])]].concat();
    let second = plan(configuration(vec![to()], more, port(Transport::Tcp, &[(11, 80)])), Some(&first));
    let route = |plan: &Plan| Arc::clone(&plan.routes()[&10_000]);
    assert!(Arc::ptr_eq(&route(&first), &route(&second)), "another pod's coming is nothing to it");
    let moved = vec![pod(1, "one", &[]), pod(11, "else", &[])];
    let third = plan(configuration(vec![to()], moved, port(Transport::Tcp, &[(11, 80)])), Some(&second));
    assert!(!Arc::ptr_eq(&route(&second), &route(&third)));
    assert_eq!((open(&second, 1, GET), open(&third, 1, GET)), (Some(vec![11]), None));
}

#[test]
fn what_goes_on_ends_with_its_grant() {
    let to = |tcp: &[u16]| Grant { tcp: Some(tcp.to_vec()), ..grant(account("web"), &[account("one")]) };
    let sources = || vec![pod(1, "one", &[]), pod(11, "web", &[])];
    let with = |grants, endpoints: &[(u8, u16)]| {
        plan(configuration(grants, sources(), port(Transport::Tcp, endpoints)), None)
    };
    let first = with(vec![to(&[])], &[(11, 80)]);
    let target = Arc::clone(&first.routes()[&10_000].target);
    let stay = Stay::raw(&first, target, SocketAddr::new(ip(11), 80), ip(1)).unwrap();
    let granted = |plan: &Plan| stay.is_granted(plan, Asked::Raw);
    assert!(granted(&first));
    assert!(!granted(&with(vec![], &[(11, 80)])));
    assert!(granted(&with(vec![to(&[])], &[])), "a pod that left its Service finishes what it has");
    assert!(!granted(&with(vec![to(&[81])], &[])));
    let mut stranger = configuration(vec![to(&[])], sources(), port(Transport::Tcp, &[(11, 80)]));
    stranger.sources[0] = pod(1, "two", &[]);
    assert!(!granted(&plan(stranger, None)), "the address is another's now");
    let mut free = configuration(vec![], sources(), port(Transport::Tcp, &[(11, 80)]));
    free.access = None;
    assert!(granted(&plan(free, None)));
}

#[test]
fn what_is_held_is_cut_by_the_plan_that_takes_its_grant() {
    let to = Grant { tcp: Some(vec![]), ..grant(account("web"), &[account("one")]) };
    let sources = vec![pod(1, "one", &[]), pod(11, "web", &[])];
    let first =
        Arc::new(plan(configuration(vec![to], sources.clone(), port(Transport::Tcp, &[(11, 80)])), None));
    let second = Arc::new(plan(configuration(vec![], sources, port(Transport::Tcp, &[(11, 80)])), None));
    let shared = SharedPlan::default();
    let held = Held::default();
    let target = Arc::clone(&first.routes()[&10_000].target);
    let stay = Stay::raw(&first, target, SocketAddr::new(ip(11), 80), ip(1)).unwrap();
    let hold = |shared: &SharedPlan| {
        let stay = stay.clone();
        held.hold(shared, Box::new(move |plan| stay.is_granted(plan, Asked::Raw)))
    };
    assert!(hold(&shared).is_none(), "there is no plan");
    shared.store(Some(Arc::clone(&first)));
    let first_hold = hold(&shared).unwrap();
    held.look(&first);
    assert!(!first_hold.cut.is_cancelled());
    shared.store(Some(Arc::clone(&second)));
    held.look(&second);
    assert!(first_hold.cut.is_cancelled());
    // It was let through by the first plan, and the second came before it was held.
    assert!(hold(&shared).unwrap().cut.is_cancelled());
}
