//! Watches the node's ConfigMap.
//!
//! In: the API server. Out: the ConfigMap's content, each time that it changed. An API server that is away is asked
//! again, with growing pauses, for ever; a ConfigMap that was deleted changes nothing.

use super::Content;
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use tokio::sync::mpsc;
use weft_contract::object;

/// Watches until nobody listens any more.
pub async fn follow(client: Client, namespace: &str, node: &str, contents: mpsc::Sender<Content>) {
    let name = object::configmap_name(node);
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let events = watcher(api, only).default_backoff();
    pin_mut!(events);
    tracing::info!(namespace, name, "watching the configuration");
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(map) | watcher::Event::InitApply(map)) => {
                if contents.send(content(map)).await.is_err() {
                    return;
                }
            }
            Ok(watcher::Event::Delete(_)) => {
                tracing::warn!(name, "the configuration was deleted: staying on the last one");
            }
            Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
            Err(error) => tracing::warn!(%error, "cannot watch the configuration for now"),
        }
    }
}

fn content(map: ConfigMap) -> Content {
    let ConfigMap { metadata, data, binary_data, immutable: _ } = map;
    Content {
        plain: data.and_then(|mut data| data.remove(object::PLAIN_KEY)),
        compressed: binary_data.and_then(|mut data| data.remove(object::COMPRESSED_KEY)).map(|bytes| bytes.0),
        revision: metadata.annotations.and_then(|mut all| all.remove(object::REVISION_ANNOTATION)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    #[test]
    fn both_kinds_of_content_and_the_revision_are_read() {
        let map = ConfigMap {
            data: Some([(object::PLAIN_KEY.to_owned(), "{}".to_owned())].into()),
            binary_data: Some([(object::COMPRESSED_KEY.to_owned(), ByteString(vec![1]))].into()),
            metadata: kube::core::ObjectMeta {
                annotations: Some([(object::REVISION_ANNOTATION.to_owned(), "beef".to_owned())].into()),
                ..Default::default()
            },
            immutable: None,
        };
        let read = content(map);
        assert_eq!(read.plain.as_deref(), Some("{}"));
        assert_eq!(read.compressed.as_deref(), Some(&[1][..]));
        assert_eq!(read.revision.as_deref(), Some("beef"));
        assert!(super::super::accept(&read, "node-1").is_err(), "not both at once");
    }
}
