//! Publishes the configuration of each node: the reconciler of Nodes.
//!
//! In: Nodes, the current topology, and the ConfigMaps that exist. Out: one ConfigMap per node, owned by its Node, so
//! that it goes with it.

use super::{
    apply,
    history::{History, Served},
};
use crate::{
    finding::{About, Finding, Kind, Reason},
    names,
    render::render,
    report::{Reporter, Source},
    topology::Topology,
};
use futures::{Stream, StreamExt};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Node},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, Patch},
    runtime::{
        controller::{Action, Config, Controller},
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use weft_contract::{Body, DecodeError, Encoded, LIMIT_BYTES, encode, object};

/// How many nodes are written at a time. Rendering is work for a processor, so more would not be faster.
const CONCURRENCY: u16 = 8;
/// The label of a Node with the zone that it is in (Kubernetes, "Well-Known Labels").
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// How long to wait after an error before the next attempt.
const RETRY: Duration = Duration::from_secs(1);

/// What the topology is now, with what it serves.
#[derive(Clone, Default)]
pub struct Current {
    /// The topology.
    pub topology: Arc<Topology>,
    /// What it serves.
    pub served: Arc<Served>,
}

/// What the reconciler works with.
pub struct Context {
    /// The client.
    pub client: Client,
    /// The mesh's namespace.
    pub namespace: String,
    /// The mesh's zones.
    pub zones: Vec<String>,
    /// The topology; none before the first.
    pub current: watch::Receiver<Option<Current>>,
    /// The ConfigMaps that exist.
    pub configmaps: Store<ConfigMap>,
    /// Where published revisions are remembered.
    pub history: Arc<History>,
    /// Who is told that something was published.
    pub published: Arc<Notify>,
    /// Who is told of configurations near the limit.
    pub reporter: Reporter,
    /// Nodes whose configuration is near the limit.
    pub large: Mutex<BTreeMap<String, Finding>>,
}

/// Why a node's configuration could not be published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be encoded.
    #[error("the configuration of node {0} cannot be encoded: {1}")]
    Encode(String, #[source] DecodeError),
    /// The API server refused it.
    #[error("the ConfigMap of node {0} cannot be written: {1}")]
    Write(String, #[source] Box<kube::Error>),
}

/// Keeps the ConfigMap of every node in line, until `stop`.
pub async fn run(
    context: Context,
    settled: impl Stream<Item = ()> + Send + 'static,
    stop: CancellationToken,
) {
    let nodes: Api<Node> = Api::all(context.client.clone());
    let configmaps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.namespace);
    let ours =
        watcher::Config::default().labels(&format!("{}={}", names::MANAGED_BY_LABEL, names::MANAGED_BY));
    let controller = Controller::new(nodes, watcher::Config::default());
    let existing = controller.store();
    let context = Arc::new(context);
    let history = Arc::clone(&context.history);
    controller
        // What `owns` does, but that it names a Node by the ConfigMap's namespace too: a second name, by which the
        // same Node would be reconciled twice at a time.
        .watches(configmaps, ours, owner)
        .reconcile_all_on(settled)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile, |_, error, _| on_error(error), context)
        .for_each(|result| {
            if let Err(error) = result {
                debug!(%error, "a node was not reconciled");
            }
            history.retain(|node| existing.get(&ObjectRef::new(node)).is_some());
            std::future::ready(())
        })
        .await;
}

/// The Node that owns a ConfigMap.
fn owner(configmap: ConfigMap) -> Option<ObjectRef<Node>> {
    let owners = configmap.metadata.owner_references.unwrap_or_default();
    owners.into_iter().find(|owner| owner.kind == "Node").map(|owner| ObjectRef::new(&owner.name))
}

fn on_error(error: &Error) -> Action {
    warn!(%error, "trying again");
    Action::requeue(RETRY)
}

async fn reconcile(node: Arc<Node>, context: Arc<Context>) -> Result<Action, Error> {
    let name = node.name_any();
    let Some(Current { topology, served }) = context.current.borrow().clone() else {
        return Ok(Action::await_change()); // the first topology triggers every node
    };
    let place = node.labels().get(ZONE_LABEL).map(String::as_str);
    let configuration = render(&topology, &context.zones, &name, place);
    let encoded = encode(&configuration).map_err(|error| Error::Encode(name.clone(), error))?;
    context.tell_size(&node, &encoded);
    if encoded.bytes() > LIMIT_BYTES {
        return Ok(Action::await_change()); // the last one stays in force, and an Event has said so
    }
    let wanted = configmap(&node, &encoded);
    let known = context.configmaps.get(&ObjectRef::new(&wanted.name_any()).within(&context.namespace));
    if !known.is_some_and(|known| is_same(&known, &wanted)) {
        let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.namespace);
        let written = api.patch(&wanted.name_any(), &apply(), &Patch::Apply(&wanted)).await;
        written.map_err(|error| Error::Write(name.clone(), Box::new(error)))?;
        info!(node = name, revision = encoded.revision, bytes = encoded.bytes(), "published");
    }
    context.history.published(&name, &encoded.revision, &served);
    context.published.notify_one();
    Ok(Action::await_change())
}

