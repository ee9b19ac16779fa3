//! Recalls from what is published what a new leader cannot know yet.
//!
//! In: the nodes' ConfigMaps. Out: the certificates that Services are verified with, so that a change of leader while
//! they cannot be read takes none of them away.

use k8s_openapi::api::core::v1::ConfigMap;
use std::{collections::BTreeMap, sync::Arc};
use weft_contract::{ServiceKey, decode, object};

/// The certificates in force by the first ConfigMap that can be read; all nodes are told the same.
#[must_use]
pub fn authorities(configmaps: &[Arc<ConfigMap>]) -> BTreeMap<ServiceKey, String> {
    let configuration = configmaps.iter().find_map(|configmap| {
        let plain = configmap.data.as_ref().and_then(|data| data.get(object::PLAIN_KEY));
        let compressed = configmap.binary_data.as_ref().and_then(|data| data.get(object::COMPRESSED_KEY));
        let compressed = compressed.map(|bytes| bytes.0.as_slice());
        decode(plain.map(String::as_str), compressed, None).ok()
    });
    let services = configuration.into_iter().flat_map(|(_, configuration)| configuration.services);
    services.filter_map(|service| Some((service.key, service.policy.tls.ca?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{render::render, topology::Topology};
    use weft_contract::{Body, Policy, Service, encode};

    #[test]
    fn certificates_are_recalled_from_what_is_published() {
        let mut policy = Policy::default();
        policy.tls.ca = Some("certificates".into());
        let service = |name: &str, policy| Service {
            key: ServiceKey::new("shop", name),
            addresses: Vec::new(),
            ports: Vec::new(),
            policy,
            split: None,
        };
        let services = vec![service("api", policy), service("web", Policy::default())];
        let topology = Topology { services: Arc::new(services), ..Topology::default() };
        let encoded = encode(&render(&topology, &["mesh".into()], "node-1", None)).unwrap();
        let Body::Plain(text) = encoded.body else { panic!("not plain") };
        let configmap =
            ConfigMap { data: Some([(object::PLAIN_KEY.to_owned(), text)].into()), ..ConfigMap::default() };
        let recalled = authorities(&[Arc::new(ConfigMap::default()), Arc::new(configmap)]);
        assert_eq!(recalled, [(ServiceKey::new("shop", "api"), "certificates".to_owned())].into());
    }
}
