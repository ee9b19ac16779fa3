//! Resolves TrafficSplits.
//!
//! In: the SMI objects and the Services. Out: the split in force on each Service, and findings about what is not. A
//! backend is always its Service's endpoints, never another split.

use super::smi::Index;
use crate::{
    finding::{About, Finding, Reason},
    smi::{
        Object, SmiKind,
        model::{Backend, TrafficSplit},
    },
};
use std::collections::BTreeMap;
use weft_contract::{
    self as contract, HttpMatch, Protocol, ServiceKey, Split, SplitBackend, SplitSticky, Transport,
};

/// A TrafficSplit that is in force.
type InForce<'a> = BTreeMap<ServiceKey, (&'a Object, &'a TrafficSplit)>;

/// Puts splits on Services, which are sorted. `sticky` is what they ask for themselves.
pub(super) fn put(
    index: &Index<'_>,
    sticky: &BTreeMap<ServiceKey, SplitSticky>,
    zones: &[String],
    services: &mut [contract::Service],
    findings: &mut Vec<Finding>,
) {
    let in_force = in_force(index, zones, services, findings);
    let mut found = Vec::new();
    for (root, (object, split)) in &in_force {
        let resolver = Resolver { about: &object.about, root, index, zones, services, in_force: &in_force };
        found.push((root, resolver.resolve(split, sticky.get(root).cloned(), findings)));
    }
    for (root, split) in found {
        if let Some(service) = find(services, root) {
            services[service].split = split;
        }
    }
}

fn find(services: &[contract::Service], key: &ServiceKey) -> Option<usize> {
    services.binary_search_by(|service| service.key.cmp(key)).ok()
}

/// The splits in force by their Services: of several the one that is there longest.
fn in_force<'a>(
    index: &Index<'a>,
    zones: &[String],
    services: &[contract::Service],
    findings: &mut Vec<Finding>,
) -> InForce<'a> {
    let mut splits = index.splits.clone();
    splits.sort_by_key(|(object, _)| (object.created, &object.about.namespace, &object.about.name));
    let mut in_force = InForce::new();
    for (object, split) in splits {
        let mut unused = |note| findings.push(finding(&object.about, Reason::SplitNotUsed, "", note));
        let root = match local(&split.service, object.namespace(), zones) {
            Ok(name) => ServiceKey::new(object.namespace(), name),
            Err(why) => {
                unused(format!("The split Service {why}. The split is not in force."));
                continue;
            }
        };
        if find(services, &root).is_none() {
            unused(format!(
                "The split Service {root} does not exist or has no mesh name. The split is in force as soon as it has one."
            ));
            continue;
        }
        if let Some((older, _)) = in_force.get(&root) {
            unused(format!(
                "The Service {root} is split by {} already, which is there longer. Delete one of the two.",
                older.name()
            ));
            continue;
        }
        in_force.insert(root, (object, split));
    }
    in_force
}

/// Resolves one split.
struct Resolver<'a> {
    about: &'a About,
    root: &'a ServiceKey,
    index: &'a Index<'a>,
    zones: &'a [String],
    services: &'a [contract::Service],
    in_force: &'a InForce<'a>,
}

