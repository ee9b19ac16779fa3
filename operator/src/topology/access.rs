//! Resolves TrafficTargets and routes into what is granted.
//!
//! In: the SMI objects. Out: the [`Grant`]s, sorted, and findings about what grants nothing. Nothing that is wrong ever
//! widens what is granted: a rule that cannot be followed grants nothing, and what it would have narrowed is not granted
//! either.

use super::smi::{Index, Place};
use crate::{
    finding::{About, Finding, Reason},
    settings::{AccessSettings, Denied, EmptyRules},
    smi::{
        SmiKind,
        model::{PortRoute, Rule, Subject, TrafficTarget},
    },
};
use std::collections::{BTreeMap, BTreeSet};
use weft_contract::{AccessControl, AccessMode, Grant, HttpMatch, Principal, PrincipalKind};

/// What is granted in the whole cluster.
pub(super) fn control(
    index: &Index<'_>,
    settings: &AccessSettings,
    findings: &mut Vec<Finding>,
) -> AccessControl {
    let targets = index.targets.iter();
    let mut grants: Vec<_> = targets
        .filter_map(|(about, target)| Resolver { about, index, settings, findings }.grant(target))
        .collect();
    grants.sort_unstable();
    let mode = match settings.mode {
        Denied::Enforce => AccessMode::Enforce,
        Denied::Audit => AccessMode::Audit,
    };
    AccessControl { mode, grants }
}

/// Resolves one TrafficTarget.
struct Resolver<'a, 'b> {
    about: &'a About,
    index: &'a Index<'a>,
    settings: &'a AccessSettings,
    findings: &'b mut Vec<Finding>,
}

/// What rules grant. A kind of rule that there is none of is absent.
#[derive(Default)]
struct Granted {
    http: Option<BTreeSet<HttpMatch>>,
    /// Whether there was a TCPRoute, though perhaps none that can be used.
    narrowed: bool,
    tcp: Option<Ports>,
    udp: Option<Ports>,
}

/// Ports, of which none may mean all.
#[derive(Clone)]
enum Ports {
    All,
    These(BTreeSet<u16>),
}

impl Resolver<'_, '_> {
    fn grant(&mut self, target: &TrafficTarget) -> Option<Grant> {
        let TrafficTarget { destination, port, rules, sources } = target;
        let destination = self.principal(destination, "destination")?;
        if destination.namespace != self.about.namespace && !self.settings.cross_namespace_targets {
            self.tell(
                "destination",
                &format!(
                    "It opens pods of namespace {}, which only a TrafficTarget in that namespace may; it grants nothing. Move \
                     it there, or set acl.crossNamespaceTargets in the chart.",
                    destination.namespace
                ),
            );
            return None;
        }
        let principals: BTreeSet<_> =
            sources.iter().filter_map(|source| self.principal(source, "source")).collect();
        if sources.is_empty() {
            self.tell("sources", "It has no sources, and grants nothing. Name who may call.");
        }
        let Granted { mut http, narrowed, tcp, udp } = self.rules(rules);
        if narrowed && tcp.is_none() {
            // The port that requests would have to come by is not known, so that none may.
            http = http.map(|_| BTreeSet::new());
        }
        let nothing = tcp.is_none() && udp.is_none() && http.as_ref().is_none_or(BTreeSet::is_empty);
        if principals.is_empty() || nothing {
            return None; // and it was told why
        }
        Some(Grant {
            namespace: self.about.namespace.clone(),
            name: self.about.name.clone(),
            destination,
            sources: principals.into_iter().collect(),
            port: port.clone(),
            tcp: tcp.map(Ports::told),
            udp: udp.map(Ports::told),
            http: http.map(|matches| matches.into_iter().collect()),
        })
    }

    /// The pods that a subject names; its namespace is the TrafficTarget's unless it has one.
    fn principal(&mut self, subject: &Subject, what: &str) -> Option<Principal> {
        let Subject { kind, group, name, namespace } = subject;
        let namespace = namespace.clone().unwrap_or_else(|| self.about.namespace.clone());
        let detail = format!("{what} {kind} {namespace}/{name}");
        let group = group.as_deref().unwrap_or_default();
        let kind = match (kind.as_str(), group) {
            ("ServiceAccount", "" | "core") => PrincipalKind::ServiceAccount,
            ("IdentityBinding", "" | "access.smi-spec.io") => PrincipalKind::IdentityBinding,
            (kind, _) => {
                let note = format!(
                    "The {what} {name} is of the kind {kind} of the API group {group:?}, which names no pods here; it counts \
                     for nothing. It may be a ServiceAccount or an IdentityBinding."
                );
                self.tell(&detail, &note);
                return None;
            }
        };
        let known = self.index.bindings.contains_key(&(namespace.as_str(), name.as_str()));
        if kind == PrincipalKind::IdentityBinding && !known {
            let note = format!(
                "The {what} is the IdentityBinding {namespace}/{name}, which does not exist or cannot be read; it counts for \
                 nothing until it does."
            );
            self.tell(&detail, &note);
            return None;
        }
        Some(Principal { kind, namespace, name: name.clone() })
    }

