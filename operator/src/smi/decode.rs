//! Decodes one object.
//!
//! In: its kind, its version and its content as JSON. Out: what it says, or why that cannot be read. Fields are looked
//! for where any version has them: API servers convert nothing between these, so that an object may have been written by
//! another version than it is read by.

use super::{
    Object, SmiKind, SmiVersion,
    model::{
        Backend, Content, HttpRouteGroup, IdentityBinding, PortRoute, RouteReference, Rule, Spiffe, Subject,
        TrafficSplit, TrafficTarget,
    },
    requests::route_match,
    value::{Read, field, list, optional, port, present, required, text, thousandths},
};
use crate::finding::{About, Kind};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{
    ResourceExt,
    core::{DynamicObject, Selector},
};
use serde_json::Value;
use weft_contract::PodPort;

/// Decodes an object.
#[must_use]
pub fn object(kind: SmiKind, version: SmiVersion, object: &DynamicObject) -> Object {
    Object {
        about: About {
            kind: Kind::Smi(kind, version),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
        },
        created: object.creation_timestamp().map(|time| time.0),
        content: content(kind, version, &object.data),
    }
}

/// Decodes what an object says.
///
/// # Errors
/// Why it cannot be read, as the part of a sentence.
pub fn content(kind: SmiKind, version: SmiVersion, data: &Value) -> Result<Content, String> {
    match kind {
        SmiKind::TrafficTarget => target(data).map(Content::TrafficTarget),
        SmiKind::IdentityBinding => binding(data).map(Content::IdentityBinding),
        SmiKind::HttpRouteGroup => group(data).map(Content::HttpRouteGroup),
        SmiKind::TcpRoute => ports(data).map(Content::TcpRoute),
        SmiKind::UdpRoute => ports(data).map(Content::UdpRoute),
        SmiKind::TrafficSplit => split(version, data).map(Content::TrafficSplit),
    }
}

fn target(data: &Value) -> Read<TrafficTarget> {
    let destination = field(data, &["destination"]).ok_or("it has no destination")?;
    let rules = list(field(data, &["rules", "specs"]), "rules")?;
    let sources = list(field(data, &["sources"]), "sources")?;
    Ok(TrafficTarget {
        destination: subject(destination, "destination")?,
        port: present(destination, "port").map(pod_port).transpose()?,
        rules: rules.iter().map(rule).collect::<Read<_>>()?,
        sources: sources.iter().map(|source| subject(source, "a source")).collect::<Read<_>>()?,
    })
}

fn subject(value: &Value, what: &str) -> Read<Subject> {
    Ok(Subject {
        kind: required(value, "kind", what)?,
        group: optional(value, "group", what)?,
        name: required(value, "name", what)?,
        namespace: optional(value, "namespace", what)?,
    })
}

/// A number, also as text, or a name.
fn pod_port(value: &Value) -> Read<PodPort> {
    match port(value, "destination.port") {
        Ok(number) => Ok(PodPort::Number(number)),
        Err(wrong) => match value {
            // The name of a port has a letter (RFC 6335).
            Value::String(name) if name.bytes().any(|byte| byte.is_ascii_alphabetic()) => {
                Ok(PodPort::Name(name.clone()))
            }
            _ => Err(wrong),
        },
    }
}

fn rule(value: &Value) -> Read<Rule> {
    let matches = list(present(value, "matches"), "matches of a rule")?;
    Ok(Rule {
        kind: required(value, "kind", "a rule")?,
        name: required(value, "name", "a rule")?,
        matches: matches.iter().map(|name| text(name, "a match of a rule")).collect::<Read<_>>()?,
    })
}

fn binding(data: &Value) -> Read<IdentityBinding> {
    let schemes = field(data, &["schemes"]).ok_or("it has no schemes")?;
    if !schemes.is_object() {
        return Err("schemes is no object".into());
    }
    let identities = list(present(schemes, "spiffeIdentities"), "spiffeIdentities")?;
    Ok(IdentityBinding {
        service_account: optional(schemes, "serviceAccount", "schemes")?,
        labels: present(schemes, "podLabelSelector").map(selector).transpose()?,
        spiffe: identities
            .iter()
            .map(|identity| Ok(spiffe(&text(identity, "a SPIFFE identity")?)))
            .collect::<Read<_>>()?,
    })
}

