//! What `docs/metrics.md` says of the metrics is true.

use super::*;
use crate::plan::{Accepted, Plan, compile};
use arc_swap::ArcSwapOption;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::time::Instant;
use weft_contract::{
    AccessMode, Listener, NodeConfiguration, Policy, Port, Protocol, SCHEMA, Service, ServiceKey, Split,
    SplitBackend, Transport, policy::Scheme,
};

const PAGE: &str = include_str!("../../../docs/metrics.md");

/// A plan with a port of each transport, of which everything has been counted once.
fn busy_plan() -> Plan {
    let port = |transport, listener, protocol| Port {
        name: None,
        port: 80,
        transport,
        listener: Some(Listener { port: listener, protocol }),
        scheme: Scheme::Http,
        endpoints: vec![],
        target_name: None,
        sni_routes: Vec::new(),
    };
    let policy = Policy { circuit_breaker: Some("NetworkErrorRatio() > 0.5".into()), ..Policy::default() };
    let backend = SplitBackend { service: ServiceKey::new("shop", "new"), weight: 1, ports: vec![80] };
    let split = Split { name: "web".into(), matches: None, backends: vec![backend], sticky: None };
    let service = Service {
        key: ServiceKey::new("shop", "web"),
        addresses: vec![],
        ports: vec![
            port(Transport::Tcp, 10_000, Protocol::Http),
            port(Transport::Udp, 10_001, Protocol::Udp),
        ],
        policy,
        split: Some(split),
    };
    let configuration = NodeConfiguration {
        schema: SCHEMA,
        node: "node-1".into(),
        zone: None,
        zones: vec!["mesh".into()],
        services: vec![service],
        sources: vec![],
        access: None,
    };
    let accepted = Accepted { revision: "beef".into(), configuration: Arc::new(configuration) };
    let plan = compile(accepted, None, Instant::now());
    count_everything(&plan);
    plan
}

fn count_everything(plan: &Plan) {
    let traffic = &plan.routes()[&10_000].traffic;
    traffic.request(Some(200), Duration::from_millis(1));
    traffic.failure(Cause::ConnectFailed);
    traffic.own(Cause::NoEndpoint);
    traffic.denied(AccessMode::Enforce);
    for (_, backend) in plan.routes()[&10_000].split.as_ref().unwrap().traffic() {
        backend.request(Some(200), Duration::from_millis(1));
        backend.begun();
    }
    traffic.retry();
    traffic.received(1);
    traffic.sent(1);
    traffic.connection(Duration::from_secs(1));
    traffic.refused(Cause::Overloaded);
    traffic.cut(Cause::IdleTimeout);
    drop(OpenConnection::new(Arc::clone(traffic)));
    let traffic = &plan.routes()[&10_001].traffic;
    drop(OpenSession::new(Arc::clone(traffic)));
    traffic.denied(AccessMode::Audit);
    plan.routes()[&10_001].split.as_ref().unwrap().traffic().for_each(|(_, backend)| backend.begun());
    let datagrams = traffic.datagrams();
    datagrams.expired();
    datagrams.evicted();
    datagrams.moved(Moved::Refused);
    datagrams.received(1, 1);
    datagrams.sent(1, 1);
    datagrams.dropped(Cause::NoEndpoint, 1);
}

/// Every metric with its kind and its labels, in their order.
fn registered() -> BTreeMap<String, (String, Vec<String>)> {
    let metrics = Metrics::new(Arc::new(ArcSwapOption::from_pointee(busy_plan())));
    metrics.dns_queries.get_or_create(&[("code", "NOERROR")]).inc();
    metrics.drained("cut", 1);
    let text = metrics.text().unwrap();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let described = types.map(|(name, kind)| {
        let (name, series) = match kind {
            "counter" => (format!("{name}_total"), format!("{name}_total")),
            "histogram" => (name.to_owned(), format!("{name}_count")),
            _ => (name.to_owned(), name.to_owned()),
        };
        let line = text.lines().find(|line| line.split(['{', ' ']).next() == Some(series.as_str()));
        let line = line.unwrap_or_else(|| panic!("{series} has no series in\n{text}"));
        let labels = line.split_once('{').map_or("", |(_, labels)| labels.split_once('}').unwrap().0);
        let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        (name, (kind.to_owned(), labels.collect()))
    });
    described.collect()
}

#[test]
fn no_two_series_have_the_same_labels() {
    let metrics = Metrics::new(Arc::new(ArcSwapOption::from_pointee(busy_plan())));
    let text = metrics.text().unwrap();
    let series: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').map_or(line, |(series, _)| series))
        .collect();
    let different: BTreeSet<&str> = series.iter().copied().collect();
    assert_eq!(series.len(), different.len(), "{text}");
}

/// The rows of the table below a heading, as their cells.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAGE.split_once(&format!("## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn code(text: &str) -> String {
    text.trim_matches('`').to_owned()
}

#[test]
fn the_page_has_every_metric_with_its_kind_and_labels_and_no_other() {
    let told: BTreeMap<String, (String, Vec<String>)> = table("The proxy of a node")
        .iter()
        .map(|row| {
            let labels = row[2].split(", ").filter(|label| !label.is_empty()).map(code).collect();
            (code(row[0]), (row[1].to_owned(), labels))
        })
        .collect();
    assert_eq!(told, registered());
}

#[test]
fn the_page_has_every_flag_with_its_status() {
    let told: BTreeSet<(String, u16)> =
        table("Flags").iter().map(|row| (code(row[0]), row[1].parse().unwrap())).collect();
    let known = Cause::ALL.iter().map(|cause| (cause.flag().to_owned(), cause.status()));
    assert_eq!(told, known.collect());
}
