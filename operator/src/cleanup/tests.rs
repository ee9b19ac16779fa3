use super::*;
use crate::{
    dns::{DnsSettings, station::Station},
    report::Reporter,
    testing::{FakeApi, configmap_path, kubeadm},
};
use serde_json::{Value, json};

const COREFILE: &str = ".:53 {\n    errors\n    reload\n}";
const WEFT: &str = "/api/v1/namespaces/weft";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/weft/leases/weft-operator";
const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/kube-system/deployments/coredns";

/// A cluster in which the mesh is at work.
async fn meshed(corefile: &str) -> FakeApi {
    let api = kubeadm(corefile);
    let settings = DnsSettings { namespace: "weft".into(), zones: vec!["mesh".into()], manage: true };
    let (reporter, _messages) = Reporter::channel();
    let mut station = Station::new(Cluster::new(api.client().await, "weft"), settings, reporter);
    for _ in 0..3 {
        station.look(Instant::now()).await.unwrap();
    }
    assert!(api.text("coredns", "Corefile").unwrap().contains("mesh:53"));
    let labelled =
        |name: &str, key: &str, value: &str| json!({"metadata": {"name": name, "labels": {key: value}}});
    api.put(&format!("{WEFT}/services/weft-1"), labelled("weft-1", SHADOW_LABEL, SHADOW_VALUE));
    api.put(&format!("{WEFT}/services/other"), labelled("other", SHADOW_LABEL, "no"));
    api.put(&format!("{WEFT}/configmaps/weft-node-a"), labelled("weft-node-a", MANAGED_BY_LABEL, MANAGED_BY));
    api.put(&format!("{WEFT}/configmaps/other"), labelled("other", MANAGED_BY_LABEL, "Helm"));
    api.put(LEASE, lease("weft-operator-1"));
    for (name, manager) in [("weft-web", MANAGED_BY), ("other", "Helm")] {
        let mut policy = labelled(name, MANAGED_BY_LABEL, manager);
        policy["metadata"]["namespace"] = json!("shop");
        // Once as it is listed, once as it is deleted; the server of these tests keeps no account of namespaces.
        api.put(&format!("/apis/networking.k8s.io/v1/networkpolicies/{name}"), policy.clone());
        api.put(&format!("{POLICIES}/{name}"), policy);
    }
    api
}

fn lease(holder: &str) -> Value {
    json!({"metadata": {"name": "weft-operator"}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15}})
}

fn operator_pod(phase: &str) -> Value {
    let labels = json!({NAME_LABEL: APPLICATION, COMPONENT_LABEL: OPERATOR_COMPONENT});
    json!({"metadata": {"name": "weft-operator-1", "labels": labels}, "status": {"phase": phase}})
}

fn is_clean(api: &FakeApi, corefile: &str) {
    assert_eq!(api.text("coredns", "Corefile").as_deref(), Some(corefile));
    assert_eq!(api.get(LEASE), None);
    assert_eq!(api.get(&format!("{WEFT}/services/weft-1")), None);
    assert_eq!(api.get(&format!("{WEFT}/configmaps/weft-node-a")), None);
    assert_eq!(api.get(&format!("{POLICIES}/weft-web")), None);
    assert!(api.get(&format!("{POLICIES}/other")).is_some());
    assert!(api.get(&format!("{WEFT}/services/other")).is_some());
    assert!(api.get(&format!("{WEFT}/configmaps/other")).is_some());
}

#[tokio::test(start_paused = true)]
async fn all_goes_and_a_second_time_does_no_harm() {
    let api = meshed(COREFILE).await;
    api.put(&format!("{WEFT}/pods/weft-operator-1"), operator_pod("Succeeded"));
    run(api.client().await, "weft", &[]).await.unwrap();
    is_clean(&api, COREFILE);
    api.writes();
    run(api.client().await, "weft", &[]).await.unwrap();
    is_clean(&api, COREFILE);
    assert_eq!(api.writes(), [format!("POST {}", LEASE), format!("DELETE {LEASE}")]);
}

