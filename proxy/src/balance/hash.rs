//! Hashing that is the same in every proxy.

use std::net::{IpAddr, SocketAddr};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The hash of a key; the same in every proxy.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// The hash of a client's address, for [`HashKey::SourceAddress`](weft_contract::policy::HashKey::SourceAddress).
#[must_use]
pub fn hash_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => hash(&address.octets()),
        IpAddr::V6(address) => hash(&address.octets()),
    }
}

/// The hash of an endpoint, another one for each `seed`.
pub(super) fn hash_endpoint(address: SocketAddr, seed: u64) -> u64 {
    let mut bytes = [0; 18];
    let octets = match address.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    bytes[..16].copy_from_slice(&octets);
    bytes[16..].copy_from_slice(&address.port().to_be_bytes());
    xxh3_64_with_seed(&bytes, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_never_change() {
        // Proxies of two versions serve side by side, and cookies outlive both.
        assert_eq!(hash(b"weft"), 1_571_846_661_585_518_722);
        assert_eq!(hash_endpoint(SocketAddr::from(([10, 0, 0, 1], 80)), 1), 11_718_722_285_800_451_316);
    }

    #[test]
    fn an_address_hashes_alike_however_it_is_written() {
        let (plain, mapped) = ("10.0.0.1".parse().unwrap(), "::ffff:10.0.0.1".parse().unwrap());
        assert_eq!(hash_address(plain), hash_address(mapped));
    }
}
