//! `MeshReady` is said only after proxies confirmed, and a restart of a proxy is not worth a word.

use super::*;
use crate::{
    finding::{About, Kind},
    topology::Topology,
};
use tokio::time::advance;
use weft_contract::{Listener, Policy, Port, Protocol, Service, Transport, policy::Scheme};

fn current(how: u64) -> Current {
    let key = ServiceKey::new("shop", "web");
    let about = About { kind: Kind::Service, namespace: "shop".into(), name: "web".into(), uid: "1".into() };
    let port = Port {
        name: None,
        port: 80,
        transport: Transport::Tcp,
        listener: Some(Listener { port: 10_000, protocol: Protocol::Http }),
        scheme: Scheme::Http,
        endpoints: Vec::new(),
        target_name: None,
        sni_routes: Vec::new(),
    };
    let topology = Topology {
        services: Arc::new(vec![Service {
            key: key.clone(),
            addresses: Vec::new(),
            ports: vec![port],
            policy: Policy::default(),
            split: None,
        }]),
        about: [(key.clone(), about)].into(),
        ..Topology::default()
    };
    Current { topology: Arc::new(topology), served: Arc::new([(key, how)].into()) }
}

fn said(readiness: &mut Readiness, current: &Current, proxies: &[Option<Arc<Served>>]) -> Option<String> {
    let findings = readiness.observe(Instant::now(), &Serving { zone: "mesh", current, proxies });
    findings.into_iter().next().map(|finding| finding.note)
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_before_every_proxy_has_confirmed_or_patience_ends() {
    let (mut readiness, current) = (Readiness::default(), current(1));
    let one = [Some(Arc::clone(&current.served)), None];
    assert_eq!(said(&mut readiness, &current, &[None, None]), None);
    assert_eq!(said(&mut readiness, &current, &one), None);
    advance(PATIENCE).await;
    assert_eq!(
        said(&mut readiness, &current, &one).unwrap(),
        "web.shop.mesh, port 80 (http): served by 1 of 2 node proxies."
    );
    let both = [Some(Arc::clone(&current.served)), Some(Arc::clone(&current.served))];
    assert!(said(&mut readiness, &current, &both).unwrap().contains("2 of 2"), "good news at once");
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_a_proxy_changes_nothing_that_is_said() {
    let (mut readiness, current) = (Readiness::default(), current(1));
    let both = [Some(Arc::clone(&current.served)), Some(Arc::clone(&current.served))];
    let before = said(&mut readiness, &current, &both);
    assert_eq!(said(&mut readiness, &current, &[Some(Arc::clone(&current.served)), None]), before);
    advance(PATIENCE / 2).await;
    assert_eq!(said(&mut readiness, &current, &both), before);
    advance(PATIENCE).await;
    assert_eq!(said(&mut readiness, &current, &both), before);
    assert!(!readiness.is_waiting());
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_serves_the_service_as_it_was_has_not_confirmed() {
    let (mut readiness, old, new) = (Readiness::default(), current(1), current(2));
    assert_eq!(said(&mut readiness, &new, &[Some(old.served)]), None);
    assert!(said(&mut readiness, &new, &[Some(Arc::clone(&new.served))]).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_no_proxy_serves_any_more_is_no_longer_said_to_be_ready() {
    let (mut readiness, current) = (Readiness::default(), current(1));
    said(&mut readiness, &current, &[Some(Arc::clone(&current.served))]).unwrap();
    said(&mut readiness, &current, &[None]).unwrap();
    advance(PATIENCE).await;
    assert_eq!(said(&mut readiness, &current, &[None]), None);
}