/// A selector of labels; one without any requirement selects everything, as it does in Kubernetes.
fn selector(value: &Value) -> Read<Selector> {
    let wrong = |error: &dyn std::fmt::Display| format!("podLabelSelector is no selector: {error}");
    let selector: LabelSelector = serde_json::from_value(value.clone()).map_err(|error| wrong(&error))?;
    selector.try_into().map_err(|error| wrong(&error))
}

/// The identity that SPIFFE's own implementations give to Kubernetes' ServiceAccounts. The trust domain is not compared:
/// this mesh has none.
fn spiffe(identity: &str) -> Result<Spiffe, String> {
    let parts: Vec<_> = identity.strip_prefix("spiffe://").unwrap_or(identity).split('/').collect();
    match parts[..] {
        [trust, "ns", namespace, "sa", account] if ![trust, namespace, account].contains(&"") => Ok(Spiffe {
            text: identity.to_owned(),
            namespace: namespace.to_owned(),
            service_account: account.to_owned(),
        }),
        _ => Err(format!("{identity:?} is not of the form spiffe://TRUST/ns/NAMESPACE/sa/NAME")),
    }
}

fn group(data: &Value) -> Read<HttpRouteGroup> {
    let matches = list(field(data, &["matches"]), "matches")?;
    Ok(HttpRouteGroup { matches: matches.iter().map(route_match).collect::<Read<_>>()? })
}

/// The ports of a TCPRoute or UDPRoute, which before its last version had none to give.
fn ports(data: &Value) -> Read<PortRoute> {
    let Some(matches) = field(data, &["matches"]) else { return Ok(PortRoute { ports: Vec::new() }) };
    if !matches.is_object() {
        return Err("matches is no object".into());
    }
    let ports = list(present(matches, "ports"), "ports")?;
    let mut ports: Vec<_> = ports.iter().map(|value| port(value, "ports")).collect::<Read<_>>()?;
    ports.sort_unstable();
    ports.dedup();
    Ok(PortRoute { ports })
}

fn split(version: SmiVersion, data: &Value) -> Read<TrafficSplit> {
    let service = field(data, &["service"]).ok_or("it has no service")?;
    let backends = list(field(data, &["backends"]), "backends")?;
    let matches = list(field(data, &["matches"]), "matches")?;
    Ok(TrafficSplit {
        service: text(service, "service")?,
        backends: backends.iter().map(|value| backend(version, value)).collect::<Read<_>>()?,
        matches: matches.iter().map(reference).collect::<Read<_>>()?,
    })
}

fn backend(version: SmiVersion, value: &Value) -> Read<Backend> {
    let service = required(value, "service", "a backend")?;
    let weight = match present(value, "weight") {
        None => Err("it has no weight".to_owned()),
        Some(Value::Number(number)) if number.is_f64() => whole(version, number),
        Some(weight) => text(weight, "weight").and_then(|text| thousandths(&text)),
    };
    Ok(Backend { service, weight })
}

/// The weight of a number with a fraction, which only the oldest version may have; a fraction of nothing is none.
fn whole(version: SmiVersion, number: &serde_json::Number) -> Read<u64> {
    let written = number.to_string();
    match version {
        SmiVersion::V1alpha1 => thousandths(&written),
        SmiVersion::V1alpha2 | SmiVersion::V1alpha3 | SmiVersion::V1alpha4 => {
            thousandths(&written).and_then(|found| {
                if found % 1000 == 0 { Ok(found) } else { Err(format!("{written} is no whole number")) }
            })
        }
    }
}

fn reference(value: &Value) -> Read<RouteReference> {
    Ok(RouteReference {
        kind: required(value, "kind", "an entry of matches")?,
        name: required(value, "name", "an entry of matches")?,
    })
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
