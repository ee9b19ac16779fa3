//! Counts the proxies that carry a Service's traffic.
//!
//! In: each proxy's answer. Out: [`Carriers`], by which a limit of the whole cluster is divided. A proxy that does not
//! answer for once carries what it carried; a Service that is at rest keeps its share, so that neither changes anything.

use crate::observe::Carriers;
use std::collections::{BTreeMap, BTreeSet};
use weft_contract::{
    Confirmation, Service, ServiceKey,
    policy::{RateLimit, RateLimitScope},
};

/// Keeps count.
#[derive(Default)]
pub struct Counter {
    /// What each proxy said last, by its pod.
    said: BTreeMap<String, BTreeSet<ServiceKey>>,
    counted: BTreeMap<ServiceKey, u32>,
}

impl Counter {
    /// Takes note of the answers of those pods that are proxies now, about those Services that have such a limit.
    pub fn observe(
        &mut self,
        pods: &BTreeSet<String>,
        answers: &BTreeMap<String, Confirmation>,
        services: &[Service],
    ) -> Carriers {
        let Self { said, counted } = self;
        said.retain(|pod, _| pods.contains(pod));
        for (pod, answer) in answers {
            said.insert(pod.clone(), answer.carrying.iter().cloned().collect());
        }
        let proxies = u32::try_from(pods.len()).unwrap_or(u32::MAX);
        let cluster = |limit: &RateLimit| limit.scope == RateLimitScope::Cluster;
        let limited =
            services.iter().filter(|service| service.policy.rate_limit.as_ref().is_some_and(cluster));
        let count = |service: &Service| {
            let carrying = said.values().filter(|keys| keys.contains(&service.key)).count();
            let now = u32::try_from(carrying).ok().filter(|now| *now > 0);
            let before = counted.get(&service.key).map(|before| (*before).min(proxies));
            Some((service.key.clone(), now.or(before)?))
        };
        *counted = limited.filter_map(count).collect();
        Carriers { proxies, carrying: counted.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_contract::{Policy, policy::RateLimitKey};

    fn service(scope: RateLimitScope) -> Service {
        let limit = RateLimit { average: 9, burst: 9, key: RateLimitKey::Service, scope, proxies: 1 };
        Service {
            key: ServiceKey::new("shop", "web"),
            addresses: Vec::new(),
            ports: Vec::new(),
            policy: Policy { rate_limit: Some(limit), ..Policy::default() },
            split: None,
        }
    }

    /// The share of the Service after answers of the pods that carry its traffic, and of those that do not.
    fn share(counter: &mut Counter, pods: &[&str], carrying: &[&str], idle: &[&str]) -> u32 {
        let web = service(RateLimitScope::Cluster);
        let answer = |carrying| Confirmation { carrying, ..Confirmation::default() };
        let carrying = carrying.iter().map(|pod| ((*pod).to_owned(), answer(vec![web.key.clone()])));
        let idle = idle.iter().map(|pod| ((*pod).to_owned(), answer(Vec::new())));
        let pods = pods.iter().map(|pod| (*pod).to_owned()).collect();
        counter.observe(&pods, &carrying.chain(idle).collect(), std::slice::from_ref(&web)).of(&web.key)
    }

    #[test]
    fn the_share_follows_the_traffic() {
        let mut counter = Counter::default();
        let pods = ["a", "b", "c"];
        assert_eq!(share(&mut counter, &pods, &[], &[]), 3, "nothing is known yet");
        assert_eq!(share(&mut counter, &pods, &[], &["a", "b"]), 3, "nobody has called yet");
        assert_eq!(share(&mut counter, &pods, &["a"], &["b", "c"]), 1);
        assert_eq!(share(&mut counter, &pods, &["a", "b"], &["c"]), 2);
        assert_eq!(share(&mut counter, &pods, &["a"], &["c"]), 2, "b did not answer");
        assert_eq!(share(&mut counter, &pods, &[], &["a", "b", "c"]), 2, "at rest it stays");
        assert_eq!(share(&mut counter, &["a"], &[], &["a"]), 1, "no more than there are");
        assert_eq!(share(&mut counter, &[], &[], &[]), 1, "never by nothing");
    }

    #[test]
    fn services_without_such_a_limit_are_not_counted() {
        let web = service(RateLimitScope::Node);
        let answer = Confirmation { carrying: vec![web.key.clone()], ..Confirmation::default() };
        let carriers =
            Counter::default().observe(&["a".to_owned()].into(), &[("a".to_owned(), answer)].into(), &[web]);
        assert_eq!(carriers, Carriers { proxies: 1, carrying: BTreeMap::new() });
    }
}
