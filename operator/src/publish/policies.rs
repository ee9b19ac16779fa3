//! Publishes NetworkPolicies, where they are asked for.
//!
//! In: the walls of a topology, and our NetworkPolicies that exist. Out: server-side apply of the difference. What a wall
//! closes is open to the proxies alone, and everything else to everybody, as it was.

use super::apply;
use crate::{names, topology::wall::Wall};
use futures::{StreamExt, stream};
use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ObjectMeta, Patch},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tracing::{info, warn};
use weft_contract::Transport;

/// How many are written at a time.
const CONCURRENCY: usize = 8;
/// The label that Kubernetes gives each namespace with its name.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// Writes NetworkPolicies.
pub struct Publisher {
    client: Client,
    namespace: String,
}

/// What to do to bring them in line.
#[derive(Debug, Default, PartialEq)]
struct Changes {
    delete: Vec<Arc<NetworkPolicy>>,
    apply: Vec<NetworkPolicy>,
}

impl Publisher {
    /// A publisher for proxies in this namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    /// Brings the NetworkPolicies in line with the walls. Returns false where something is left to do again.
    pub async fn publish(&self, walls: &[Wall], existing: &[Arc<NetworkPolicy>]) -> bool {
        let wanted = walls.iter().map(|wall| policy(wall, &self.namespace)).collect();
        let Changes { delete, apply } = changes(wanted, existing);
        let applied: Vec<bool> = stream::iter(apply)
            .map(|wanted| self.apply(wanted))
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        let deleted: Vec<bool> =
            stream::iter(delete).map(|old| self.delete(old)).buffer_unordered(CONCURRENCY).collect().await;
        applied.into_iter().chain(deleted).all(|done| done)
    }

    fn api(&self, policy: &NetworkPolicy) -> Api<NetworkPolicy> {
        Api::namespaced(self.client.clone(), &policy.namespace().unwrap_or_default())
    }

    async fn apply(&self, wanted: NetworkPolicy) -> bool {
        let (namespace, name) = (wanted.namespace().unwrap_or_default(), wanted.name_any());
        match self.api(&wanted).patch(&name, &apply(), &Patch::Apply(&wanted)).await {
            Ok(_) => {
                info!(namespace, name, "the NetworkPolicy is applied");
                true
            }
            Err(error) => {
                warn!(namespace, name, %error, "the NetworkPolicy was not applied; trying again");
                false
            }
        }
    }

    async fn delete(&self, old: Arc<NetworkPolicy>) -> bool {
        let (namespace, name) = (old.namespace().unwrap_or_default(), old.name_any());
        match self.api(&old).delete(&name, &DeleteParams::default()).await {
            Ok(_) => {
                info!(namespace, name, "the NetworkPolicy is deleted");
                true
            }
            Err(kube::Error::Api(status)) if status.code == 404 => true,
            Err(error) => {
                warn!(namespace, name, %error, "the NetworkPolicy was not deleted; trying again");
                false
            }
        }
    }
}

/// The object for a wall around pods that are reached by proxies in `namespace`.
fn policy(wall: &Wall, namespace: &str) -> NetworkPolicy {
    let labels = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
    };
    let selector = |labels| LabelSelector { match_labels: Some(labels), ..LabelSelector::default() };
    let proxies = [(names::NAME_LABEL, names::APPLICATION), (names::COMPONENT_LABEL, names::PROXY_COMPONENT)];
    let from_proxies = NetworkPolicyIngressRule {
        from: Some(vec![NetworkPolicyPeer {
            namespace_selector: Some(selector(labels(&[(NAMESPACE_LABEL, namespace)]))),
            pod_selector: Some(selector(labels(&proxies))),
            ..NetworkPolicyPeer::default()
        }]),
        ..NetworkPolicyIngressRule::default()
    };
    let open =
        NetworkPolicyIngressRule { ports: Some(open(&wall.ports)), ..NetworkPolicyIngressRule::default() };
    NetworkPolicy {
        metadata: ObjectMeta {
            namespace: Some(wall.namespace.clone()),
            name: Some(wall.name.clone()),
            labels: Some(labels(&[(names::MANAGED_BY_LABEL, names::MANAGED_BY)])),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(wall.selector.clone())),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![from_proxies, open]),
            ..NetworkPolicySpec::default()
        }),
    }
}

