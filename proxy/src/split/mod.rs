//! Splits the traffic of a Service's port among the endpoints of others.
//!
//! In: a TrafficSplit, and a request, connection or session. Out: whose endpoints it goes to. What the Service asks for
//! (limits, retries, timeouts, header changes) holds whichever side that is; how an endpoint is chosen and what is spoken
//! there is that side's own.

mod share;
mod sticky;

use crate::{
    balance,
    matching::{Matcher, Subject},
    metrics::Traffic,
    middleware,
};
use http::HeaderValue;
use share::Turn;
use std::sync::Arc;
use weft_contract::{ServiceKey, SplitBackend, SplitSticky};

/// How one port of a Service is split.
#[derive(Debug)]
pub struct Split {
    /// Whose this is.
    root: ServiceKey,
    /// What it was compiled from, to tell whether anything changed.
    configuration: weft_contract::Split,
    /// Which requests are split; none for all that there is.
    matches: Option<Arc<Matcher>>,
    sides: Vec<Side>,
    /// Goes on from plan to plan, or each change would begin with the same side again.
    turn: Arc<Turn>,
}

/// One side that has this port.
#[derive(Clone, Debug)]
struct Side {
    service: ServiceKey,
    weight: u32,
    /// What a client's cookie has for it; the same in every proxy, whatever the weights are.
    token: u64,
    traffic: Arc<Traffic>,
}

/// Where something goes.
#[derive(Debug)]
pub enum Choice<Route> {
    /// It is none of what is split.
    Root,
    /// To one side.
    Side {
        /// Whose endpoints.
        route: Route,
        /// Where it is counted besides.
        traffic: Arc<Traffic>,
        /// What keeps the client there from now on.
        cookie: Option<HeaderValue>,
    },
    /// No side can be gone to.
    Nowhere,
}

// === impl Split ===

impl Split {
    /// The split of the port `port` of `root`. `start` is where its turns begin, if `before` does not say.
    #[must_use]
    pub fn new(
        root: &ServiceKey,
        port: u16,
        split: &weft_contract::Split,
        matches: Option<Arc<Matcher>>,
        before: Option<&Self>,
        start: u64,
    ) -> Self {
        let weft_contract::Split { name: _, matches: _, backends, sticky: _ } = split;
        let known = before.map_or(&[][..], |before| &before.sides);
        let side = |backend: &SplitBackend| {
            let SplitBackend { service, weight, ports } = backend;
            let side = known.iter().find(|side| side.service == *service);
            ports.contains(&port).then(|| Side {
                service: service.clone(),
                weight: *weight,
                token: sticky::token(service),
                traffic: side.map_or_else(Arc::default, |side| Arc::clone(&side.traffic)),
            })
        };
        Self {
            root: root.clone(),
            configuration: split.clone(),
            matches,
            sides: backends.iter().filter_map(side).collect(),
            turn: before.map_or_else(|| Arc::new(Turn::starting(start)), |before| Arc::clone(&before.turn)),
        }
    }

    /// What it was compiled from.
    #[must_use]
    pub fn configuration(&self) -> &weft_contract::Split {
        &self.configuration
    }

    /// Chooses a side for a request. `find` tells of a Service that is not the root how to go there, if it can be gone to.
    pub fn request<Route>(
        &self,
        subject: &Subject<'_>,
        find: impl Fn(&ServiceKey) -> Option<Route>,
    ) -> Choice<Route> {
        if self.matches.as_ref().is_some_and(|matcher| !matcher.any(subject)) {
            return Choice::Root;
        }
        match &self.configuration.sticky {
            None => self.by_turn(None, find),
            Some(SplitSticky::Cookie(name)) => {
                let token = middleware::cookie(subject.fields, name, sticky::read).flatten();
                let known = |side: &&Side| Some(side.token) == token && side.weight > 0;
                let kept = self.sides.iter().find(known);
                match kept.and_then(|side| Some((side, find(&side.service)?))) {
                    Some((side, route)) => side.choice(route, None),
                    None => self.by_turn(Some(name), find),
                }
            }
            Some(SplitSticky::Header(name)) => match subject.fields.get(name) {
                Some(value) => self.by_value(balance::hash(value), find),
                None => self.by_turn(None, find),
            },
        }
    }

    /// Chooses a side for a connection or a session.
    pub fn raw<Route>(&self, find: impl Fn(&ServiceKey) -> Option<Route>) -> Choice<Route> {
        if self.matches.is_some() {
            return Choice::Root;
        }
        let choice = self.by_turn(None, find);
        if let Choice::Side { traffic, .. } = &choice {
            traffic.begun();
        }
        choice
    }

    /// Each side in its turn, as often as its weight says.
    fn by_turn<Route>(
        &self,
        cookie: Option<&str>,
        find: impl Fn(&ServiceKey) -> Option<Route>,
    ) -> Choice<Route> {
        let point = self.turn.next();
        let weights = self.sides.iter().map(|side| side.weight);
        let Some(place) = share::at(point, weights) else { return Choice::Nowhere };
        let side = &self.sides[place];
        if let Some(route) = find(&side.service) {
            return side.choice(route, cookie);
        }
        // It went in this moment: the others take its place.
        let mut usable: Vec<(&Side, Route)> =
            self.sides.iter().filter_map(|side| Some((side, find(&side.service)?))).collect();
        match share::at(point, usable.iter().map(|(side, _)| side.weight)) {
            Some(place) => {
                let (side, route) = usable.swap_remove(place);
                side.choice(route, cookie)
            }
            None => Choice::Nowhere,
        }
    }

    /// The same side for the same value.
    fn by_value<Route>(&self, hash: u64, find: impl Fn(&ServiceKey) -> Option<Route>) -> Choice<Route> {
        let usable = self.sides.iter().filter_map(|side| Some((side, find(&side.service)?)));
        let score = |side: &Side| sticky::score(hash, side.token, side.weight);
        match usable
            .filter(|(side, _)| side.weight > 0)
            .min_by(|(one, _), (other, _)| score(one).total_cmp(&score(other)))
        {
            Some((side, route)) => side.choice(route, None),
            None => Choice::Nowhere,
        }
    }

    /// The sides by name, with what was counted on the way there.
    pub fn traffic(&self) -> impl Iterator<Item = (String, &Arc<Traffic>)> {
        self.sides.iter().map(|side| {
            let ServiceKey { namespace, name } = &side.service;
            let name =
                if *namespace == self.root.namespace { name.clone() } else { format!("{namespace}/{name}") };
            (name, &side.traffic)
        })
    }
}

// === impl Side ===

impl Side {
    fn choice<Route>(&self, route: Route, cookie: Option<&str>) -> Choice<Route> {
        let cookie = cookie.and_then(|name| middleware::set_cookie(name, &sticky::write(self.token)));
        Choice::Side { route, traffic: Arc::clone(&self.traffic), cookie }
    }
}

#[cfg(test)]
mod tests;
