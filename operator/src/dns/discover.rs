//! Finds the cluster's DNS by what the cluster has, not by a version or a fixed name.
//!
//! In: the Services of kube-system and the pods behind one of them. Out: [`Server`], which says from which ConfigMap
//! the pods really read their configuration.

use k8s_openapi::{
    api::core::v1::{
        ConfigMapVolumeSource, Container, KeyToPath, Pod, PodSpec, Service, Volume, VolumeMount,
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use std::path::{Path, PathBuf};

/// The namespace of the cluster's DNS.
pub const DNS_NAMESPACE: &str = "kube-system";
/// ConfigMaps that common clusters use, for where no pod is left to ask.
pub const WELL_KNOWN_CONFIGMAPS: [&str; 5] =
    ["coredns", "coredns-custom", "rke2-coredns-rke2-coredns", "coredns-coredns", "kube-dns"];
/// The container of kube-dns that reads the stub domains.
const KUBE_DNS_CONTAINER: &str = "kubedns";
/// Where CoreDNS looks without `-conf`, below its working directory.
const DEFAULT_COREFILE: &str = "Corefile";

/// The cluster's DNS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// CoreDNS.
    CoreDns {
        /// The container.
        container: String,
        /// The path of its Corefile.
        path: PathBuf,
        /// Where the Corefile comes from.
        corefile: Source,
        /// The ConfigMaps that it has as folders.
        folders: Vec<Folder>,
    },
    /// kube-dns.
    KubeDns {
        /// The container.
        container: String,
        /// The ConfigMap with its settings.
        configmap: String,
    },
}

/// A file in a pod that comes from a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The ConfigMap.
    pub configmap: String,
    /// The key in it.
    pub key: String,
    /// Whether a change of the ConfigMap reaches the running pod; with a `subPath` it does not.
    pub live: bool,
}

/// A whole ConfigMap mounted as a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The ConfigMap.
    pub configmap: String,
    /// Where it is mounted.
    pub path: PathBuf,
}

/// What makes the pods of the DNS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A ReplicaSet, itself a Deployment's.
    ReplicaSet(String),
    /// A DaemonSet.
    DaemonSet(String),
}

/// The Services that may be the cluster's DNS, the likeliest first.
#[must_use]
pub fn candidates(services: &[Service]) -> Vec<&Service> {
    let mut ranked: Vec<_> = services
        .iter()
        .filter(|service| selector(service).is_some())
        .filter_map(|service| Some((rank(service)?, service)))
        .collect();
    ranked.sort_by(|(rank, service), (other_rank, other)| {
        (rank, &service.metadata.name).cmp(&(other_rank, &other.metadata.name))
    });
    ranked.into_iter().map(|(_, service)| service).collect()
}

fn rank(service: &Service) -> Option<u8> {
    let labels = service.metadata.labels.as_ref();
    let labelled = |key, value| labels.and_then(|labels| labels.get(key)).is_some_and(|found| found == value);
    [
        service.metadata.name.as_deref() == Some("kube-dns"),
        labelled("k8s-app", "kube-dns"),
        labelled("kubernetes.io/name", "CoreDNS"),
        labelled("app.kubernetes.io/name", "coredns"),
    ]
    .iter()
    .position(|fits| *fits)
    .and_then(|rank| u8::try_from(rank).ok())
}

/// The selector of a Service's pods, in the syntax of the API.
#[must_use]
pub fn selector(service: &Service) -> Option<String> {
    let selector = service.spec.as_ref()?.selector.as_ref().filter(|selector| !selector.is_empty())?;
    Some(selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","))
}

/// The DNS server as its newest pod runs it.
#[must_use]
pub fn server(pods: &[Pod]) -> Option<Server> {
    newest(pods).into_iter().find_map(|pod| of_pod(pod.spec.as_ref()?))
}

/// The ConfigMaps that a DNS server has as folders.
#[must_use]
pub fn folders(server: &Server) -> &[Folder] {
    match server {
        Server::CoreDns { container: _, path: _, corefile: _, folders } => folders,
        Server::KubeDns { container: _, configmap: _ } => &[],
    }
}