#[tokio::test(start_paused = true)]
async fn it_works_where_nothing_was_ever_made() {
    run(FakeApi::default().client().await, "weft", &[]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dead_operator_is_waited_for_a_live_one_is_not_raced() {
    let api = meshed(COREFILE).await;
    api.put(&format!("{WEFT}/pods/weft-operator-1"), operator_pod("Running"));
    let begun = Instant::now();
    run(api.client().await, "weft", &[]).await.unwrap();
    assert!(begun.elapsed() >= PODS_GONE + Duration::from_secs(15), "its Lease ran out first");
    is_clean(&api, COREFILE);

    let api = meshed(COREFILE).await;
    let before = api.text("coredns", "Corefile");
    let operator = api.clone();
    let renews = tokio::spawn(async move {
        loop {
            operator.patch(LEASE, &json!({"spec": {"holderIdentity": "weft-operator-1"}}));
            sleep(Duration::from_secs(2)).await;
        }
    });
    let result = run(api.client().await, "weft", &[]).await;
    renews.abort();
    assert!(matches!(result, Err(CleanupError::OperatorRuns)));
    assert_eq!(api.text("coredns", "Corefile"), before);
    assert!(api.get(&format!("{WEFT}/services/weft-1")).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_others_wrote_meanwhile_stays_and_lost_races_are_run_again() {
    let api = meshed(COREFILE).await;
    let text = api.text("coredns", "Corefile").unwrap() + "shop:53 {\n}\n";
    api.race(&configmap_path("coredns"), json!({"data": {"Corefile": text}}));
    run(api.client().await, "weft", &[]).await.unwrap();
    is_clean(&api, &format!("{COREFILE}\nshop:53 {{\n}}\n"));
}

#[tokio::test(start_paused = true)]
async fn with_coredns_gone_the_usual_names_are_tried_and_those_that_are_given() {
    let without_reload = COREFILE.replace("    reload\n", "");
    let api = meshed(&without_reload).await;
    let marked = &api.get(DEPLOYMENT).unwrap()["spec"]["template"]["metadata"]["annotations"];
    assert_ne!(*marked, json!({}));
    let text = api.text("coredns", "Corefile").unwrap();
    api.put(&configmap_path("odd"), json!({"metadata": {"name": "odd"}, "data": {"Corefile": text}}));
    api.take("/api/v1/namespaces/kube-system/services/kube-dns");
    api.forbid(&configmap_path("kube-dns"));
    run(api.client().await, "weft", &["odd".into()]).await.unwrap();
    is_clean(&api, &without_reload);
    assert_eq!(api.text("odd", "Corefile"), Some(without_reload));
    let unmarked = &api.get(DEPLOYMENT).unwrap()["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(*unmarked, json!({}), "it starts anew, as it was");
}

#[tokio::test(start_paused = true)]
async fn one_failure_does_not_stop_the_rest_and_is_told() {
    let api = meshed(COREFILE).await;
    api.forbid(&configmap_path("coredns"));
    api.forbid(&format!("{WEFT}/services/weft-1"));
    let told = run(api.client().await, "weft", &[]).await.unwrap_err().to_string();
    assert!(told.contains("kube-system/coredns") && told.contains("Service weft/weft-1"), "{told}");
    assert_eq!(api.get(&format!("{WEFT}/configmaps/weft-node-a")), None);
    assert_eq!(api.get(LEASE), None);
}

#[tokio::test(start_paused = true)]
async fn policies_alone_go_while_an_operator_runs() {
    let api = meshed(COREFILE).await;
    policies(api.client().await).await.unwrap();
    assert_eq!(api.writes().last(), Some(&format!("DELETE {POLICIES}/weft-web")));
    assert!(api.get(LEASE).is_some() && api.get(&format!("{WEFT}/services/weft-1")).is_some());
}
