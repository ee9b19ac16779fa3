//! A small API server in memory, for tests: objects by path, merge patches, resource versions and label selectors; and
//! settings as from a command line.

use crate::smi::{Object, SmiKind, SmiVersion, decode};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

/// The server; clones share their objects.
#[derive(Clone, Default)]
pub(crate) struct FakeApi {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Value>,
    version: u64,
    writes: Vec<String>,
    refused: BTreeMap<String, StatusCode>,
    /// Changes that someone else makes just before the next write of a path.
    races: BTreeMap<String, Value>,
}

impl FakeApi {
    /// A client of the server, without timeouts, so that paused time does not cut its calls.
    pub(crate) async fn client(&self) -> Client {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let mut config = Config::new(format!("http://{address}").parse().unwrap());
        (config.connect_timeout, config.read_timeout, config.write_timeout) = (None, None, None);
        Client::try_from(config).unwrap()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Puts an object.
    pub(crate) fn put(&self, path: &str, object: Value) {
        let mut inner = self.lock();
        inner.put(path, object);
    }

    /// Changes an object as another client would.
    pub(crate) fn patch(&self, path: &str, patch: &Value) {
        let mut inner = self.lock();
        let mut object = inner.objects[path].clone();
        merge(&mut object, patch);
        inner.put(path, object);
    }

    /// Lets someone else change an object just before its next write.
    pub(crate) fn race(&self, path: &str, patch: Value) {
        self.lock().races.insert(path.to_owned(), patch);
    }

    /// Takes an object away.
    pub(crate) fn take(&self, path: &str) {
        self.lock().objects.remove(path);
    }

    /// An object.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.lock().objects.get(path).cloned()
    }

    /// The text of a ConfigMap's key in kube-system.
    pub(crate) fn text(&self, configmap: &str, key: &str) -> Option<String> {
        let object = self.get(&configmap_path(configmap))?;
        object["data"][key].as_str().map(str::to_owned)
    }

    /// Forbids a path.
    pub(crate) fn forbid(&self, path: &str) {
        self.refuse(path, StatusCode::FORBIDDEN);
    }

    /// Answers with an error at a path.
    pub(crate) fn refuse(&self, path: &str, code: StatusCode) {
        self.lock().refused.insert(path.to_owned(), code);
    }

    /// The writes since this was last asked.
    pub(crate) fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().writes)
    }
}

/// The path of a ConfigMap in kube-system.
pub(crate) fn configmap_path(name: &str) -> String {
    format!("/api/v1/namespaces/kube-system/configmaps/{name}")
}

/// The path of a pod in kube-system.
pub(crate) fn pod_path(name: &str) -> String {
    format!("/api/v1/namespaces/kube-system/pods/{name}")
}

/// A cluster as kubeadm makes it, with two pods of CoreDNS, and the Service of the mesh's DNS.
pub(crate) fn kubeadm(corefile: &str) -> FakeApi {
    let api = FakeApi::default();
    let kube_system = "/api/v1/namespaces/kube-system";
    let labels = json!({"k8s-app": "kube-dns"});
    api.put(
        &format!("{kube_system}/services/kube-dns"),
        json!({"metadata": {"name": "kube-dns", "labels": labels}, "spec": {"selector": labels, "clusterIP": "10.96.0.10"}}),
    );
    api.put(
        &configmap_path("coredns"),
        json!({"metadata": {"name": "coredns", "uid": "u"}, "data": {"Corefile": corefile}}),
    );
    for name in ["coredns-a", "coredns-b"] {
        api.put(&pod_path(name), pod(name));
    }
    api.put(
        "/apis/apps/v1/namespaces/kube-system/replicasets/coredns-1",
        json!({"metadata": {"name": "coredns-1", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": "coredns", "uid": "d", "controller": true}]}}),
    );
    api.put(
        "/apis/apps/v1/namespaces/kube-system/deployments/coredns",
        json!({"metadata": {"name": "coredns"}, "spec": {"selector": {}, "template": {"metadata": {}}}}),
    );
    api.put(
        "/api/v1/namespaces/weft/services/weft-dns",
        json!({"metadata": {"name": "weft-dns"}, "spec": {"clusterIP": "10.96.0.7"}}),
    );
    api
}

/// A ready pod of CoreDNS.
pub(crate) fn pod(name: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "uid": name, "labels": {"k8s-app": "kube-dns"}, "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "coredns-1", "uid": "r", "controller": true}]},
        "spec": {
            "containers": [{"name": "coredns", "args": ["-conf", "/etc/coredns/Corefile"],
                "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"},
                    {"name": "custom", "mountPath": "/etc/coredns/custom"}]}],
            "volumes": [
                {"name": "config", "configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}},
                {"name": "custom", "configMap": {"name": "coredns-custom", "optional": true}}]},
        "status": {"containerStatuses": [{"name": "coredns", "ready": true, "restartCount": 0, "image": "", "imageID": "",
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]},
    })
}

/// An SMI object of namespace `shop`, unless it says another, as the API server would serve it in this version.
pub(crate) fn smi(version: &str, kind: &str, name: &str, more: &Value) -> Arc<Object> {
    let kind = SmiKind::ALL.into_iter().find(|known| known.kubernetes() == kind).unwrap();
    let version = SmiVersion::ALL.into_iter().find(|known| known.kubernetes() == version).unwrap();
    let mut object = json!({
        "apiVersion": format!("{}/{}", kind.group(), version.kubernetes()),
        "kind": kind.kubernetes(),
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}")},
    });
    merge(&mut object, more);
    Arc::new(decode::object(kind, version, &serde_json::from_value(object).unwrap()))
}

