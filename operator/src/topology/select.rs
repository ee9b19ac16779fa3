//! Selects the Services that have a mesh name.
//!
//! In: a Service and the settings. Out: yes or no.

use crate::{
    annotation,
    settings::{Select, Settings},
};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

/// Whether a Service has a mesh name. Never: those of kube-system, `default/kubernetes`, the mesh's own, and
/// ExternalName Services, which are names of something else.
#[must_use]
pub fn is_meshed(service: &Service, settings: &Settings) -> bool {
    let namespace = service.namespace().unwrap_or_default();
    let never = namespace == "kube-system"
        || namespace == settings.namespace
        || (namespace == "default" && service.name_any() == "kubernetes")
        || service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName");
    let watched = settings.watch_namespaces.is_empty() || settings.watch_namespaces.contains(&namespace);
    let ignored = settings.ignore_namespaces.contains(&namespace);
    let selected = match settings.select {
        Select::All => true,
        Select::Annotated => annotation::is_annotated(service.annotations()),
    };
    !never && watched && !ignored && selected && service.metadata.deletion_timestamp.is_none()
}
