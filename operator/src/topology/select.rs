//! Selects the Services that have a mesh name, and the namespaces that are looked at.
//!
//! In: a Service or a namespace, and the settings. Out: yes or no.

use crate::{
    annotation,
    settings::{Select, Settings},
};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

/// Whether a Service has a mesh name. Never: those of namespaces that are not looked at, `default/kubernetes`, and
/// ExternalName Services, which are names of something else.
#[must_use]
pub fn is_meshed(service: &Service, settings: &Settings) -> bool {
    let namespace = service.namespace().unwrap_or_default();
    let never = (namespace == "default" && service.name_any() == "kubernetes")
        || service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName");
    let selected = match settings.select {
        Select::All => true,
        Select::Annotated => annotation::is_annotated(service.annotations()),
    };
    !never && is_watched(&namespace, settings) && selected && service.metadata.deletion_timestamp.is_none()
}

/// Whether a namespace is looked at. Never: kube-system, and the mesh's own.
#[must_use]
pub fn is_watched(namespace: &str, settings: &Settings) -> bool {
    let among = |names: &[String]| names.iter().any(|name| name == namespace);
    let never = namespace == "kube-system" || namespace == settings.namespace;
    let watched = settings.watch_namespaces.is_empty() || among(&settings.watch_namespaces);
    !never && watched && !among(&settings.ignore_namespaces)
}