/// What makes the pods.
#[must_use]
pub fn owner(pods: &[Pod]) -> Option<Owner> {
    let controller = |pod: &Pod| -> Option<OwnerReference> {
        let owners = pod.metadata.owner_references.clone()?;
        owners.into_iter().find(|owner| owner.controller == Some(true))
    };
    newest(pods).into_iter().find_map(controller).and_then(|owner| match owner.kind.as_str() {
        "ReplicaSet" => Some(Owner::ReplicaSet(owner.name)),
        "DaemonSet" => Some(Owner::DaemonSet(owner.name)),
        _ => None,
    })
}

fn newest(pods: &[Pod]) -> Vec<&Pod> {
    let mut pods: Vec<_> = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
    pods.sort_by(|one, other| {
        let made = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        made(other).cmp(&made(one)).then_with(|| one.metadata.name.cmp(&other.metadata.name))
    });
    pods
}

fn of_pod(spec: &PodSpec) -> Option<Server> {
    spec.containers.iter().find_map(|container| {
        let named = container.name == KUBE_DNS_CONTAINER;
        if named { kube_dns(spec, container) } else { core_dns(spec, container) }
    })
}

fn kube_dns(spec: &PodSpec, container: &Container) -> Option<Server> {
    let (_, source) = mounts(spec, container).find(|(mount, _)| mount.sub_path.is_none())?;
    Some(Server::KubeDns { container: container.name.clone(), configmap: source.name.clone() })
}

fn core_dns(spec: &PodSpec, container: &Container) -> Option<Server> {
    let words: Vec<&str> =
        [&container.command, &container.args].into_iter().flatten().flatten().map(String::as_str).collect();
    let told = words.iter().enumerate().find_map(|(index, word)| {
        let word = word.trim_start_matches('-');
        match word.split_once('=') {
            Some(("conf", path)) => Some(path),
            Some(_) => None,
            None => (word == "conf").then(|| words.get(index + 1).copied()).flatten(),
        }
    });
    let directory = container.working_dir.as_deref().unwrap_or("/");
    let path = Path::new(directory).join(told.unwrap_or(DEFAULT_COREFILE)); // an absolute path stays
    let corefile = source(spec, container, &path)?;
    let folders = mounts(spec, container)
        .filter(|(mount, source)| mount.sub_path.is_none() && source.items.is_none())
        .map(|(mount, source)| Folder {
            configmap: source.name.clone(),
            path: PathBuf::from(&mount.mount_path),
        })
        .collect();
    Some(Server::CoreDns { container: container.name.clone(), path, corefile, folders })
}

/// Where a file in a container comes from.
fn source(spec: &PodSpec, container: &Container, path: &Path) -> Option<Source> {
    let found = mounts(spec, container).filter_map(|(mount, source)| {
        let (inside, live) = match &mount.sub_path {
            Some(sub_path) => ((Path::new(&mount.mount_path) == path).then_some(sub_path.as_str())?, false),
            None => (path.strip_prefix(&mount.mount_path).ok()?.to_str()?, true),
        };
        let key = match &source.items {
            Some(items) => items.iter().find(|item: &&KeyToPath| item.path == inside)?.key.clone(),
            None => inside.to_owned(),
        };
        Some((mount.mount_path.len(), Source { configmap: source.name.clone(), key, live }))
    });
    found.max_by_key(|(length, _)| *length).map(|(_, source)| source) // the innermost mount hides the others
}

fn mounts<'a>(
    spec: &'a PodSpec,
    container: &'a Container,
) -> impl Iterator<Item = (&'a VolumeMount, ConfigMapVolumeSource)> {
    container.volume_mounts.iter().flatten().flat_map(|mount| {
        let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name);
        volume.into_iter().flat_map(configmaps).map(move |source| (mount, source))
    })
}

/// The ConfigMaps of a volume, also of a projected one.
fn configmaps(volume: &Volume) -> Vec<ConfigMapVolumeSource> {
    let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let projected = projected.filter_map(|source| source.config_map.clone()).map(|source| {
        ConfigMapVolumeSource { items: source.items, name: source.name, ..ConfigMapVolumeSource::default() }
    });
    volume.config_map.iter().cloned().chain(projected).collect()
}

#[cfg(test)]
mod tests;
