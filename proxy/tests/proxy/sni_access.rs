//! TLS by server names together with access control and splits: a route leads to its Service as if that were called by name.

use crate::common::{
    Mesh,
    access::{all, configuration, controlled, requests},
    backend::Backend,
    dead, free_port,
    policy::{connect_from, try_connect_from},
    server_names::{behind, gate},
    tcp, within,
};
use crate::fixture::asking;
use std::{collections::BTreeMap, io::ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_contract::{NodeConfiguration, Service, ServiceKey, Split, SplitBackend};

/// Clients are 7 and 8; each backend is a pod of its own name.
const PODS: [(u8, &str); 5] = [(1, "own"), (7, "front"), (8, "back"), (11, "vault"), (12, "canary")];

async fn mesh(configuration: &NodeConfiguration) -> Mesh {
    let mut mesh = Mesh::start(tempfile::tempdir().unwrap());
    mesh.apply_configuration(configuration).await;
    mesh
}

/// A pod that answers the first byte with its name.
async fn named(last_byte: u8, name: &'static str) -> Backend {
    Backend::connections_at(last_byte, move |mut stream, _, _| async move {
        let mut first = [0; 1];
        if stream.read_exact(&mut first).await.is_ok() {
            let _ = stream.write_all(name.as_bytes()).await; // the other side may reset it
        }
    })
    .await
}

fn split(mut service: Service, backends: &[(&str, u32)]) -> Service {
    let backend = |(name, weight): &(&str, u32)| SplitBackend {
        service: ServiceKey::new("shop", *name),
        weight: *weight,
        ports: vec![80],
    };
    let backends = backends.iter().map(backend).collect();
    service.split = Some(Split { name: "split".into(), matches: None, backends, sticky: None });
    service
}

/// Who answers a client that asks for this name, or how it was refused.
async fn ask(client: u8, port: u16, name: &str) -> Result<String, ErrorKind> {
    let mut stream = try_connect_from(client, port).await.map_err(|error| error.kind())?;
    let _ = within(stream.write_all(&asking(name).bytes())).await; // it may be reset already
    let mut answer = [0; 16];
    let length = within(stream.read(&mut answer)).await.map_err(|error| error.kind())?;
    Ok(String::from_utf8_lossy(&answer[..length]).into())
}

#[tokio::test]
async fn who_may_reach_the_service_with_the_routes_may_not_reach_another_by_them() {
    let (own, vault, port) = (named(1, "own").await, named(11, "vault").await, free_port());
    let services = || {
        vec![
            gate(port, own.address, &[("vault.example", "vault"), ("own.example", "gate")]),
            behind("vault", &[vault.address]),
        ]
    };
    let http = requests("front", "vault", &[], "/");
    let mut mesh =
        mesh(&controlled(services(), &PODS, vec![all("front", "own"), all("back", "vault"), http])).await;
    let reset = Err(ErrorKind::ConnectionReset);
    assert_eq!(ask(7, port, "own.example").await, Ok("own".into()));
    assert_eq!(ask(7, port, "vault.example").await, reset, "requests are granted, and these are bytes");
    assert_eq!(ask(9, port, "vault.example").await, reset, "it is nobody");
    assert_eq!((own.opened(), vault.opened()), (1, 0), "the endpoint hears nothing of it");
    assert_eq!(ask(8, port, "vault.example").await, Ok("vault".into()));
    assert_eq!(ask(8, port, "own.example").await, reset, "and the other way round");
    // What is counted stands with the Service that was called, as it does for a split.
    mesh.shows("denied_total", "gate", "mode=\"enforce\"", 3).await;
    mesh.refused("gate", "denied", 3).await;

    // A connection that came before the grant went.
    let mut open = connect_from(8, port).await;
    within(open.write_all(&asking("vault.example").bytes()[..9])).await.unwrap();
    mesh.apply_configuration(&controlled(services(), &PODS, vec![all("back", "own")])).await;
    within(open.write_all(&asking("vault.example").bytes()[9..])).await.unwrap();
    let read = within(open.read(&mut [0; 16])).await.map_err(|error| error.kind());
    assert_eq!(read, Err(ErrorKind::ConnectionReset), "the plan in force when the name is known decides");
    assert_eq!(vault.opened(), 1);
}

#[tokio::test]
async fn only_the_pods_that_are_granted_get_what_a_route_leads_to() {
    let (vault, canary, port) = (named(11, "vault").await, named(12, "canary").await, free_port());
    let services =
        vec![gate(port, dead(), &[("a.example", "both")]), behind("both", &[vault.address, canary.address])];
    let _mesh = mesh(&controlled(services, &PODS, vec![all("front", "canary")])).await;
    for _ in 0..20 {
        assert_eq!(ask(7, port, "a.example").await, Ok("canary".into()));
    }
    assert_eq!(vault.opened(), 0);
}

/// Who answers how often.
async fn counts(port: u16, name: &str, times: u32) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        *counts.entry(ask(7, port, name).await.unwrap()).or_insert(0) += 1;
    }
    counts
}

#[tokio::test]
async fn a_route_to_what_is_split_is_split_and_one_past_a_split_is_not() {
    let backends = [named(1, "own").await, named(11, "vault").await, named(12, "canary").await];
    let [own, vault, canary] = backends.each_ref().map(|backend| backend.address);
    let (port, other) = (free_port(), free_port());
    // The Service with the routes is split, and so is one that a route leads to.
    let hosts = [("split.example", "split"), ("canary.example", "canary"), ("*", "gate")];
    let services = vec![
        split(gate(port, own, &hosts), &[("vault", 1)]),
        split(behind("split", &[dead()]), &[("vault", 3), ("canary", 1)]),
        behind("vault", &[vault]),
        behind("canary", &[canary]),
        // Its split leads to a Service with routes, which are not that side's endpoints.
        split(tcp("entry", other, &[dead()]), &[("gate", 1)]),
    ];
    let mut mesh = mesh(&configuration(services.clone(), &PODS)).await;
    let found = counts(port, "split.example", 20).await;
    assert!((14..=16).contains(&found["vault"]) && found.len() == 2, "{found:?}");
    assert_eq!(counts(port, "canary.example", 4).await, [("canary".to_owned(), 4)].into());
    assert_eq!(counts(port, "gate.example", 4).await, [("vault".to_owned(), 4)].into(), "by its own split");
    assert_eq!(counts(other, "canary.example", 4).await, [("own".to_owned(), 4)].into());

    // With access control the rules of the side that is chosen decide.
    mesh.apply_configuration(&controlled(services, &PODS, vec![all("front", "canary")])).await;
    let before = backends[1].opened();
    let mut outcomes = BTreeMap::new();
    for _ in 0..20 {
        let outcome = ask(7, port, "split.example").await.unwrap_or_else(|error| error.to_string());
        *outcomes.entry(outcome).or_insert(0) += 1;
    }
    assert!((4..=6).contains(&outcomes["canary"]) && outcomes.len() == 2, "{outcomes:?}");
    assert_eq!(ask(7, port, "gate.example").await, Err(ErrorKind::ConnectionReset));
    assert_eq!(backends[1].opened(), before);
}
