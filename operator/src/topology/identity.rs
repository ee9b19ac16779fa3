//! Tells which pods an IdentityBinding binds.
//!
//! In: the bindings, and what is known of a pod. Out: yes or no; and findings about schemes that bind nothing.

use super::smi::Index;
use crate::{
    finding::{About, Finding, Reason},
    smi::model::{IdentityBinding, Spiffe},
};
use kube::core::SelectorExt;
use std::collections::BTreeMap;

/// What tells pods apart.
pub(super) struct Pod<'a> {
    pub(super) namespace: &'a str,
    pub(super) service_account: &'a str,
    pub(super) labels: &'a BTreeMap<String, String>,
}

/// The names of the bindings that bind a pod, sorted. A binding is for pods of its own namespace.
pub(super) fn bindings(pod: &Pod<'_>, index: &Index<'_>) -> Vec<String> {
    let own = index
        .bindings
        .range((pod.namespace, "")..)
        .take_while(|((namespace, _), _)| *namespace == pod.namespace);
    own.filter(|(_, (_, binding))| binds(binding, pod)).map(|((_, name), _)| (*name).to_owned()).collect()
}

/// One scheme is enough.
fn binds(binding: &IdentityBinding, pod: &Pod<'_>) -> bool {
    let IdentityBinding { service_account, labels, spiffe } = binding;
    let account = service_account.as_deref() == Some(pod.service_account);
    let labelled = labels.as_ref().is_some_and(|selector| selector.matches(pod.labels));
    let mut identities = spiffe.iter().filter_map(|identity| identity.as_ref().ok());
    account
        || labelled
        || identities.any(|Spiffe { text: _, namespace, service_account }| {
            namespace == pod.namespace && service_account == pod.service_account
        })
}

/// The findings about bindings.
pub(super) fn findings(index: &Index<'_>) -> Vec<Finding> {
    index.bindings.values().flat_map(|(about, binding)| of_binding(about, binding)).collect()
}

fn of_binding(about: &About, binding: &IdentityBinding) -> Vec<Finding> {
    let IdentityBinding { service_account, labels, spiffe } = binding;
    let finding = |detail: &str, note: String| Finding {
        about: about.clone(),
        reason: Reason::IdentitySchemeInvalid,
        detail: detail.to_owned(),
        note,
    };
    let mut found = Vec::new();
    if service_account.is_none() && labels.is_none() && spiffe.is_empty() {
        found
            .push(finding("schemes", "There is no scheme that this mesh knows; no pod is bound.".to_owned()));
    }
    if service_account.is_some() && labels.is_some() {
        let note = "Both serviceAccount and podLabelSelector are there, of which the specification wants one. Pods of \
                    either are bound. Remove one of them.";
        found.push(finding("exclusive", note.to_owned()));
    }
    for (number, identity) in spiffe.iter().enumerate() {
        let why = match identity {
            Ok(Spiffe { text, namespace, service_account: _ }) if *namespace != about.namespace => {
                format!("{text:?} is of another namespace than this object's")
            }
            Ok(_) => continue,
            Err(why) => why.clone(),
        };
        found.push(finding(
            &format!("spiffe {number}"),
            format!("A SPIFFE identity binds no pod: {why}. The others hold."),
        ));
    }
    found
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