impl Resolver<'_> {
    fn resolve(
        &self,
        split: &TrafficSplit,
        sticky: Option<SplitSticky>,
        findings: &mut Vec<Finding>,
    ) -> Option<Split> {
        let root = &self.services[find(self.services, self.root)?];
        let mut shares: BTreeMap<ServiceKey, (u64, Vec<u16>)> = BTreeMap::new();
        for backend in &split.backends {
            if let Some((key, weight, ports)) = self.backend(backend, root, findings) {
                // One that is named twice has what both say.
                let share = shares.entry(key).or_insert((0, ports));
                share.0 = share.0.saturating_add(weight);
            }
        }
        let weights = scaled(shares.values().map(|(weight, _)| *weight).collect());
        let backends: Vec<_> = shares
            .into_iter()
            .zip(weights)
            .map(|((service, (_, ports)), weight)| SplitBackend { service, weight, ports })
            .collect();
        for port in root.ports.iter().filter(|port| port.transport != Transport::Sctp) {
            let usable = |backend: &SplitBackend| backend.weight > 0 && backend.ports.contains(&port.port);
            if !backends.iter().any(usable) {
                let note = format!(
                    "No backend has port {} of {} and a weight above 0. Requests there are answered 503, connections are \
                     closed. Correct the backends, or delete the split.",
                    port.port, self.root
                );
                findings.push(self.finding(Reason::SplitWithoutBackend, &port.port.to_string(), note));
            }
        }
        let matches = self.matches(split, root, findings);
        Some(Split { name: self.about.name.clone(), matches, backends, sticky })
    }

    /// A backend that exists, with its weight in thousandths and which of the split Service's ports it has.
    fn backend(
        &self,
        backend: &Backend,
        root: &contract::Service,
        findings: &mut Vec<Finding>,
    ) -> Option<(ServiceKey, u64, Vec<u16>)> {
        let Backend { service, weight } = backend;
        let mut unused = |note| findings.push(self.finding(Reason::SplitBackendNotUsed, service, note));
        let weight = weight.clone().unwrap_or_else(|why| {
            unused(format!("The weight of {service} cannot be used: {why}. It counts as 0."));
            0
        });
        let key = match local(service, &self.about.namespace, self.zones) {
            Ok(name) => ServiceKey::new(&self.about.namespace, name),
            Err(why) => {
                unused(format!("The backend {why}; it is left out."));
                return None;
            }
        };
        let Some(known) = find(self.services, &key) else {
            // A backend without weight may be still to come, as the specification's own workflow has it.
            if weight > 0 {
                unused(format!(
                    "The backend {key} does not exist or has no mesh name; the other backends share what it would have got."
                ));
            }
            return None;
        };
        let known = &self.services[known];
        let has = |port: &contract::Port| {
            known.ports.iter().any(|known| (known.port, known.transport) == (port.port, port.transport))
        };
        let missing: Vec<_> = root.ports.iter().filter(|port| !has(port)).map(|port| port.port).collect();
        if !missing.is_empty() {
            let numbers: Vec<_> = missing.iter().map(u16::to_string).collect();
            unused(format!(
                "The backend {key} does not have port {} of {}, and gets nothing there: the other backends share it. Give the \
                 Service that port; its targetPort may differ.",
                numbers.join(", "),
                self.root
            ));
        }
        if key != *self.root && self.in_force.contains_key(&key) {
            let note = format!(
                "The backend {key} is split itself. Its own endpoints get its share here; splits are never followed further."
            );
            findings.push(self.finding(Reason::SplitNested, service, note));
        }
        // A number that the split Service has with two transports counts only with both.
        let mut ports: Vec<_> =
            root.ports.iter().map(|port| port.port).filter(|port| !missing.contains(port)).collect();
        ports.sort_unstable();
        ports.dedup();
        Some((key, weight, ports))
    }

    /// Which requests are split; all where there are no `matches`.
    fn matches(
        &self,
        split: &TrafficSplit,
        root: &contract::Service,
        findings: &mut Vec<Finding>,
    ) -> Option<Vec<HttpMatch>> {
        if split.matches.is_empty() {
            return None;
        }
        let mut protocols =
            root.ports.iter().filter_map(|port| Some(port.listener.as_ref()?.protocol)).peekable();
        if protocols.peek().is_some() && !protocols.any(|protocol| protocol == Protocol::Http) {
            let note = format!(
                "matches tells HTTP requests apart, and {} has no port with HTTP: nothing is split. Remove matches, or have \
                 the Service speak HTTP.",
                self.root
            );
            findings.push(self.finding(Reason::SplitMatchesNotUsed, "", note));
        }
        let mut matches = Vec::new();
        for reference in &split.matches {
            let place = (self.about.namespace.as_str(), reference.name.as_str());
            let is_group = reference.kind == SmiKind::HttpRouteGroup.kubernetes();
            match self.index.groups.get(&place).filter(|_| is_group) {
                Some(group) => {
                    matches.extend(group.matches.iter().filter_map(|known| known.requests.clone().ok()));
                }
                None => {
                    let note = format!(
                        "matches names the {} {}, and there is no such HTTPRouteGroup in namespace {} that can be read. \
                         Nothing matches it; what matches nothing goes to the Service's own endpoints.",
                        reference.kind, reference.name, self.about.namespace
                    );
                    let detail = format!("{} {}", reference.kind, reference.name);
                    findings.push(self.finding(Reason::SplitMatchesNotUsed, &detail, note));
                }
            }
        }
        matches.sort_unstable();
        matches.dedup();
        Some(matches)
    }

    fn finding(&self, reason: Reason, detail: &str, note: String) -> Finding {
        finding(self.about, reason, detail, note)
    }
}

fn finding(about: &About, reason: Reason, detail: &str, note: String) -> Finding {
    Finding { about: about.clone(), reason, detail: detail.to_owned(), note }
}

/// The name of a Service of `namespace`, from its short name or any longer one by which clients may call it.
fn local<'a>(text: &'a str, namespace: &str, zones: &[String]) -> Result<&'a str, String> {
    let whole = text.trim_end_matches('.');
    let (name, rest) = whole.split_once('.').unwrap_or((whole, ""));
    let domain = rest.strip_prefix(namespace).and_then(|rest| rest.strip_prefix('.'));
    let own = rest.is_empty()
        || rest == namespace
        || domain.is_some_and(|domain| {
            domain == "svc" || domain.starts_with("svc.") || zones.iter().any(|zone| zone == domain)
        });
    if own && !name.is_empty() {
        Ok(name)
    } else {
        Err(format!(
            "{text:?} is not the name of a Service of namespace {namespace}, which alone is meant here"
        ))
    }
}

/// Weights in thousandths as whole numbers in the same relation: as they were written where all were whole.
fn scaled(weights: Vec<u64>) -> Vec<u32> {
    let whole = weights.iter().all(|weight| weight % 1000 == 0);
    let weights: Vec<_> =
        weights.into_iter().map(|weight| if whole { weight / 1000 } else { weight }).collect();
    let largest = weights.iter().copied().max().unwrap_or_default();
    let divisor = largest / u64::from(u32::MAX) + 1;
    let fitting = |weight: u64| u32::try_from(weight.div_ceil(divisor)).unwrap_or(u32::MAX);
    weights.into_iter().map(fitting).collect()
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