/// Settings as from a command line.
pub(crate) fn settings(arguments: &[&str]) -> crate::settings::Settings {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        settings: crate::settings::Settings,
    }
    let given = ["weft-operator", "--namespace=weft", "--pod-name=one"];
    <Line as clap::Parser>::try_parse_from(given.iter().chain(arguments)).unwrap().settings
}

impl Inner {
    fn put(&mut self, path: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.to_owned(), object);
    }

    fn list(&self, path: &str, query: &str) -> Response {
        let selector: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("labelSelector="))
            .flat_map(|value| {
                value
                    .replace("%3D", "=")
                    .replace("%2F", "/")
                    .replace("%2C", ",")
                    .split(',')
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .filter_map(|pair| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
            .collect();
        let prefix = format!("{path}/");
        let fits = |object: &&Value| {
            selector.iter().all(|(key, value)| object["metadata"]["labels"][key].as_str() == Some(value))
        };
        let items: Vec<_> = self
            .objects
            .iter()
            .filter(|(key, _)| key.strip_prefix(&prefix).is_some_and(|name| !name.contains('/')))
            .map(|(_, object)| object)
            .filter(fits)
            .collect();
        json_answer(
            StatusCode::OK,
            &json!({"metadata": {"resourceVersion": self.version.to_string()}, "items": items}),
        )
    }

    fn write(&mut self, method: &Method, path: &str, body: &Value) -> Response {
        if let Some(patch) = self.races.remove(path) {
            let mut object = self.objects[path].clone();
            merge(&mut object, &patch);
            self.put(path, object);
        }
        let Some(mut object) = self.objects.get(path).cloned() else {
            return status(StatusCode::NOT_FOUND, "not found");
        };
        let version = &body["metadata"]["resourceVersion"];
        if !version.is_null() && *version != object["metadata"]["resourceVersion"] {
            return status(StatusCode::CONFLICT, "the object has been modified");
        }
        self.writes.push(format!("{method} {path}"));
        if *method == Method::DELETE {
            self.objects.remove(path);
            return json_answer(StatusCode::OK, &json!({"kind": "Status", "status": "Success"}));
        }
        if *method == Method::PUT {
            object = body.clone();
        } else {
            merge(&mut object, body);
        }
        self.put(path, object);
        json_answer(StatusCode::OK, &self.objects[path])
    }
}

async fn answer(State(api): State<FakeApi>, method: Method, uri: Uri, body: Bytes) -> Response {
    let mut inner = api.lock();
    let path = uri.path().to_owned();
    let collection = path.split('/').count() % 2 == usize::from(path.starts_with("/apis/"));
    if let Some(code) = inner.refused.get(&path) {
        return status(*code, "refused by a test");
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (&method, collection) {
        // What kinds there are, where a test says so; else there are none but the server's own.
        (&Method::GET, _) if path == "/apis" => {
            let groups = json!({"kind": "APIGroupList", "groups": []});
            json_answer(StatusCode::OK, inner.objects.get(&path).unwrap_or(&groups))
        }
        (&Method::GET, true) => inner.list(&path, uri.query().unwrap_or_default()),
        (&Method::GET, false) => match inner.objects.get(&path) {
            Some(object) => json_answer(StatusCode::OK, object),
            None => status(StatusCode::NOT_FOUND, "not found"),
        },
        (&Method::POST, _) => {
            let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
            if inner.objects.contains_key(&path) {
                return status(StatusCode::CONFLICT, "it exists");
            }
            inner.writes.push(format!("POST {path}"));
            inner.put(&path, body);
            json_answer(StatusCode::CREATED, &inner.objects[&path])
        }
        _ => inner.write(&method, &path, &body),
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

fn status(code: StatusCode, message: &str) -> Response {
    let reason = match code {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        _ => "Forbidden",
    };
    let body = json!({"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": code.as_u16()});
    json_answer(code, &body)
}

fn json_answer(code: StatusCode, body: &Value) -> Response {
    (code, [("content-type", "application/json")], body.to_string()).into_response()
}
