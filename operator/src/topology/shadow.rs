//! The shadow Services: which are wanted, and what those that exist say.
//!
//! In: the Services of the mesh's namespace. Out: [`Shadow`]s wanted, and the record that existing ones hold: target
//! ports, the last good annotations, and their addresses.

use super::ports::{Allotment, PortKey, Record};
use crate::{annotation::Values, names, observe::Snapshot};
use k8s_openapi::{api::core::v1::Service, apimachinery::pkg::util::intstr::IntOrString};
use kube::ResourceExt;
use std::{collections::BTreeMap, net::IpAddr};
use weft_contract::{ServiceKey, Transport, fingerprint};

/// The annotation of a shadow Service with the last good annotations of the Service it stands for, as JSON.
pub const LAST_GOOD_ANNOTATION: &str = "weft.mesh/last-good";

/// A shadow Service that should exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// Its name.
    pub name: String,
    /// The Service that it stands for.
    pub key: ServiceKey,
    /// Its ports, in the order of the Service.
    pub ports: Vec<ShadowPort>,
    /// Its IP families, as the Service has them.
    pub ip_families: Vec<String>,
    /// Its policy of IP families, as the Service has it.
    pub ip_family_policy: Option<String>,
    /// The good annotations of the Service.
    pub last_good: Values,
}

/// A port of a shadow Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowPort {
    /// The name, as on the Service.
    pub name: Option<String>,
    /// The number, as on the Service.
    pub port: u16,
    /// The transport, as on the Service.
    pub transport: Transport,
    /// The proxy port behind it.
    pub listener: u16,
}

/// The shadow Services that exist, by name.
pub struct Shadows<'a> {
    existing: BTreeMap<String, (ServiceKey, &'a Service)>,
}

/// The name of the shadow Service of `key`: readable at the front, told apart by a hash at the end, and legal for names
/// of any legal length (RFC 1035 label).
#[must_use]
pub fn name(key: &ServiceKey) -> String {
    /// Of 63 characters: "weft-", two hyphens and ten of the hash leave 46.
    const READABLE: usize = 23;
    let hash: String = fingerprint(key.to_string().as_bytes()).chars().take(10).collect();
    let cut = |text: &str| text.chars().take(READABLE).collect::<String>();
    format!("weft-{}-{}-{hash}", cut(&key.name), cut(&key.namespace))
}

/// The ClusterIPs of a Service; none for a headless one.
#[must_use]
pub fn cluster_ips(service: &Service) -> Vec<IpAddr> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let all = spec.cluster_ips.iter().flatten().chain(spec.cluster_ip.as_ref());
    let mut addresses: Vec<IpAddr> = all.filter_map(|text| text.parse().ok()).collect(); // "None" and "" are no address
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// The key of the Service that a shadow Service stands for, where `service` is one.
#[must_use]
pub fn stands_for(service: &Service, namespace: &str) -> Option<ServiceKey> {
    let is_shadow =
        service.labels().get(names::SHADOW_LABEL).is_some_and(|value| value == names::SHADOW_VALUE);
    if !is_shadow || service.namespace().as_deref() != Some(namespace) {
        return None;
    }
    let annotation = |name: &str| service.annotations().get(name).cloned();
    Some(ServiceKey {
        namespace: annotation(names::SERVICE_NAMESPACE_ANNOTATION)?,
        name: annotation(names::SERVICE_NAME_ANNOTATION)?,
    })
}

impl<'a> Shadows<'a> {
    /// The shadow Services of a snapshot; those on their way out are left out.
    #[must_use]
    pub fn of(snapshot: &'a Snapshot, namespace: &str) -> Self {
        let existing =
            snapshot.services.iter().filter(|service| service.metadata.deletion_timestamp.is_none());
        let existing = existing.filter_map(|service| {
            let key = stands_for(service, namespace)?;
            Some((service.name_any(), (key, service.as_ref())))
        });
        Self { existing: existing.collect() }
    }

    /// Who has which proxy port.
    #[must_use]
    pub fn record(&self) -> Allotment {
        let mine = self.existing.iter().filter(|(own, (key, _))| name(key) == **own);
        mine.map(|(_, (key, service))| (key.clone(), record(service))).collect()
    }

    /// The annotations of `key` that were good last.
    #[must_use]
    pub fn last_good(&self, key: &ServiceKey) -> Values {
        let recorded =
            self.get(&name(key), key).and_then(|shadow| shadow.annotations().get(LAST_GOOD_ANNOTATION));
        // Anything else than what the operator wrote there is as good as nothing.
        recorded.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }

    /// The addresses of the shadow Service `name` of `key`, where it exists and has some.
    #[must_use]
    pub fn addresses(&self, name: &str, key: &ServiceKey) -> Option<Vec<IpAddr>> {
        Some(cluster_ips(self.get(name, key)?)).filter(|addresses| !addresses.is_empty())
    }

    fn get(&self, name: &str, key: &ServiceKey) -> Option<&'a Service> {
        self.existing.get(name).filter(|(stands_for, _)| stands_for == key).map(|(_, service)| *service)
    }
}

fn record(shadow: &Service) -> Record {
    let ports = shadow.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let transport = match port.protocol.as_deref() {
                None | Some("TCP") => Transport::Tcp,
                Some("UDP") => Transport::Udp,
                Some(_) => return None,
            };
            let Some(IntOrString::Int(listener)) = port.target_port else { return None };
            Some((PortKey { port: u16::try_from(port.port).ok()?, transport }, u16::try_from(listener).ok()?))
        })
        .collect()
}
