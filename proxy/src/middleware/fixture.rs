//! A request to try things with.

use super::{Answer, Chain, Changes, Client, Edit, Request, begins};
use crate::{balance::Dice, route::Target};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Version,
    header::{Entry, HOST},
};
use weft_contract::{Policy, ServiceKey, Transport};

pub(super) struct Scene {
    pub(super) version: Version,
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) fields: HeaderMap,
    pub(super) client: Client,
    pub(super) service: Target,
    pub(super) grpc: bool,
}

/// The lines of a head, sorted by name; those of one name in their order.
pub(super) fn lines(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let mut lines: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    lines.sort_by_key(|(name, _)| *name);
    lines
}

/// Carries out edits on a map of headers, as the engine does on its own kind of head.
pub(super) fn apply(edits: &[Edit], headers: &mut HeaderMap) {
    for edit in edits {
        match edit {
            Edit::Set(name, value) => drop(headers.insert(name, value.clone())),
            Edit::Add(name, value) => drop(headers.append(name, value.clone())),
            Edit::Remove(name) => drop(headers.remove(name)),
            Edit::RemovePrefix(prefix) => {
                let gone: Vec<HeaderName> =
                    headers.keys().filter(|name| begins(name.as_str().as_bytes(), prefix)).cloned().collect();
                for name in gone {
                    headers.remove(name);
                }
            }
        }
    }
}

impl Scene {
    pub(super) fn get(target: &str) -> Self {
        Self {
            version: Version::HTTP_11,
            method: Method::GET,
            target: target.to_owned(),
            fields: HeaderMap::from_iter([(HOST, HeaderValue::from_static("web.shop.mesh"))]),
            client: Client::new("::ffff:10.1.2.3".parse().unwrap()),
            service: Target {
                service: ServiceKey::new("shop", "web"),
                port: 80,
                transport: Transport::Tcp,
                listener: Some(10_000),
            },
            grpc: false,
        }
    }

    /// With this line too; Host has one only.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        let value = HeaderValue::from_str(value).unwrap();
        match self.fields.entry(name) {
            Entry::Occupied(mut entry) if *entry.key() == HOST => drop(entry.insert(value)),
            Entry::Occupied(mut entry) => entry.append(value),
            Entry::Vacant(entry) => drop(entry.insert(value)),
        }
        self
    }

    pub(super) fn without_host(mut self) -> Self {
        self.fields.remove(HOST);
        self
    }

    pub(super) fn request(&self) -> Request<'_> {
        Request {
            version: self.version,
            method: &self.method,
            target: &self.target,
            host: self.fields.get(HOST).map(HeaderValue::as_bytes),
            fields: &self.fields,
            client: &self.client,
            service: &self.service,
            grpc: self.grpc,
        }
    }

    pub(super) fn pass(&self, policy: &Policy) -> Result<Changes, Answer> {
        let mut changes = Changes::default();
        Chain::new(policy).pass(&self.request(), &Dice::new(1), &mut changes).map(|()| changes)
    }

    /// The head that the endpoint gets.
    pub(super) fn received(&self, policy: &Policy) -> HeaderMap {
        let mut headers = self.fields.clone();
        apply(&self.pass(policy).unwrap().request, &mut headers);
        headers
    }
}
