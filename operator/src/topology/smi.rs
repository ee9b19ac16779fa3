//! Sorts SMI objects by what they are looked for by.
//!
//! In: the objects of a snapshot. Out: the [`Index`] of those that can be read, in namespaces that the mesh looks at; and
//! findings about the others, and about matches of routes that cannot be used.

use super::select;
use crate::{
    finding::{About, Finding, Reason},
    observe::Snapshot,
    settings::Settings,
    smi::{
        Object,
        model::{Content, HttpRouteGroup, IdentityBinding, PortRoute, TrafficSplit, TrafficTarget},
    },
};
use std::collections::BTreeMap;

/// What an object is found by: its namespace and name.
pub(super) type Place<'a> = (&'a str, &'a str);

/// The objects by kind.
#[derive(Default)]
pub(super) struct Index<'a> {
    pub(super) targets: Vec<(&'a About, &'a TrafficTarget)>,
    pub(super) bindings: BTreeMap<Place<'a>, (&'a About, &'a IdentityBinding)>,
    pub(super) groups: BTreeMap<Place<'a>, &'a HttpRouteGroup>,
    pub(super) tcp: BTreeMap<Place<'a>, &'a PortRoute>,
    pub(super) udp: BTreeMap<Place<'a>, &'a PortRoute>,
    pub(super) splits: Vec<(&'a Object, &'a TrafficSplit)>,
}

impl<'a> Index<'a> {
    /// Sorts the objects of a snapshot.
    pub(super) fn of(snapshot: &'a Snapshot, settings: &Settings, findings: &mut Vec<Finding>) -> Self {
        let mut index = Self::default();
        let watched = |object: &&'a Object| select::is_watched(object.namespace(), settings);
        for object in snapshot.smi.iter().map(|object| &**object).filter(watched) {
            let place = (object.namespace(), object.name());
            match &object.content {
                Ok(Content::TrafficTarget(target)) => index.targets.push((&object.about, target)),
                Ok(Content::IdentityBinding(binding)) => {
                    index.bindings.insert(place, (&object.about, binding));
                }
                Ok(Content::HttpRouteGroup(group)) => {
                    findings.extend(unusable(&object.about, group));
                    index.groups.insert(place, group);
                }
                Ok(Content::TcpRoute(route)) => drop(index.tcp.insert(place, route)),
                Ok(Content::UdpRoute(route)) => drop(index.udp.insert(place, route)),
                Ok(Content::TrafficSplit(split)) => index.splits.push((object, split)),
                Err(why) => findings.push(invalid(&object.about, why)),
            }
        }
        index
    }
}

fn invalid(about: &About, why: &str) -> Finding {
    Finding {
        about: about.clone(),
        reason: Reason::SmiObjectInvalid,
        detail: String::new(),
        note: format!(
            "This object cannot be read: {why}. It grants, matches, binds or splits nothing until it is corrected; other \
             objects are not affected."
        ),
    }
}

/// The findings about matches that match nothing.
fn unusable(about: &About, group: &HttpRouteGroup) -> Vec<Finding> {
    let finding = |(number, (name, why)): (usize, (&str, &String))| Finding {
        about: about.clone(),
        reason: Reason::RouteMatchInvalid,
        detail: format!("{number} {name}"),
        note: format!(
            "The match {name:?} cannot be used and matches nothing: {why}. The other matches hold."
        ),
    };
    let broken = group.matches.iter().map(|one| (one.name.as_str(), one.requests.as_ref().err()));
    let broken = broken.enumerate().filter_map(|(number, (name, why))| Some((number, (name, why?))));
    broken.map(finding).collect()
}
