//! Who has which address.
//!
//! In: the pods of a configuration. Out: for an address the principals that its pod is.

use super::{PrincipalId, grants::Grants};
use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};
use weft_contract::{Principal, PrincipalKind, Source};

/// The pods that some grant names.
#[derive(Debug, Default)]
pub(super) struct Callers(HashMap<IpAddr, Arc<[PrincipalId]>>);

// === impl Callers ===

impl Callers {
    pub(super) fn new(sources: &[Source], grants: &Grants) -> Self {
        let (mut callers, mut disputed) = (HashMap::with_capacity(sources.len()), HashSet::new());
        for source in sources {
            let address = source.address.to_canonical();
            match callers.entry(address) {
                Entry::Vacant(vacant) => {
                    vacant.insert(principals(source, grants));
                }
                // While two pods seem to have it, nobody knows who calls.
                Entry::Occupied(_) => {
                    disputed.insert(address);
                }
            }
        }
        callers.retain(|address, principals| !principals.is_empty() && !disputed.contains(address));
        Self(callers)
    }

    /// The principals of an address, sorted; none for one that no grant names.
    pub(super) fn principals(&self, address: IpAddr) -> &[PrincipalId] {
        self.0.get(&address.to_canonical()).map_or(&[], |principals| principals)
    }

    /// The same, to be kept.
    pub(super) fn shared(&self, address: IpAddr) -> Arc<[PrincipalId]> {
        self.0.get(&address.to_canonical()).map_or_else(|| Arc::from([]), Arc::clone)
    }
}

fn principals(source: &Source, grants: &Grants) -> Arc<[PrincipalId]> {
    let Source { address: _, namespace, service_account, identity_bindings } = source;
    let principal =
        |kind, name: &String| Principal { kind, namespace: namespace.clone(), name: name.clone() };
    let account = principal(PrincipalKind::ServiceAccount, service_account);
    let bound = identity_bindings.iter().map(|name| principal(PrincipalKind::IdentityBinding, name));
    let mut ids: Vec<PrincipalId> =
        bound.chain([account]).filter_map(|principal| grants.principal(&principal)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into()
}
