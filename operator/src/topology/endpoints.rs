//! Finds the endpoints of a Service's port.
//!
//! In: EndpointSlices, those of Services without a selector included. Out: endpoints, sorted, each once.

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, EndpointSlice};
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};
use weft_contract::{self as contract, ServiceKey, Transport};

/// The label by which an EndpointSlice names its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// EndpointSlices by Service.
pub struct EndpointIndex<'a> {
    slices: HashMap<ServiceKey, Vec<&'a EndpointSlice>>,
}

impl<'a> EndpointIndex<'a> {
    /// Sorts EndpointSlices by Service.
    #[must_use]
    pub fn of(slices: &'a [Arc<EndpointSlice>]) -> Self {
        let mut index: HashMap<_, Vec<&EndpointSlice>> = HashMap::new();
        for slice in slices {
            // Addresses of type FQDN are names, which nothing resolves here; Kubernetes has deprecated them.
            let addresses = matches!(slice.address_type.as_str(), "IPv4" | "IPv6");
            if let (Some(name), Some(namespace), true) =
                (slice.labels().get(SERVICE_NAME_LABEL), slice.namespace(), addresses)
            {
                index.entry(ServiceKey::new(namespace, name)).or_default().push(slice);
            }
        }
        Self { slices: index }
    }

    /// The endpoints of one port of a Service, which slices name as the Service does.
    #[must_use]
    pub fn of_port(
        &self,
        key: &ServiceKey,
        name: Option<&str>,
        transport: Transport,
    ) -> Vec<contract::Endpoint> {
        let mut found: BTreeMap<(IpAddr, u16), contract::Endpoint> = BTreeMap::new();
        for slice in self.slices.get(key).into_iter().flatten() {
            let ports = slice.ports.iter().flatten().filter(|port| {
                port.name.as_deref().unwrap_or_default() == name.unwrap_or_default()
                    && port.protocol.as_deref().unwrap_or("TCP") == transport.kubernetes()
            });
            for port in ports.filter_map(|port| u16::try_from(port.port?).ok().filter(|port| *port != 0)) {
                for endpoint in
                    slice.endpoints.iter().filter_map(|endpoint| contract_endpoint(endpoint, port))
                {
                    let place = found.entry((endpoint.address, port));
                    // While a slice is split or joined an endpoint may stand in two; the readier one is the newer.
                    place
                        .and_modify(|known| {
                            if (endpoint.ready, endpoint.serving) > (known.ready, known.serving) {
                                *known = endpoint.clone();
                            }
                        })
                        .or_insert(endpoint);
                }
            }
        }
        found.into_values().collect()
    }

    /// The addresses that a headless Service's name resolves to.
    #[must_use]
    pub fn ready_addresses(&self, key: &ServiceKey) -> Vec<IpAddr> {
        let slices = self.slices.get(key).into_iter().flatten();
        let endpoints = slices.flat_map(|slice| slice.endpoints.iter());
        let ready =
            endpoints.filter_map(|endpoint| contract_endpoint(endpoint, 1)).filter(|endpoint| endpoint.ready);
        let mut addresses: Vec<_> = ready.map(|endpoint| endpoint.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}

/// An endpoint with the defaults that the API documents for absent conditions.
fn contract_endpoint(endpoint: &Endpoint, port: u16) -> Option<contract::Endpoint> {
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
    Some(contract::Endpoint {
        // Consumers use the first address only (EndpointSlice API, "addresses").
        address: endpoint.addresses.first()?.parse().ok()?,
        port,
        ready,
        serving: conditions.and_then(|conditions| conditions.serving).unwrap_or(ready),
        terminating: conditions.and_then(|conditions| conditions.terminating).unwrap_or(false),
        zone: endpoint.zone.clone(),
        node: endpoint.node_name.clone(),
        hints: hints(endpoint),
    })
}

/// For whom an endpoint is meant.
fn hints(endpoint: &Endpoint) -> contract::Hints {
    let Some(hints) = &endpoint.hints else { return contract::Hints::default() };
    let EndpointHints { for_zones, for_nodes } = hints;
    let mut zones: Vec<_> = for_zones.iter().flatten().map(|zone| zone.name.clone()).collect();
    let mut nodes: Vec<_> = for_nodes.iter().flatten().map(|node| node.name.clone()).collect();
    zones.sort_unstable();
    nodes.sort_unstable();
    contract::Hints { zones, nodes }
}
