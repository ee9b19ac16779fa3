//! Where TLS connections go by the server name that a client asks for.
//!
//! In: `HOST=SERVICE[:PORT]`, a list of them. Out: targets, which the topology looks up.

use super::value;
use std::collections::BTreeSet;

/// Where connections for one server name go, as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SniTarget {
    /// The name in lower case, `*.` and a name for any name below it, or `*`.
    pub host: String,
    /// The Service's name; it is in the annotated Service's own namespace.
    pub service: String,
    /// Its port; none is the annotated Service's own, or else the only one.
    pub port: Option<u16>,
}

/// Reads targets, each host but once.
pub(super) fn targets(text: &str) -> Result<Vec<SniTarget>, String> {
    let targets: Vec<_> = value::list(text)?.into_iter().map(target).collect::<Result<_, _>>()?;
    let mut hosts = BTreeSet::new();
    match targets.iter().find(|target| !hosts.insert(&target.host)) {
        Some(twice) => Err(format!("{} stands twice", twice.host)),
        None => Ok(targets),
    }
}

fn target(text: &str) -> Result<SniTarget, String> {
    let (name, target) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is not a server name, = and a Service"))?;
    let target = target.trim();
    let (service, port) = match target.split_once(':') {
        Some((service, port)) => (service, Some(value::whole(port, 1, 65_535)?)),
        None => (target, None),
    };
    if service.contains('.') {
        return Err(format!("{service:?} is not a name in the Service's own namespace, where routes stay"));
    }
    Ok(SniTarget { host: host(name.trim())?, service: value::label(service)?, port })
}

/// A server name as clients send it (RFC 6066, 3): letters, digits and hyphens, no address, no dot at the end.
fn host(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    if text == "*" {
        return Ok(text);
    }
    let name = text.strip_prefix("*.").unwrap_or(&text);
    if !name.is_ascii() {
        return Err(format!(
            "{name:?} has letters that no server name has; write it as clients send it, with xn--"
        ));
    }
    value::name(name)?;
    // What ends in a number is read as an IPv4 address (WHATWG URL, "ends in a number"), which is no server name.
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{name:?} is an address, not a server name"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_may_be_left_out_and_a_star_stands_at_the_front() {
        let of =
            |host: &str, service: &str, port| SniTarget { host: host.into(), service: service.into(), port };
        assert_eq!(
            targets("A.Example.com = svc-a , *.b.example.com=svc-b:8443,*=svc-c"),
            Ok(vec![
                of("a.example.com", "svc-a", None),
                of("*.b.example.com", "svc-b", Some(8443)),
                of("*", "svc-c", None),
            ])
        );
        assert_eq!(targets("xn--bcher-kva.example=a"), Ok(vec![of("xn--bcher-kva.example", "a", None)]));
        for wrong in [
            "",
            "a",
            "=a",
            "a.example=",
            "a.example=a:",
            "a.example=a:0",
            "a.example=a:65536",
            "a.example=a:https",
            "a.example=A",
            "a.example=a.shop",
            "a.example=a.shop:80",
            "a.example=a/b",
            "a.example.=a",
            ".example=a",
            "a..b=a",
            "a_b.example=a",
            "-a.example=a",
            "bücher.example=a",
            "*.bücher.example=a",
            "10.0.0.1=a",
            "a.1=a",
            "*.1=a",
            "7=a",
            "::1=a",
            "[::1]=a",
            "a.example:443=a",
            "a.*.example=a",
            "**=a",
            "*.=a",
            "*.*.example=a",
            "*a.example=a",
            "a.example=a,A.EXAMPLE=b",
            "*=a,*=b",
            "a.example=a,",
            "a.example=a b.example=b",
        ] {
            assert!(targets(wrong).is_err(), "{wrong:?}");
        }
        let long = "a.".repeat(126) + "b";
        assert!(
            targets(&format!("{long}=a")).is_ok() && targets(&format!("{long}b=a")).is_err(),
            "253 at most"
        );
        assert!(targets(&format!("{}.example=a", "a".repeat(64))).is_err());
    }
}
