//! Exactly the wanted shadow Services exist, and nothing is written that is right already.

use super::*;
use axum::http::StatusCode;
use serde_json::{Value, json};
use weft_contract::ServiceKey;

fn wanted(name: &str, listener: u16) -> Service {
    service(&shadow_of(name, listener), true)
}

fn shadow_of(name: &str, listener: u16) -> shadow::Shadow {
    let key = ServiceKey::new("shop", name);
    let port =
        shadow::ShadowPort { name: Some("http".into()), port: 80, transport: Transport::Tcp, listener };
    shadow::Shadow {
        name: shadow::name(&key),
        key,
        ports: vec![port],
        ip_families: vec!["IPv4".into()],
        ip_family_policy: Some("SingleStack".into()),
        last_good: [("traffic-type".to_owned(), "http".to_owned())].into(),
    }
}

/// As the API server keeps it, with the defaults it fills in.
fn stored(wanted: &Service) -> Arc<Service> {
    let mut stored = wanted.clone();
    if let Some(spec) = &mut stored.spec {
        spec.cluster_ip = Some("10.0.9.9".into());
        spec.session_affinity = Some("None".into());
        spec.internal_traffic_policy = Some("Cluster".into());
    }
    Arc::new(stored)
}

#[test]
fn what_is_right_is_not_written() {
    let web = wanted("web", 10_000);
    assert_eq!(changes(vec![web.clone()], &[stored(&web)]), Changes::default());
}

#[test]
fn what_differs_is_applied_and_orphans_are_deleted() {
    let (web, old) = (wanted("web", 10_000), wanted("old", 10_001));
    let moved = wanted("web", 10_002);
    let plain = Arc::new(Service {
        metadata: ObjectMeta { name: Some("weft-dns".into()), ..ObjectMeta::default() },
        ..Service::default()
    });
    let found = changes(vec![moved.clone()], &[stored(&web), stored(&old), plain]);
    assert_eq!(found.apply, [moved]);
    assert_eq!(found.delete, [stored(&old)], "Services of others in the namespace are left alone");
}

#[test]
fn an_edit_by_hand_is_put_right() {
    let web = wanted("web", 10_000);
    let mut edited = stored(&web).as_ref().clone();
    edited.spec.as_mut().unwrap().selector = None;
    assert_eq!(changes(vec![web.clone()], &[Arc::new(edited)]).apply, [web]);
}

#[test]
fn ports_of_both_transports_may_share_a_number() {
    let port = |name: &str, transport, listener| shadow::ShadowPort {
        name: Some(name.into()),
        port: 53,
        transport,
        listener,
    };
    let ports = vec![port("dns", Transport::Udp, 10_000), port("dns-tcp", Transport::Tcp, 10_001)];
    let wanted = service(&shadow::Shadow { ports, ..shadow_of("dns", 0) }, true);
    let spec = wanted.spec.as_ref().unwrap();
    let told: Vec<_> = spec
        .ports
        .iter()
        .flatten()
        .map(|port| (port.name.as_deref(), port.port, port.protocol.as_deref(), port.node_port))
        .collect();
    assert_eq!(told, [(Some("dns"), 53, Some("UDP"), None), (Some("dns-tcp"), 53, Some("TCP"), None)]);
    assert_eq!((spec.type_.as_deref(), spec.session_affinity.as_deref()), (Some("ClusterIP"), Some("None")));
    assert_eq!(changes(vec![wanted.clone()], &[stored(&wanted)]), Changes::default());
    let mut sticky = stored(&wanted).as_ref().clone();
    sticky.spec.as_mut().unwrap().session_affinity = Some("ClientIP".into());
    assert_eq!(
        changes(vec![wanted.clone()], &[Arc::new(sticky)]).apply,
        [wanted],
        "an edit by hand is put right"
    );
}

#[test]
fn one_that_is_on_its_way_out_is_not_deleted_again() {
    let mut leaving = stored(&wanted("old", 10_001)).as_ref().clone();
    leaving.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH));
    assert_eq!(changes(Vec::new(), &[Arc::new(leaving)]), Changes::default());
}

/// An API server of before Kubernetes 1.34: it refuses the distribution, as the real one words it.
async fn old_api_server(seen: Arc<std::sync::Mutex<Vec<Value>>>) -> Client {
    let refuse = async move |body: axum::body::Bytes| {
        let object: Value = serde_json::from_slice(&body).unwrap();
        seen.lock().unwrap().push(object.clone());
        if object["spec"]["trafficDistribution"].is_null() {
            return (StatusCode::OK, axum::Json(object));
        }
        let message =
            "Service \"x\" is invalid: spec.trafficDistribution: Unsupported value: \"PreferSameNode\"";
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422,
                            "message": message});
        (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(status))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().fallback(axum::routing::patch(refuse));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Client::try_from(kube::Config::new(format!("http://{address}").parse().unwrap())).unwrap()
}

#[tokio::test]
async fn where_the_api_server_does_not_know_the_distribution_a_plain_service_is_made() {
    let seen = Arc::default();
    let (reporter, _messages) = Reporter::channel();
    let publisher = Publisher::new(old_api_server(Arc::clone(&seen)).await, "weft", reporter);
    let shadows = ["a", "b"].map(|name| shadow_of(name, 10_000)).map(|shadow| (shadow.name.clone(), shadow));
    let topology = Topology { shadows: shadows.into(), ..Topology::default() };
    assert!(publisher.publish(&topology, &[]).await);
    assert!(publisher.publish(&topology, &[]).await);
    let seen = seen.lock().unwrap();
    let plain = seen.iter().filter(|object| object["spec"]["trafficDistribution"].is_null()).count();
    assert_eq!(plain, 4, "both Services, both times");
    assert!(seen.len() <= 6, "the distribution is not tried again once it is refused: {}", seen.len());
}
