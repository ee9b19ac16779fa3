//! What few Services need is looked at once one asks for it, and then is part of the topology.

use super::*;
use crate::{
    observe::{Carriers, Stores, authorities, callers::Callers, smi::SmiStore},
    testing::{FakeApi, settings},
};
use serde_json::json;
use std::collections::BTreeSet;
use tokio::task::JoinSet;
use weft_contract::Policy;

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

fn cluster(annotations: serde_json::Value) -> FakeApi {
    let api = FakeApi::default();
    api.put(
        "/api/v1/services/web",
        json!({
            "metadata": {"namespace": "shop", "name": "web", "uid": "u", "annotations": annotations},
            "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP"}]},
        }),
    );
    api.put(
        "/api/v1/pods/front",
        json!({
            "metadata": {"namespace": "shop", "name": "front"},
            "spec": {"containers": [], "serviceAccountName": "front"},
            "status": {"phase": "Running", "podIP": "10.1.0.5"},
        }),
    );
    api.put(
        "/api/v1/namespaces/shop/configmaps/kube-root-ca.crt",
        json!({"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": PEM}}),
    );
    api
}

/// Runs the middle on a cluster until `enough`; returns every topology that was seen in force.
async fn run_until(api: &FakeApi, enough: impl Fn(&Topology) -> bool) -> Vec<Arc<Topology>> {
    let (client, changes, mut tasks) = (api.client().await, Changes::default(), JoinSet::new());
    let stores = Stores::watch(&client, "weft", &changes, &mut tasks);
    stores.wait().await.unwrap();
    let (wanted, asked) = watch::channel(BTreeSet::new());
    let (read, authorities) = watch::channel(Arc::default());
    tasks.spawn(authorities::run(client.clone(), asked, read, Arc::clone(&changes.topology)));
    let callers = Callers::prepare(&client, false, &changes.topology, &mut tasks);
    let smi = SmiStore::watch(&client, false, &changes.topology, &mut tasks);
    smi.wait().await;
    let (_carriers, carriers) = watch::channel(Carriers::default());
    let (current, mut in_force) = watch::channel(None);
    let (nodes, _nodes) = mpsc::channel(1);
    let (reporter, _messages) = Reporter::channel();
    let observed = Observed { stores, callers, smi, wanted, authorities, carriers };
    let middle = Middle { settings: settings(&[]), observed, changes, current, nodes, reporter };
    tasks.spawn(middle.run());
    let mut seen = Vec::new();
    loop {
        in_force.changed().await.unwrap();
        let topology =
            in_force.borrow_and_update().as_ref().map(|current: &Current| Arc::clone(&current.topology));
        let Some(topology) = topology else { continue };
        seen.push(Arc::clone(&topology));
        if enough(&topology) {
            return seen;
        }
    }
}

#[tokio::test]
async fn callers_are_there_from_the_first_topology_on_and_certificates_follow() {
    let api = cluster(json!({
        "weft.mesh/scheme": "https",
        "weft.mesh/ratelimit-average": "5",
        "weft.mesh/ratelimit-by": "service-account",
    }));
    let verified = |topology: &Topology| topology.services[0].policy.tls.ca.as_deref() == Some(PEM);
    let seen = run_until(&api, verified).await;
    assert!(
        seen.iter().all(|topology| topology.sources.len() == 1),
        "no proxy is told of an unknown caller first"
    );
}

#[tokio::test]
async fn a_service_that_asks_for_nothing_has_nothing_looked_at() {
    let seen = run_until(&cluster(json!({})), |_| true).await;
    assert_eq!(seen[0].services[0].policy, Policy::default());
    assert!(seen[0].sources.is_empty() && seen[0].authorities.is_empty());
}
