//! Kinds come, change their version and go; what there is is known before anything is told.

use super::*;
use crate::testing::FakeApi;
use serde_json::{Value, json};

const GROUP: &str = "/apis/split.smi-spec.io";

/// Lets the API server serve TrafficSplits in these versions, and one of them in each.
fn serve(api: &FakeApi, versions: &[&str]) {
    let listed = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("split.smi-spec.io/{version}"), "version": version}));
    let listed: Vec<Value> = listed.collect();
    let preferred = json!({"groupVersion": "split.smi-spec.io/v1alpha2", "version": "v1alpha2"});
    let group = json!({"name": "split.smi-spec.io", "versions": listed, "preferredVersion": preferred});
    let groups = if versions.is_empty() { json!([]) } else { json!([group]) };
    for version in versions {
        let resource = |name: &str| json!({"name": name, "singularName": "", "namespaced": true, "kind": "TrafficSplit", "verbs": []});
        let resources = [resource("trafficsplits/status"), resource("trafficsplits")];
        api.put(
            &format!("{GROUP}/{version}"),
            json!({"groupVersion": format!("split.smi-spec.io/{version}"), "resources": resources}),
        );
    }
    // Last, for it is what the others are found by.
    api.put("/apis", json!({"kind": "APIGroupList", "groups": groups}));
}

fn put(api: &FakeApi, version: &str, name: &str, spec: &Value) {
    let object = json!({
        "apiVersion": format!("split.smi-spec.io/{version}"), "kind": "TrafficSplit",
        "metadata": {"namespace": "shop", "name": name, "uid": name}, "spec": spec,
    });
    api.put(&format!("{GROUP}/{version}/trafficsplits/{name}"), object);
}

async fn watched(api: &FakeApi) -> (SmiStore, Arc<Notify>, JoinSet<()>) {
    let (changes, mut tasks) = (Arc::new(Notify::new()), JoinSet::new());
    let store = SmiStore::watch(&api.client().await, false, &changes, &mut tasks);
    store.wait().await;
    (store, changes, tasks)
}

/// Each object's name with its version, or with a cross where it cannot be read.
fn shown(store: &SmiStore) -> Vec<String> {
    let shown = |object: Arc<Object>| match (&object.content, object.about.kind) {
        (Ok(_), crate::finding::Kind::Smi(_, version)) => {
            format!("{} {}", object.name(), version.kubernetes())
        }
        _ => format!("{} x", object.name()),
    };
    store.state().into_iter().map(shown).collect()
}

#[tokio::test]
async fn one_object_that_cannot_be_read_does_not_hide_the_others() {
    let api = FakeApi::default();
    serve(&api, &["v1alpha2"]);
    put(&api, "v1alpha2", "bad", &json!({"service": ["web"], "backends": 7}));
    put(&api, "v1alpha2", "good", &json!({"service": "web", "backends": [{"service": "a", "weight": 0.5}]}));
    let (store, _changes, _tasks) = watched(&api).await;
    assert_eq!(shown(&store), ["bad x", "good v1alpha2"]);
}

#[tokio::test]
async fn the_newest_version_is_read_whichever_is_preferred() {
    let api = FakeApi::default();
    serve(&api, &["v1alpha2", "v1alpha4", "v1alpha3", "v1beta1"]);
    put(&api, "v1alpha4", "it", &json!({"service": "web"}));
    let (store, _changes, _tasks) = watched(&api).await;
    assert_eq!(shown(&store), ["it v1alpha4"]);
}

#[tokio::test]
async fn a_cluster_without_any_is_known_to_have_none() {
    let (store, _changes, _tasks) = watched(&FakeApi::default()).await;
    assert!(store.state().is_empty());
}

#[tokio::test]
async fn kinds_come_change_and_go_without_a_restart() {
    let api = FakeApi::default();
    let (store, changes, _tasks) = watched(&api).await;
    tokio::time::pause();
    put(&api, "v1alpha2", "it", &json!({"service": "web"}));
    serve(&api, &["v1alpha2"]);
    changes.notified().await;
    assert_eq!(shown(&store), ["it v1alpha2"]);
    put(&api, "v1alpha3", "it", &json!({"service": "web"}));
    serve(&api, &["v1alpha2", "v1alpha3"]);
    while shown(&store) != ["it v1alpha3"] {
        assert_eq!(shown(&store), ["it v1alpha2"], "what was known holds until more is");
        changes.notified().await;
    }
    serve(&api, &[]);
    while !store.state().is_empty() {
        changes.notified().await;
    }
}

#[tokio::test]
async fn what_is_not_known_for_sure_is_not_taken_for_absent() {
    let api = FakeApi::default();
    serve(&api, &["v1alpha4"]);
    put(&api, "v1alpha4", "it", &json!({"service": "web"}));
    let (store, _changes, _tasks) = watched(&api).await;
    serve(&api, &[]);
    let kinds = [SmiKind::TrafficSplit];
    api.forbid("/readyz");
    assert_eq!(
        served(&api.client().await, &kinds).await.unwrap(),
        BTreeMap::new(),
        "who may not ask believes it"
    );
    api.refuse("/readyz", axum::http::StatusCode::INTERNAL_SERVER_ERROR);
    let error = served(&api.client().await, &kinds).await.unwrap_err();
    assert!(matches!(error, Unknown::NotReady), "{error}");
    api.forbid("/apis");
    assert!(matches!(served(&api.client().await, &kinds).await, Err(Unknown::Api(_))));
    assert_eq!(shown(&store), ["it v1alpha4"]);
}

#[tokio::test]
async fn without_the_right_to_see_a_kind_the_others_are_served() {
    let api = FakeApi::default();
    serve(&api, &["v1alpha4"]);
    api.forbid("/apis/split.smi-spec.io/v1alpha4/trafficsplits");
    let (store, _changes, _tasks) = watched(&api).await;
    assert!(store.state().is_empty());
}