/// All ports but the closed ones, as ranges.
fn open(closed: &BTreeSet<(Transport, u16)>) -> Vec<NetworkPolicyPort> {
    let mut open = Vec::new();
    for transport in [Transport::Tcp, Transport::Udp, Transport::Sctp] {
        let range = |range: Option<(u16, u16)>| NetworkPolicyPort {
            protocol: Some(transport.kubernetes().to_owned()),
            port: range.map(|(first, _)| IntOrString::Int(first.into())),
            end_port: range.filter(|(first, last)| first < last).map(|(_, last)| last.into()),
        };
        let closed: Vec<_> =
            closed.iter().filter(|(of, _)| *of == transport).map(|(_, port)| *port).collect();
        if closed.is_empty() {
            open.push(range(None)); // all of them
            continue;
        }
        let firsts = std::iter::once(Some(1)).chain(closed.iter().map(|port| port.checked_add(1)));
        let lasts = closed.iter().map(|port| port - 1).chain([u16::MAX]);
        let ranges = firsts.zip(lasts).filter_map(|(first, last)| Some((first?, last)));
        open.extend(ranges.filter(|(first, last)| first <= last).map(|between| range(Some(between))));
    }
    open
}

/// What to do so that exactly `wanted` exist.
fn changes(wanted: Vec<NetworkPolicy>, existing: &[Arc<NetworkPolicy>]) -> Changes {
    let place = |policy: &NetworkPolicy| (policy.namespace(), policy.name_any());
    let existing: BTreeMap<_, _> = existing.iter().map(|policy| (place(policy), policy)).collect();
    let names: BTreeSet<_> = wanted.iter().map(place).collect();
    let delete = existing.iter().filter(|(name, _)| !names.contains(*name)).map(|(_, old)| Arc::clone(old));
    let delete = delete.collect();
    let same = |known: &NetworkPolicy, wanted: &NetworkPolicy| known.spec == wanted.spec;
    let apply = wanted
        .into_iter()
        .filter(|wanted| !existing.get(&place(wanted)).is_some_and(|known| same(known, wanted)));
    Changes { delete, apply: apply.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wall(name: &str, ports: &[(Transport, u16)]) -> Wall {
        Wall {
            namespace: "shop".into(),
            name: name.into(),
            selector: [("app".to_owned(), name.to_owned())].into(),
            ports: ports.iter().copied().collect(),
        }
    }

    #[test]
    fn closed_ports_are_the_proxies_and_the_others_everybodys() {
        let policy = policy(
            &wall("web", &[(Transport::Tcp, 8080), (Transport::Udp, 1), (Transport::Udp, u16::MAX)]),
            "weft",
        );
        let labels = json!({"app.kubernetes.io/name": "weft", "app.kubernetes.io/component": "proxy"});
        let wanted = json!({
            "podSelector": {"matchLabels": {"app": "web"}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "weft"}},
                           "podSelector": {"matchLabels": labels}}]},
                {"ports": [{"protocol": "TCP", "port": 1, "endPort": 8079}, {"protocol": "TCP", "port": 8081, "endPort": 65535},
                           {"protocol": "UDP", "port": 2, "endPort": 65534}, {"protocol": "SCTP"}]},
            ],
        });
        assert_eq!(serde_json::to_value(policy.spec).unwrap(), wanted);
    }

    #[test]
    fn ports_beside_each_other_leave_no_range() {
        let shown = |ports: &[u16]| {
            let open = open(&ports.iter().map(|port| (Transport::Tcp, *port)).collect());
            let tcp = open.into_iter().filter(|port| port.protocol.as_deref() == Some("TCP"));
            tcp.map(|port| (port.port, port.end_port)).collect::<Vec<_>>()
        };
        let port = |port| Some(IntOrString::Int(port));
        assert_eq!(shown(&[1, 2, 4]), [(port(3), None), (port(5), Some(65_535))]);
        assert_eq!(shown(&[65_534]), [(port(1), Some(65_533)), (port(65_535), None)]);
    }

    #[test]
    fn exactly_what_is_wanted_exists() {
        let of = |name: &str, port| policy(&wall(name, &[(Transport::Tcp, port)]), "weft");
        let (web, old) = (Arc::new(of("web", 80)), Arc::new(of("old", 80)));
        assert_eq!(changes(vec![of("web", 80)], &[Arc::clone(&web)]), Changes::default());
        let found = changes(vec![of("web", 81)], &[web, Arc::clone(&old)]);
        assert_eq!(found, Changes { delete: vec![old], apply: vec![of("web", 81)] });
    }
}
