use super::*;
use serde_json::{Value, json};

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn service(name: &str, labels: Value, selector: Value) -> Service {
    read(json!({"metadata": {"name": name, "labels": labels}, "spec": {"selector": selector}}))
}

fn pod(containers: Value, volumes: Value) -> Pod {
    read(json!({
        "metadata": {
            "name": "dns-1", "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "dns-abc", "uid": "1", "controller": true}],
        },
        "spec": {"containers": containers, "volumes": volumes},
    }))
}

fn core_dns_of(pod: Pod) -> (PathBuf, Source, Vec<Folder>) {
    match server(&[pod]) {
        Some(Server::CoreDns { container, path, corefile, folders }) => {
            assert_eq!(container, "coredns");
            (path, corefile, folders)
        }
        other => panic!("{other:?}"),
    }
}

fn from(configmap: &str, key: &str) -> Source {
    Source { configmap: configmap.into(), key: key.into(), live: true }
}

#[test]
fn kubeadm() {
    let (path, corefile, folders) = core_dns_of(pod(
        json!([{"name": "coredns", "args": ["-conf", "/etc/coredns/Corefile"],
            "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": true}]}]),
        json!([{"name": "config-volume",
            "configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}}]),
    ));
    assert_eq!(
        (path, corefile, folders),
        ("/etc/coredns/Corefile".into(), from("coredns", "Corefile"), vec![])
    );
}

#[test]
fn k3s_and_aks_have_a_folder_for_more_server_blocks() {
    for args in [json!(["-conf", "/etc/coredns/Corefile"]), json!(["--conf=/etc/coredns/Corefile"])] {
        let (_, corefile, folders) = core_dns_of(pod(
            json!([{"name": "coredns", "args": args, "volumeMounts": [
                {"name": "config-volume", "mountPath": "/etc/coredns"},
                {"name": "custom-config-volume", "mountPath": "/etc/coredns/custom"},
                {"name": "tmp", "mountPath": "/tmp"}]}]),
            json!([
                {"name": "config-volume", "configMap": {"name": "coredns", "items": [
                    {"key": "Corefile", "path": "Corefile"}, {"key": "NodeHosts", "path": "NodeHosts"}]}},
                {"name": "custom-config-volume", "configMap": {"name": "coredns-custom", "optional": true}},
                {"name": "tmp", "emptyDir": {}}]),
        ));
        assert_eq!(corefile, from("coredns", "Corefile"));
        let folder = Folder { configmap: "coredns-custom".into(), path: "/etc/coredns/custom".into() };
        assert_eq!(folders, [folder]);
    }
}

#[test]
fn rke2_and_the_helm_chart_name_the_configmap_as_they_like() {
    for name in ["rke2-coredns-rke2-coredns", "my-release-coredns"] {
        let (_, corefile, _) = core_dns_of(pod(
            json!([{"name": "sidecar"}, {"name": "coredns", "args": ["-conf", "/etc/coredns/Corefile"],
                "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns"}]}]),
            json!([{"name": "config-volume",
                "configMap": {"name": name, "items": [{"key": "Corefile", "path": "Corefile"}]}}]),
        ));
        assert_eq!(corefile, from(name, "Corefile"));
    }
}

#[test]
fn other_keys_projections_and_sub_paths_are_followed() {
    let (path, corefile, _) = core_dns_of(pod(
        json!([{"name": "coredns", "command": ["/coredns"], "args": ["-conf", "dns/main"], "workingDir": "/etc",
            "volumeMounts": [{"name": "all", "mountPath": "/etc/dns"}]}]),
        json!([{"name": "all", "projected": {"sources": [
            {"secret": {"name": "tls"}},
            {"configMap": {"name": "dns", "items": [{"key": "the-corefile", "path": "main"}]}}]}}]),
    ));
    assert_eq!((path, corefile), ("/etc/dns/main".into(), from("dns", "the-corefile")));
    let (_, corefile, folders) = core_dns_of(pod(
        json!([{"name": "coredns", "args": ["-conf", "/etc/coredns/Corefile"], "volumeMounts": [
            {"name": "one", "mountPath": "/etc/coredns/Corefile", "subPath": "Corefile"}]}]),
        json!([{"name": "one", "configMap": {"name": "coredns"}}]),
    ));
    assert_eq!(corefile, Source { live: false, ..from("coredns", "Corefile") });
    assert_eq!(folders, []);
}

#[test]
fn gke_runs_kube_dns() {
    let found = server(&[pod(
        json!([
            {"name": "kubedns", "args": ["--config-dir=/kube-dns-config"],
             "volumeMounts": [{"name": "kube-dns-config", "mountPath": "/kube-dns-config"}]},
            {"name": "dnsmasq", "volumeMounts": [{"name": "kube-dns-config", "mountPath": "/etc/k8s/dns"}]}]),
        json!([{"name": "kube-dns-config", "configMap": {"name": "kube-dns", "optional": true}}]),
    )]);
    let expected = Server::KubeDns { container: "kubedns".into(), configmap: "kube-dns".into() };
    assert_eq!(found, Some(expected));
}

#[test]
fn pods_of_something_else_are_not_taken_for_dns() {
    let volumes = json!([{"name": "config", "configMap": {"name": "proxy"}}]);
    let mounts = json!([{"name": "config", "mountPath": "/etc/other"}]);
    let other = pod(json!([{"name": "proxy", "volumeMounts": mounts}]), volumes);
    assert_eq!(server(&[other]), None);
    assert_eq!(server(&[]), None);
}

#[test]
fn the_newest_pod_tells_and_its_owner() {
    let of = |configmap: &str, made: &str, kind: &str| -> Pod {
        let mut pod = pod(
            json!([{"name": "coredns", "args": ["-conf", "/c/Corefile"],
                "volumeMounts": [{"name": "c", "mountPath": "/c"}]}]),
            json!([{"name": "c", "configMap": {"name": configmap}}]),
        );
        pod.metadata.creation_timestamp = Some(read(json!(made)));
        pod.metadata.owner_references.as_mut().unwrap()[0].kind = kind.into();
        pod
    };
    let pods =
        [of("old", "2026-01-01T00:00:00Z", "ReplicaSet"), of("new", "2026-01-02T00:00:00Z", "DaemonSet")];
    assert!(matches!(server(&pods), Some(Server::CoreDns { corefile, .. }) if corefile.configmap == "new"));
    assert_eq!(owner(&pods), Some(Owner::DaemonSet("dns-abc".into())));
    assert_eq!(owner(&pods[..1]), Some(Owner::ReplicaSet("dns-abc".into())));
}

#[test]
fn services_are_ranked_by_what_says_dns() {
    let services = [
        service("helm", json!({"app.kubernetes.io/name": "coredns"}), json!({"a": "b"})),
        service("metrics", json!({}), json!({"a": "b"})),
        service("no-selector", json!({"k8s-app": "kube-dns"}), json!({})),
        service("rke2-coredns-rke2-coredns", json!({"k8s-app": "kube-dns"}), json!({"k8s-app": "kube-dns"})),
        service("kube-dns", json!({}), json!({"k8s-app": "kube-dns", "x": "y"})),
    ];
    let found: Vec<_> =
        candidates(&services).iter().map(|service| service.metadata.name.clone().unwrap()).collect();
    assert_eq!(found, ["kube-dns", "rke2-coredns-rke2-coredns", "helm"]);
    assert_eq!(selector(&services[4]).unwrap(), "k8s-app=kube-dns,x=y");
}
