//! Where TLS connections to one port go by the server name that the client asks for.
//!
//! In: the port's routes by server name. Out: [`ServerNames`], which finds the one for a name: the name itself before a
//! wildcard, the longest wildcard first, and `*` for whatever fits no other.

use std::collections::HashMap;
use weft_contract::SniRoute;

/// The routes of one port by server name, compiled once.
#[derive(Debug)]
pub struct ServerNames {
    /// By the name itself.
    exact: HashMap<Box<str>, SniRoute>,
    /// By what stands behind `*.`.
    below: HashMap<Box<str>, SniRoute>,
    /// That of `*`.
    other: Option<SniRoute>,
}

// === impl ServerNames ===

impl ServerNames {
    /// None where the port has no such routes: nobody is asked for a name then. Of two routes for the same host the first
    /// counts.
    #[must_use]
    pub fn new(routes: &[SniRoute]) -> Option<Self> {
        if routes.is_empty() {
            return None;
        }
        let mut names = Self { exact: HashMap::new(), below: HashMap::new(), other: None };
        for route in routes {
            let (map, key) = match route.host.strip_prefix('*') {
                Some("") => {
                    names.other.get_or_insert_with(|| route.clone());
                    continue;
                }
                Some(rest) => (&mut names.below, rest.strip_prefix('.').unwrap_or(rest)),
                None => (&mut names.exact, route.host.as_str()),
            };
            map.entry(key.into()).or_insert_with(|| route.clone());
        }
        Some(names)
    }

    /// The route for a name in lower case, or for a client without one.
    #[must_use]
    pub fn find(&self, name: Option<&str>) -> Option<&SniRoute> {
        name.and_then(|name| self.exact.get(name).or_else(|| self.wildcard(name))).or(self.other.as_ref())
    }

    /// The longest wildcard that a name is below of: each dot from the left on begins a shorter one.
    fn wildcard(&self, name: &str) -> Option<&SniRoute> {
        if self.below.is_empty() {
            return None;
        }
        name.match_indices('.').find_map(|(dot, _)| self.below.get(name.get(dot + 1..)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weft_contract::ServiceKey;

    fn names(hosts: &[&str]) -> ServerNames {
        let route = |(number, host): (usize, &&str)| SniRoute {
            host: (*host).to_owned(),
            service: ServiceKey::new("shop", format!("service-{number}")),
            port: 443,
        };
        let routes: Vec<SniRoute> = hosts.iter().enumerate().map(route).collect();
        ServerNames::new(&routes).unwrap()
    }

    fn found<'a>(names: &'a ServerNames, name: &str) -> Option<&'a str> {
        names.find(Some(name)).map(|route| route.host.as_str())
    }

    #[test]
    fn the_name_itself_comes_before_the_longest_wildcard_and_that_before_the_default() {
        let names = names(&["*", "*.example.com", "*.b.example.com", "a.b.example.com", "example.com"]);
        for (name, expected) in [
            ("a.b.example.com", "a.b.example.com"),
            ("c.b.example.com", "*.b.example.com"),
            ("d.c.b.example.com", "*.b.example.com"),
            ("b.example.com", "*.example.com"),
            ("example.com", "example.com"),
            ("com", "*"),
            ("notexample.com", "*"),
            ("example.com.evil", "*"),
        ] {
            assert_eq!(found(&names, name), Some(expected), "{name}");
        }
        assert_eq!(names.find(None).map(|route| route.host.as_str()), Some("*"));
    }

    #[test]
    fn without_a_default_a_name_that_fits_nothing_has_no_route() {
        let names = names(&["a.example.com", "*.b.example.com"]);
        for name in ["b.example.com", "c.example.com", "x.a.example.com", ""] {
            assert_eq!(found(&names, name), None, "{name}");
        }
        assert!(names.find(None).is_none());
    }

    #[test]
    fn of_two_routes_for_a_host_the_first_counts() {
        let names = names(&["a.example.com", "a.example.com", "*", "*", "*.b", "*.b"]);
        let service = |name| names.find(Some(name)).unwrap().service.name.as_str();
        assert_eq!(["a.example.com", "c", "x.b"].map(service), ["service-0", "service-2", "service-4"]);
    }

    #[test]
    fn no_routes_are_no_table() {
        assert!(ServerNames::new(&[]).is_none());
    }

    /// Hosts of few letters, so that names often fit them.
    fn name() -> impl Strategy<Value = String> {
        prop::collection::vec("[ab]{1,2}", 1..5).prop_map(|labels| labels.join("."))
    }

    fn host() -> impl Strategy<Value = String> {
        prop_oneof![4 => name(), 4 => name().prop_map(|name| format!("*.{name}")), 1 => Just("*".to_owned())]
    }

    proptest! {
        /// As the contract says it, without a table.
        #[test]
        fn it_finds_what_comparing_with_each_route_finds(
            hosts in prop::collection::vec(host(), 1..12),
            name in name(),
        ) {
            let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
            let fits = |host: &&&str| match host.strip_prefix('*') {
                None => ***host == name,
                Some(suffix) => name.ends_with(suffix),
            };
            // A name itself is longer than any wildcard that it fits, once the star is not counted.
            let length = |host: &str| if host.contains('*') { host.len() - 1 } else { host.len() };
            let best = hosts.iter().filter(fits).max_by_key(|host| length(host)).copied();
            let names = names(&hosts);
            prop_assert_eq!(found(&names, &name), best);
        }
    }
}
