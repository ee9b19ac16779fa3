use super::*;
use std::path::PathBuf;

const KUBEADM: &str = ".:53 {\n    errors\n    reload\n}\n";
const K3S: &str = ".:53 {\n    errors\n    reload\n    import /etc/coredns/custom/*.override\n}\nimport /etc/coredns/custom/*.server\n";

fn address() -> IpAddr {
    IpAddr::from([10, 96, 0, 7])
}

fn zones() -> Vec<String> {
    ["mesh", "maesh"].map(str::to_owned).to_vec()
}

fn document(data: Value) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": "any"}, "data": data})).unwrap()
}

fn documents<const N: usize>(of: [(&str, Value); N]) -> Documents {
    of.into_iter().map(|(name, data)| (name.to_owned(), document(data))).collect()
}

fn core_dns() -> Server {
    Server::CoreDns {
        container: "coredns".into(),
        path: PathBuf::from("/etc/coredns/Corefile"),
        corefile: Source { configmap: "coredns".into(), key: "Corefile".into(), live: true },
        folders: vec![Folder { configmap: "coredns-custom".into(), path: "/etc/coredns/custom".into() }],
    }
}

fn kube_dns() -> Server {
    Server::KubeDns { container: "kubedns".into(), configmap: "kube-dns".into() }
}

/// Writes a change as the API server would.
fn write(documents: &mut Documents, configmap: &str, change: &Change) {
    let document = documents.get_mut(configmap).unwrap();
    let apply = |map: &mut Option<BTreeMap<String, String>>, changes: &BTreeMap<String, Option<String>>| {
        let mut all = map.take().unwrap_or_default();
        for (key, value) in changes {
            match value {
                Some(value) => all.insert(key.clone(), value.clone()),
                None => all.remove(key),
            };
        }
        *map = (!all.is_empty()).then_some(all);
    };
    apply(&mut document.data, &change.data);
    apply(&mut document.metadata.annotations, &change.annotations);
}

/// Plans and writes until nothing changes, checks that this is soon, and that all comes out again.
fn settle(server: &Server, documents: &mut Documents) -> Plan {
    let before = documents.clone();
    let rest_before = rest(&before).unwrap();
    for _ in 0..3 {
        let plan = plan(server, documents, &zones(), address()).unwrap();
        let Some(change) = &plan.change else {
            assert_eq!(rest(documents).unwrap(), rest_before, "our part is no part of the rest");
            let mut cleaned = documents.clone();
            for (name, document) in documents.iter() {
                write(&mut cleaned, name, &take_out(document).unwrap());
            }
            assert_eq!(cleaned, before);
            return plan;
        };
        write(documents, &plan.configmap, change);
    }
    panic!("it does not settle");
}

#[test]
fn the_corefile_where_there_is_no_other_place() {
    for custom in [None, Some(())] {
        let mut all =
            documents([("coredns", json!({"Corefile": if custom.is_some() { KUBEADM } else { K3S }}))]);
        if custom.is_some() {
            // A folder that the Corefile does not import server blocks from.
            all.insert("coredns-custom".into(), document(json!({"a.server": "a {\n}\n"})));
        }
        let plan = settle(&core_dns(), &mut all);
        assert_eq!((plan.configmap.as_str(), plan.key.as_str()), ("coredns", "Corefile"));
        assert!(plan.present && plan.reloads && plan.taken.is_empty());
        assert_eq!(plan.zones, zones());
    }
}

#[test]
fn a_key_of_its_own_where_the_corefile_imports_a_folder() {
    for imports in [K3S.to_owned(), K3S.replace("/etc/coredns/", "")] {
        let mut all = documents([
            ("coredns", json!({"Corefile": imports})),
            ("coredns-custom", json!({"log.override": "log\n", "maesh.server": "maesh:53 {\n}\n"})),
        ]);
        let plan = settle(&core_dns(), &mut all);
        assert_eq!((plan.configmap.as_str(), plan.key.as_str()), ("coredns-custom", "weft.server"));
        assert_eq!(plan.zones, ["mesh"]);
        assert_eq!(plan.taken, [("maesh".to_owned(), "another server block".to_owned())]);
    }
}

