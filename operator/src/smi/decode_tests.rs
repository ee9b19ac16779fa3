//! What any version writes is read as one model; what cannot be read is wrong alone.

use super::*;
use crate::testing::smi;
use proptest::prelude::*;
use serde_json::json;
use weft_contract::{HeaderRegex, HttpMatch};

fn read(version: &str, kind: &str, more: &Value) -> Result<Content, String> {
    smi(version, kind, "it", more).content.clone()
}

fn matches(version: &str, more: &Value) -> Vec<crate::smi::model::RouteMatch> {
    match read(version, "HTTPRouteGroup", more) {
        Ok(Content::HttpRouteGroup(group)) => group.matches,
        other => panic!("{other:?}"),
    }
}

fn requests(more: &Value) -> Result<HttpMatch, String> {
    matches("v1alpha4", &json!({"spec": {"matches": [more]}})).remove(0).requests
}

fn weights(version: &str, weights: &Value) -> Vec<Result<u64, String>> {
    let backends: Vec<_> =
        weights.as_array().unwrap().iter().map(|weight| json!({"service": "a", "weight": weight})).collect();
    match read(version, "TrafficSplit", &json!({"spec": {"service": "web", "backends": backends}})) {
        Ok(Content::TrafficSplit(split)) => {
            split.backends.into_iter().map(|backend| backend.weight).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_target_is_the_same_whatever_version_wrote_it() {
    let parts = json!({
        "destination": {"kind": "ServiceAccount", "name": "api", "namespace": "shop", "port": 8080},
        "rules": [{"kind": "HTTPRouteGroup", "name": "routes", "matches": ["metrics"]}],
        "sources": [{"kind": "ServiceAccount", "name": "prometheus"}],
    });
    let mut oldest = parts.clone();
    oldest["specs"] = oldest["rules"].take();
    oldest.as_object_mut().unwrap().remove("rules");
    let newest = read("v1alpha4", "TrafficTarget", &json!({"spec": parts})).unwrap();
    let Content::TrafficTarget(target) = &newest else { panic!("{newest:?}") };
    assert_eq!(target.port, Some(PodPort::Number(8080)));
    assert_eq!(target.rules[0].matches, ["metrics"]);
    assert_eq!((target.sources[0].name.as_str(), &target.sources[0].namespace), ("prometheus", &None));
    assert_eq!(read("v1alpha2", "TrafficTarget", &json!({"spec": parts})), Ok(newest.clone()));
    assert_eq!(read("v1alpha1", "TrafficTarget", &oldest), Ok(newest.clone()));
    assert_eq!(
        read("v1alpha4", "TrafficTarget", &oldest),
        Ok(newest),
        "kept by an API server that drops nothing"
    );
}

#[test]
fn a_port_is_a_number_or_a_name_and_never_widened() {
    let port = |port: &Value| {
        let destination = json!({"kind": "ServiceAccount", "name": "api", "port": port});
        match read("v1alpha2", "TrafficTarget", &json!({"spec": {"destination": destination}})) {
            Ok(Content::TrafficTarget(target)) => Ok(target.port),
            Ok(other) => panic!("{other:?}"),
            Err(why) => Err(why),
        }
    };
    assert_eq!(port(&json!(80)), Ok(Some(PodPort::Number(80))));
    assert_eq!(port(&json!("9091")), Ok(Some(PodPort::Number(9091))));
    assert_eq!(port(&json!("http")), Ok(Some(PodPort::Name("http".into()))));
    assert_eq!(port(&Value::Null), Ok(None));
    for wrong in [json!(0), json!(80.5), json!(70_000), json!(-1), json!(""), json!("70000"), json!([80])] {
        assert!(port(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_cannot_be_read_says_what_is_wrong() {
    for (kind, more, says) in [
        ("TrafficTarget", json!({}), "no destination"),
        ("TrafficTarget", json!({"spec": {"destination": {"name": "a"}}}), "destination has no kind"),
        ("TrafficTarget", json!({"spec": {"destination": "a"}}), "destination has no kind"),
        (
            "TrafficTarget",
            json!({"spec": {"destination": {"kind": "a", "name": "b"}, "sources": {}}}),
            "no list",
        ),
        (
            "TrafficTarget",
            json!({"spec": {"destination": {"kind": "a", "name": "b"}, "rules": [{}]}}),
            "no kind",
        ),
        ("IdentityBinding", json!({}), "no schemes"),
        ("IdentityBinding", json!({"spec": {"schemes": []}}), "no object"),
        (
            "IdentityBinding",
            json!({"spec": {"schemes": {"podLabelSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}}}),
            "no selector",
        ),
        ("HTTPRouteGroup", json!({"spec": {"matches": "all"}}), "no list"),
        ("HTTPRouteGroup", json!({"spec": {"matches": ["all"]}}), "no object"),
        ("TCPRoute", json!({"spec": {"matches": {"ports": [0]}}}), "no port"),
        ("UDPRoute", json!({"spec": {"matches": {"ports": [53, "dns"]}}}), "no port"),
        ("TrafficSplit", json!({"spec": {}}), "no service"),
        ("TrafficSplit", json!({"spec": {"service": "web", "backends": [{"weight": 1}]}}), "no service"),
    ] {
        let why = read("v1alpha4", kind, &more).unwrap_err();
        assert!(why.contains(says), "{kind} {more}: {why}");
    }
}

#[test]
fn routes_of_ports_are_all_ports_where_there_are_none() {
    let ports = |version, more: &Value| match read(version, "TCPRoute", more) {
        Ok(Content::TcpRoute(route)) => route.ports,
        other => panic!("{other:?}"),
    };
    for (version, more) in [
        ("v1alpha1", json!({})),
        ("v1alpha4", json!({"spec": null})),
        ("v1alpha4", json!({"spec": {}})),
        ("v1alpha4", json!({"spec": {"matches": {}}})),
        ("v1alpha4", json!({"spec": {"matches": {"ports": []}}})),
    ] {
        assert!(ports(version, &more).is_empty(), "{more}");
    }
    assert_eq!(ports("v1alpha4", &json!({"spec": {"matches": {"ports": [9, "8", 9]}}})), [8, 9]);
}

#[test]
fn groups_are_read_from_any_place_and_without_any() {
    let one = json!([{"name": "metrics", "pathRegex": "/metrics", "methods": ["get", "HEAD", "GET"]}]);
    let below = matches("v1alpha3", &json!({"spec": {"matches": one}}));
    assert_eq!(below, matches("v1alpha1", &json!({"matches": one})));
    let requests = below[0].requests.clone().unwrap();
    assert_eq!(
        (requests.path.as_deref(), requests.methods),
        (Some("/metrics"), vec!["GET".into(), "HEAD".into()])
    );
    assert!(matches("v1alpha4", &json!({})).is_empty(), "an API server dropped its spec");
}

#[test]
fn headers_are_an_object_or_a_list_of_objects() {
    let header = |name: &str, regex: &str| HeaderRegex { name: name.into(), regex: regex.into() };
    let wanted = vec![header("cookie", "^a"), header("user-agent", ".*Android.*")];
    for headers in [
        json!({"user-agent": ".*Android.*", "Cookie": "^a"}),
        json!([{"User-Agent": ".*Android.*", "cookie": "^a"}]),
        json!([{"User-Agent": ".*Android.*"}, {"cookie": "^a"}, {"COOKIE": "^a"}]),
    ] {
        assert_eq!(requests(&json!({"headers": headers})).unwrap().headers, wanted, "{headers}");
    }
    let both = requests(&json!({"headers": [{"a": "1"}, {"a": "2"}]})).unwrap();
    assert_eq!(both.headers.len(), 2, "all of them must match");
    assert_eq!(requests(&json!({"headers": {"a": 1}})).unwrap().headers, [header("a", "1")]);
}

#[test]
fn methods_are_all_where_one_is_a_star_or_there_are_none() {
    for methods in [json!(null), json!([]), json!(["*"]), json!(["GET", "*"])] {
        assert_eq!(requests(&json!({"methods": methods})), Ok(HttpMatch::default()), "{methods}");
    }
}

#[test]
fn a_match_that_cannot_be_used_matches_nothing_and_leaves_the_others() {
    for (broken, says) in [
        (json!({"pathRegex": "/("}), "unclosed group"),
        (json!({"pathRegex": "/a)(b"}), "pathRegex"),
        (json!({"pathRegex": "(?x)/a # b"}), "anchored"),
        (json!({"pathRegex": format!("/({}){{999}}", "a{999}")}), "size limit"),
        (json!({"pathRegex": ["/"]}), "no text"),
        (json!({"methods": ["GE T"]}), "no method"),
        (json!({"methods": "GET"}), "no list"),
        (json!({"headers": {"a b": "x"}}), "name of a header"),
        (json!({"headers": {"a": "["}}), "header's value"),
        (json!({"headers": ["a"]}), "no object"),
        (json!({"headers": "a"}), "no list"),
    ] {
        let found = matches("v1alpha4", &json!({"spec": {"matches": [broken, {"name": "good"}]}}));
        let why = found[0].requests.as_ref().unwrap_err();
        assert!(why.contains(says) && why.len() < 400, "{broken}: {why}");
        assert_eq!(found[1].requests, Ok(HttpMatch::default()));
    }
}

#[test]
fn weights_are_whole_numbers_and_quantities_where_the_oldest_version_wrote_them() {
    let good = |weights: &[u64]| weights.iter().map(|weight| Ok(*weight)).collect::<Vec<_>>();
    let quantities = json!(["500m", "1", "0.5", 2, "1k"]);
    let wanted = good(&[500, 1_000, 500, 2_000, 1_000_000]);
    assert_eq!(weights("v1alpha1", &quantities), wanted);
    assert_eq!(weights("v1alpha4", &quantities), wanted, "nothing converts them");
    assert_eq!(weights("v1alpha1", &json!([0.5])), good(&[500]));
    assert_eq!(weights("v1alpha2", &json!([90, 0, 1.0])), good(&[90_000, 0, 1_000]));
    let wrong = json!([-1, 0.5, -0.5, null, "half", "-500m", true, {}]);
    assert!(weights("v1alpha4", &wrong).iter().all(Result::is_err), "{:?}", weights("v1alpha4", &wrong));
}

#[test]
fn identities_are_those_of_service_accounts() {
    let identities = json!([
        "cluster.local/ns/default/sa/service-a",
        "spiffe://example.org/ns/default/sa/service-a",
        "federated.trustdomain/boundary/boundaryName/identifierType/identifier",
        "spiffe://example.org/ns//sa/a",
        "spiffe://example.org/ns/default/sa/a/b",
    ]);
    let spec = json!({"spec": {"schemes": {"podLabelSelector": {}, "spiffeIdentities": identities}}});
    let Ok(Content::IdentityBinding(binding)) = read("v1alpha4", "IdentityBinding", &spec) else { panic!() };
    assert_eq!(binding.service_account, None);
    assert!(binding.labels.is_some_and(|selector| selector.selects_all()));
    let known: Vec<_> = binding.spiffe.iter().map(Result::is_ok).collect();
    assert_eq!(known, [true, true, false, false, false]);
}

#[test]
fn an_object_is_told_apart_by_the_version_that_it_was_read_in() {
    let object = smi(
        "v1alpha2",
        "TrafficSplit",
        "it",
        &json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}),
    );
    assert_eq!(object.about.kind, Kind::Smi(SmiKind::TrafficSplit, SmiVersion::V1alpha2));
    assert!(object.created.is_some() && object.content.is_err());
}

/// Any JSON, with names that objects of these kinds have.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[-a-z0-9.*(/]{0,6}".prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "spec",
        "matches",
        "rules",
        "specs",
        "sources",
        "destination",
        "kind",
        "name",
        "port",
        "ports",
        "schemes",
        "podLabelSelector",
        "matchExpressions",
        "spiffeIdentities",
        "service",
        "backends",
        "weight",
        "pathRegex",
        "methods",
        "headers",
    ]);
    leaf.prop_recursive(5, 48, 6, move |inner| {
        let object = prop::collection::vec((names.clone(), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_makes_the_decoder_panic(data in any_value(), quantity in ".{0,12}") {
        for kind in SmiKind::ALL {
            for version in SmiVersion::ALL {
                let _ = content(kind, version, &data);
            }
        }
        let _ = thousandths(&quantity);
    }
}