fn configmap(node: &Node, encoded: &Encoded) -> ConfigMap {
    let (data, binary_data) = match &encoded.body {
        Body::Plain(text) => (Some([(object::PLAIN_KEY.to_owned(), text.clone())].into()), None),
        Body::Compressed(bytes) => {
            (None, Some([(object::COMPRESSED_KEY.to_owned(), ByteString(bytes.clone()))].into()))
        }
    };
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(object::configmap_name(&node.name_any())),
            labels: Some([(names::MANAGED_BY_LABEL.to_owned(), names::MANAGED_BY.to_owned())].into()),
            annotations: Some(
                [
                    (object::REVISION_ANNOTATION.to_owned(), encoded.revision.clone()),
                    (object::NODE_ANNOTATION.to_owned(), node.name_any()),
                ]
                .into(),
            ),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".into(),
                kind: "Node".into(),
                name: node.name_any(),
                uid: node.uid().unwrap_or_default(),
                controller: Some(true),
                block_owner_deletion: Some(false),
            }]),
            ..ObjectMeta::default()
        },
        data,
        binary_data,
        immutable: None,
    }
}

/// Whether a ConfigMap says what is wanted. The content counts, not only its revision: somebody may have edited it.
fn is_same(known: &ConfigMap, wanted: &ConfigMap) -> bool {
    let revision = |configmap: &ConfigMap| configmap.annotations().get(object::REVISION_ANNOTATION).cloned();
    known.data.clone().unwrap_or_default() == wanted.data.clone().unwrap_or_default()
        && known.binary_data.clone().unwrap_or_default() == wanted.binary_data.clone().unwrap_or_default()
        && revision(known) == revision(wanted)
        && known.metadata.owner_references == wanted.metadata.owner_references
}

impl Context {
    /// Tells people before a configuration hits the limit of a ConfigMap.
    fn tell_size(&self, node: &Node, encoded: &Encoded) {
        let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        let known = large.get(&node.name_any()).cloned();
        let found = too_large(node, encoded.bytes());
        if found == known {
            return;
        }
        match found {
            Some(finding) => large.insert(node.name_any(), finding),
            None => large.remove(&node.name_any()),
        };
        self.reporter.state(Source::Nodes, large.values().cloned().collect());
    }
}

/// The finding about a configuration that fills more than three quarters of a ConfigMap.
fn too_large(node: &Node, bytes: usize) -> Option<Finding> {
    if bytes <= LIMIT_BYTES / 4 * 3 {
        return None;
    }
    let meanwhile = if bytes > LIMIT_BYTES {
        "It does not fit: the last one that did stays in force."
    } else {
        "It still fits."
    };
    // In steps of five, so that each endpoint that comes or goes is not worth an Event.
    let percent = bytes * 20 / LIMIT_BYTES * 5;
    Some(Finding {
        about: About {
            kind: Kind::Node,
            namespace: String::new(),
            name: node.name_any(),
            uid: node.uid().unwrap_or_default(),
        },
        reason: Reason::ConfigurationTooLarge,
        detail: String::new(),
        note: format!(
            "The configuration of this node's proxy takes {percent} % or more of what a ConfigMap can hold. {meanwhile} \
             Limit the mesh with select, watchNamespaces or ignoreNamespaces in the chart."
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        Node {
            metadata: ObjectMeta {
                name: Some("node-1".into()),
                uid: Some("u".into()),
                ..ObjectMeta::default()
            },
            ..Node::default()
        }
    }

    #[test]
    fn the_limit_is_told_before_it_is_hit() {
        assert_eq!(too_large(&node(), LIMIT_BYTES / 4 * 3), None);
        let near = too_large(&node(), LIMIT_BYTES / 4 * 3 + 1).unwrap();
        assert!(near.note.contains("75 %") && near.note.contains("It still fits"), "{}", near.note);
        assert_eq!(too_large(&node(), LIMIT_BYTES / 4 * 3 + 1000), Some(near), "no word about each endpoint");
        let beyond = too_large(&node(), LIMIT_BYTES + 1).unwrap();
        assert!(beyond.note.contains("stays in force"), "{}", beyond.note);
    }

    #[test]
    fn an_edited_configmap_is_not_the_same_though_its_revision_is() {
        let encoded = Encoded { revision: "r".into(), body: Body::Plain("{}".into()) };
        let wanted = configmap(&node(), &encoded);
        assert!(is_same(&wanted, &wanted));
        let mut edited = wanted.clone();
        edited.data = Some([(object::PLAIN_KEY.to_owned(), "{ }".to_owned())].into());
        assert!(!is_same(&edited, &wanted));
        let mut orphan = wanted.clone();
        orphan.metadata.owner_references = None;
        assert!(!is_same(&orphan, &wanted), "it would not go with its Node");
    }
}
