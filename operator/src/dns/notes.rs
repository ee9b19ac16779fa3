//! What the station tells people.
//!
//! In: what happened. Out: the reason and the words of a finding. The words of a lasting state do not change while
//! it lasts.

use super::{
    cluster::{ApiError, Missing},
    discover::{DNS_NAMESPACE, WELL_KNOWN_CONFIGMAPS},
    plan::{Plan, Refusal, TakeOutError},
};
use crate::finding::Reason;

/// What to tell about a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The ConfigMap.
    pub configmap: String,
    /// The reason.
    pub reason: Reason,
    /// What tells it from others of the same reason.
    pub detail: String,
    /// The words.
    pub text: String,
}

fn note(reason: Reason, configmap: &str, detail: &str, text: String) -> Note {
    Note { configmap: configmap.to_owned(), reason, detail: detail.to_owned(), text }
}

fn refuse(configmap: &str, text: String) -> Note {
    note(Reason::DnsRefused, configmap, "", text)
}

fn zones(plan: &Plan) -> String {
    plan.zones.join(", ")
}

pub(super) fn patched(plan: &Plan) -> Note {
    let read = if plan.reloads {
        "the cluster's DNS reads it by itself, within about two minutes"
    } else {
        "without `reload`, CoreDNS reads it when its pods start, so they were started anew, one after the other"
    };
    let text = format!("The zones {} are in the key {}; {read}.", zones(plan), plan.key);
    note(Reason::DnsPatched, &plan.configmap, "", text)
}

pub(super) fn reverted(plan: &Plan) -> Note {
    let text = format!(
        "Something took the zones {} out of the key {}, or changed them. They are added again, at most once a minute \
         if that goes on. Find what manages this ConfigMap, and let it keep the marked block.",
        zones(plan),
        plan.key
    );
    note(Reason::DnsReverted, &plan.configmap, "", text)
}

pub(super) fn put_back(plan: &Plan, reason: &str) -> Note {
    let text = format!(
        "After the mesh's zones were added, the cluster's DNS failed: {reason}. They were taken out again, and mesh \
         names do not resolve. They are tried again when the rest of this ConfigMap changes, or the mesh's zones."
    );
    note(Reason::DnsPutBack, &plan.configmap, "", text)
}

pub(super) fn unfit(plan: &Plan, lack: &str) -> Note {
    let text =
        format!("The cluster's DNS is not ready ({lack}); its configuration is not changed until it is.");
    refuse(&plan.configmap, text)
}

pub(super) fn taken(plan: &Plan, zone: &str, by: &str) -> Note {
    let text = format!(
        "The zone {zone} is not added: {by} has it already, which may be left from another mesh. Remove that, and the \
         zone is added."
    );
    note(Reason::DnsRefused, &plan.configmap, zone, text)
}

pub(super) fn refused(refusal: &Refusal) -> Note {
    refuse(&refusal.configmap, format!("The mesh's zones are not added: {}.", refusal.note))
}

pub(super) fn unreadable(configmap: &str, error: &TakeOutError) -> Note {
    refuse(configmap, format!("The mesh's zones are not added: {error}."))
}

pub(super) fn may_not_read(configmap: &str) -> Note {
    let text = format!(
        "The cluster's DNS reads this ConfigMap, but the operator may not: add {configmap:?} to dns.configMapNames \
         of the chart's values."
    );
    refuse(configmap, text)
}

pub(super) fn may_not_write(configmap: &str, why: &str) -> Note {
    let text = format!(
        "The API server refused the change: {why}. If a right is missing, add {configmap:?} to dns.configMapNames of \
         the chart's values."
    );
    refuse(configmap, text)
}

pub(super) fn restart(plan: &Plan, why: Option<&str>) -> Note {
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    let text = format!(
        "CoreDNS does not read its configuration anew without the plugin `reload`, and the operator could not restart \
         it{why}. Add `reload` to the Corefile, or restart CoreDNS."
    );
    note(Reason::DnsRefused, &plan.configmap, "restart", text)
}

/// Nothing was found, so this is told about the ConfigMap that most clusters have.
pub(super) fn missing(missing: &Missing) -> Note {
    let what = match missing {
        Missing::Service => format!("no Service in {DNS_NAMESPACE} looks like the cluster's DNS"),
        Missing::Pods(service) => format!("the Service {service} has no pods"),
        Missing::Configuration(service) => {
            format!("no pod of the Service {service} reads a Corefile from a ConfigMap")
        }
    };
    let text = format!(
        "The cluster's DNS was not found: {what}. Have the mesh's zones forwarded to the Service weft-dns by hand, \
         and set dns.manage to false."
    );
    refuse(WELL_KNOWN_CONFIGMAPS[0], text)
}

pub(super) fn may_not_find(error: &ApiError) -> Note {
    refuse(WELL_KNOWN_CONFIGMAPS[0], format!("The operator may not look for the cluster's DNS: {error}."))
}
