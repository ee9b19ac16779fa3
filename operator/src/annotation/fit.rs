//! Says which annotations are about what no port of the Service speaks.
//!
//! In: [`Parsed`] annotations, and what is spoken on the Service's ports. Out: the same without settings that make no
//! sense there, and the mistakes that this shows. What an annotation is about is in its row of the table.

use super::{Mistake, Parsed, table};
use std::collections::BTreeSet;
use weft_contract::{
    Protocol,
    policy::{Algorithm, HashKey},
};

/// Fits parsed annotations to what is spoken. Where nothing is, which is told already, they stay as they are.
pub fn fit(parsed: &mut Parsed, spoken: &BTreeSet<Protocol>) {
    let Parsed { settings, good: _, spelled, mistakes } = parsed;
    if spoken.is_empty() {
        return;
    }
    let is_unused = |mistake: &&Mistake| matches!(mistake, Mistake::Unused { .. });
    let told: BTreeSet<_> =
        mistakes.iter().filter(is_unused).map(|mistake| mistake.annotation().to_owned()).collect();
    let mut unused: Vec<(&String, String)> = Vec::new();
    for (key, annotation) in spelled.iter() {
        let Some(row) = table::row(key) else { continue };
        if !row.protocols.iter().any(|protocol| spoken.contains(protocol)) {
            unused.push((annotation, why(row.protocols)));
        }
    }
    if !spoken.contains(&Protocol::Http) {
        settings.mirror = None; // so that nothing else is said of it
        let algorithm = &mut settings.policy.balancing.algorithm;
        if matches!(algorithm, Algorithm::Hash(HashKey::Header(_) | HashKey::Cookie(_))) {
            *algorithm = Algorithm::default();
            let needs = "needs HTTP requests; what is not HTTP can be hashed by source alone";
            unused.extend(spelled.get("hash-key").map(|annotation| (annotation, needs.to_owned())));
        }
    }
    if !spoken.contains(&Protocol::Tcp) {
        settings.sni_routes.clear();
    }
    let new = unused.into_iter().filter(|(annotation, _)| !told.contains(*annotation));
    mistakes.extend(new.map(|(annotation, why)| Mistake::Unused { annotation: annotation.clone(), why }));
    mistakes.sort_by(|one, other| one.annotation().cmp(other.annotation()));
}

fn why(protocols: &[Protocol]) -> String {
    let names: Vec<_> = protocols.iter().map(ToString::to_string).collect();
    format!("has no effect, for no port of the Service has the traffic type {}", names.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        annotation::{ServiceSettings, Values, parse},
        settings::TrafficType,
    };

    /// The annotations, and the keys that are told to have no effect where this is spoken.
    fn fitted(pairs: &[(&str, &str)], spoken: &[Protocol]) -> (ServiceSettings, Vec<String>) {
        let values = pairs.iter().map(|(key, value)| (format!("weft.mesh/{key}"), (*value).to_owned()));
        let defaults = ServiceSettings::new(TrafficType::Http);
        let mut parsed = parse(&values.collect(), &Values::new(), &defaults);
        fit(&mut parsed, &spoken.iter().copied().collect());
        let key = |mistake: &Mistake| mistake.annotation().trim_start_matches("weft.mesh/").to_owned();
        (parsed.settings, parsed.mistakes.iter().map(key).collect())
    }

    #[test]
    fn an_annotation_is_for_ports_that_speak_what_it_is_about() {
        use Protocol::{Http, Tcp, Udp};
        let all = [
            ("load-balancer", "least-request"),
            ("max-sessions", "5"),
            ("proxy-protocol", "true"),
            ("timeout-connect", "1s"),
            ("timeout-request", "5s"),
        ];
        let told = |spoken: &[Protocol]| fitted(&all, spoken).1;
        assert_eq!(told(&[Http]), ["max-sessions", "proxy-protocol"]);
        assert_eq!(told(&[Tcp]), ["max-sessions", "timeout-request"]);
        assert_eq!(told(&[Udp]), ["proxy-protocol", "timeout-connect", "timeout-request"]);
        assert_eq!(told(&[Udp, Http]), ["proxy-protocol"]);
        assert!(told(&[Http, Tcp, Udp]).is_empty());
        assert!(told(&[]).is_empty(), "that nothing is served is told already");
    }

    #[test]
    fn what_makes_no_sense_is_out_of_force_and_told_once() {
        use Protocol::{Http, Tcp, Udp};
        let header = [("load-balancer", "hash"), ("hash-key", "header:a")];
        let hashed = |spoken: &[Protocol]| {
            let (settings, told) = fitted(&header, spoken);
            (settings.policy.balancing.algorithm, told)
        };
        assert_eq!(hashed(&[Tcp]), (Algorithm::P2cEwma, vec!["hash-key".to_owned()]));
        assert_eq!(hashed(&[Tcp, Http]), (Algorithm::Hash(HashKey::Header("a".into())), vec![]));
        assert!(fitted(&[("load-balancer", "hash"), ("hash-key", "source")], &[Udp]).1.is_empty());
        assert_eq!(
            fitted(&[("hash-key", "header:a")], &[Tcp]).1,
            ["hash-key"],
            "it has no load-balancer: hash"
        );
        assert_eq!(fitted(&[("ratelimit-burst", "5")], &[Tcp]).1, ["ratelimit-burst"]);
        let (settings, told) = fitted(&[("mirror", "next"), ("sni-routes", "*=a")], &[Udp]);
        assert_eq!((settings.mirror, settings.sni_routes, told.len()), (None, vec![], 2));
    }
}