    fn rules(&mut self, rules: &[Rule]) -> Granted {
        let mut granted = Granted::default();
        if rules.is_empty() {
            match self.settings.empty_rules {
                EmptyRules::Deny => self.tell(
                    "rules",
                    "It has no rules, and grants nothing. Name what may be asked, or set acl.emptyRules in the chart.",
                ),
                EmptyRules::Allow => (granted.tcp, granted.udp) = (Some(Ports::All), Some(Ports::All)),
            }
        }
        for rule in rules {
            match rule.kind.as_str() {
                "HTTPRouteGroup" => {
                    let matches = self.matches(rule);
                    granted.http.get_or_insert_default().extend(matches);
                }
                "TCPRoute" => {
                    granted.narrowed = true;
                    join(&mut granted.tcp, self.ports(rule, SmiKind::TcpRoute, &self.index.tcp));
                }
                "UDPRoute" => join(&mut granted.udp, self.ports(rule, SmiKind::UdpRoute, &self.index.udp)),
                kind => {
                    let note = format!(
                        "The rule {} is of the kind {kind:?}, and grants nothing. It may be HTTPRouteGroup, TCPRoute or \
                         UDPRoute.",
                        rule.name
                    );
                    self.tell(&format!("rule {kind} {}", rule.name), &note);
                }
            }
        }
        granted
    }

    /// The matches that a rule picks, or all of its group; those that cannot be used are told about the group.
    fn matches(&mut self, rule: &Rule) -> Vec<HttpMatch> {
        let Rule { kind: _, name, matches } = rule;
        let Some(group) = self.index.groups.get(&(self.about.namespace.as_str(), name.as_str())) else {
            self.missing(SmiKind::HttpRouteGroup, name);
            return Vec::new();
        };
        for wanted in matches {
            if !group.matches.iter().any(|known| known.name == *wanted) {
                let note = format!(
                    "The rule {name} picks the match {wanted:?}, which that HTTPRouteGroup does not have; it grants nothing. \
                     The others hold."
                );
                self.tell(&format!("rule HTTPRouteGroup {name} {wanted}"), &note);
            }
        }
        let picked = group.matches.iter().filter(|known| matches.is_empty() || matches.contains(&known.name));
        picked.filter_map(|known| known.requests.clone().ok()).collect()
    }

    fn ports(
        &mut self,
        rule: &Rule,
        kind: SmiKind,
        routes: &BTreeMap<Place<'_>, &PortRoute>,
    ) -> Option<Ports> {
        let Some(route) = routes.get(&(self.about.namespace.as_str(), rule.name.as_str())) else {
            self.missing(kind, &rule.name);
            return None;
        };
        let PortRoute { ports } = route;
        Some(if ports.is_empty() { Ports::All } else { Ports::These(ports.iter().copied().collect()) })
    }

    fn missing(&mut self, kind: SmiKind, name: &str) {
        let (group, namespace) = (kind.group(), &self.about.namespace);
        let kind = kind.kubernetes();
        let note = format!(
            "There is no {kind} {name} of {group} in namespace {namespace} that can be read; that rule grants nothing until \
             there is one."
        );
        self.tell(&format!("rule {kind} {name}"), &note);
    }

    fn tell(&mut self, detail: &str, note: &str) {
        self.findings.push(Finding {
            about: self.about.clone(),
            reason: Reason::AccessNotGranted,
            detail: detail.to_owned(),
            note: note.to_owned(),
        });
    }
}

/// Several routes are a union.
fn join(ports: &mut Option<Ports>, more: Option<Ports>) {
    let Some(more) = more else { return };
    *ports = Some(match (ports.take(), more) {
        (None, more) => more,
        (Some(Ports::All), _) | (Some(_), Ports::All) => Ports::All,
        (Some(Ports::These(mut ports)), Ports::These(more)) => {
            ports.extend(more);
            Ports::These(ports)
        }
    });
}

impl Ports {
    /// As proxies are told: none is all.
    fn told(self) -> Vec<u16> {
        match self {
            Self::All => Vec::new(),
            Self::These(ports) => ports.into_iter().collect(),
        }
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