#[test]
fn a_folder_that_appears_later_does_not_move_the_zones_and_two_places_become_one() {
    let mut all = documents([("coredns", json!({"Corefile": K3S}))]);
    settle(&core_dns(), &mut all);
    let before = all.clone();
    all.insert("coredns-custom".into(), document(json!({})));
    let stays = plan(&core_dns(), &all, &zones(), address()).unwrap();
    assert_eq!((stays.configmap.as_str(), stays.change), ("coredns", None));
    let own = before["coredns"].data.as_ref().unwrap()["Corefile"].strip_prefix(K3S).unwrap().to_owned();
    all.insert("coredns-custom".into(), document(json!({"weft.server": own})));
    let one = plan(&core_dns(), &all, &zones(), address()).unwrap();
    write(&mut all, &one.configmap, one.change.as_ref().unwrap());
    assert_eq!(all["coredns"].data.as_ref().unwrap()["Corefile"], K3S);
    assert_eq!(plan(&core_dns(), &all, &zones(), address()).unwrap().change, None);
}

#[test]
fn zones_that_another_mesh_left_are_told_and_nothing_is_written_where_none_is_left() {
    let maesh =
        format!("{KUBEADM}#### Begin Maesh Block\nmaesh:53 {{\n}}\nmesh:53 {{\n}}\n#### End Maesh Block\n");
    let all = documents([("coredns", json!({"Corefile": maesh}))]);
    let plan = plan(&core_dns(), &all, &zones(), address()).unwrap();
    assert_eq!((plan.change, plan.zones.len(), plan.taken.len(), plan.present), (None, 0, 2, false));
}

#[test]
fn what_cannot_be_read_is_refused_with_the_place() {
    for (data, place, says) in [
        (documents([]), "coredns", "does not exist"),
        (documents([("coredns", json!({}))]), "coredns", "does not exist"),
        (documents([("coredns", json!({"Corefile": ".:53 {\n"}))]), "coredns", "line 1"),
        (documents([("coredns", json!({"Corefile": "a {\n}\na {\n}\n"}))]), "coredns", "two server blocks"),
        (
            documents([
                ("coredns", json!({"Corefile": K3S})),
                ("coredns-custom", json!({"a.server": "a {"})),
            ]),
            "coredns-custom",
            "a.server",
        ),
    ] {
        let refusal = plan(&core_dns(), &data, &zones(), address()).unwrap_err();
        assert_eq!(refusal.configmap, place, "{refusal:?}");
        assert!(refusal.note.contains(says), "{refusal:?}");
    }
}

#[test]
fn reload_may_stand_in_an_imported_file() {
    let without = K3S.replace("    reload\n", "");
    let mut all = documents([
        ("coredns", json!({"Corefile": without})),
        ("coredns-custom", json!({"x.override": "hosts {\n reload 5s\n}\n"})),
    ]);
    assert!(!settle(&core_dns(), &mut all).reloads);
    all.insert("coredns-custom".into(), document(json!({"x.override": "log\nreload 5s\n"})));
    assert!(settle(&core_dns(), &mut all).reloads);
}

#[test]
fn stub_domains_of_kube_dns() {
    for data in [json!(null), json!({"upstreamNameservers": "[]"}), json!({"stubDomains": "{ \"a\": [] }"})] {
        let mut all = documents([("kube-dns", data)]);
        let plan = settle(&kube_dns(), &mut all);
        assert_eq!((plan.key.as_str(), plan.present, plan.zones.len()), ("stubDomains", true, 2));
    }
    let refusal = plan(&kube_dns(), &documents([]), &zones(), address()).unwrap_err();
    assert!(refusal.note.contains("create it"));
}

#[test]
fn a_patch_names_the_version_that_was_read_and_only_what_changes() {
    let change = Change {
        data: BTreeMap::from([("Corefile".to_owned(), Some("x".to_owned()))]),
        annotations: BTreeMap::from([("a".to_owned(), None)]),
    };
    assert_eq!(
        change.patch(Some("7")),
        json!({"metadata": {"resourceVersion": "7", "annotations": {"a": null}}, "data": {"Corefile": "x"}})
    );
}
