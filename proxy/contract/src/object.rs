//! The names of the Kubernetes objects between operator and proxy, and the ports of the proxy's own.
//!
//! In: a node's name. Out: names; nothing here talks to a cluster.

use crate::codec::fingerprint;

/// The annotation of a node's ConfigMap that holds the revision of its configuration.
pub const REVISION_ANNOTATION: &str = "weft.mesh/revision";
/// The annotation of a node's ConfigMap that holds the node's name.
pub const NODE_ANNOTATION: &str = "weft.mesh/node";
/// The key below `data` of a configuration small enough to read.
pub const PLAIN_KEY: &str = "configuration.json";
/// The key below `binaryData` of a larger one, compressed by gzip.
pub const COMPRESSED_KEY: &str = "configuration.json.gz";
/// The proxy's admin port: `/livez`, `/readyz`, `/metrics`, `/revision`, `/debug/config`.
pub const PROXY_ADMIN_PORT: u16 = 9955;
/// The proxy's DNS port, for UDP and TCP.
pub const PROXY_DNS_PORT: u16 = 9953;
/// The first and the last proxy port that a meshed port can be given: 20,000 of them, above the ports
/// of well-known services and below Linux's ephemeral ports (32768 and up) and the NodePorts.
pub const LISTENER_PORTS: (u16, u16) = (10_000, 29_999);

/// The longest name that an object such as a ConfigMap may have (RFC 1123 subdomain).
const LONGEST_NAME: usize = 253;

/// The name of a node's ConfigMap. A node name too long for the prefix is cut and given a hash.
#[must_use]
pub fn configmap_name(node: &str) -> String {
    let whole = format!("weft-node-{node}");
    if whole.len() <= LONGEST_NAME {
        return whole;
    }
    let hash = fingerprint(node.as_bytes());
    let kept: String = whole.chars().take(LONGEST_NAME - hash.len() - 1).collect();
    format!("{}-{hash}", kept.trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_name_of_any_legal_length_gives_a_legal_name() {
        assert_eq!(configmap_name("node-1"), "weft-node-node-1");
        let (one, other) = (format!("{}.a", "n".repeat(251)), format!("{}.b", "n".repeat(251)));
        assert!(configmap_name(&one).len() <= LONGEST_NAME);
        assert_ne!(configmap_name(&one), configmap_name(&other));
    }
}
