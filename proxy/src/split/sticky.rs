//! Keeps one user on one side.
//!
//! In: a cookie's value, or the hash of a header's. Out: the side that it stands for. Both are the same in every proxy and in
//! every version of one.

use crate::balance;
use weft_contract::ServiceKey;

/// What a cookie has for a side: it says nothing to who does not know the Services, and stays as weights change.
pub(super) fn token(service: &ServiceKey) -> u64 {
    balance::hash(format!("split {service}").as_bytes())
}

/// A token as a cookie's value.
pub(super) fn write(token: u64) -> String {
    format!("{token:016x}")
}

/// The token of a cookie's value, where it is one.
pub(super) fn read(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if value.len() != 16 || !digits {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()
}

/// How far a side is from a value; the nearest gets it. Each gets a share by its weight, and when a weight changes only those
/// values move that have to (weighted rendezvous hashing).
pub(super) fn score(hash: u64, token: u64, weight: u32) -> f64 {
    let mixed = balance::hash(&[hash.to_be_bytes(), token.to_be_bytes()].concat());
    // From above 0 to 1: 53 bits are what a f64 can hold.
    let fraction = ((mixed >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    -fraction.ln() / f64::from(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_never_change() {
        // Cookies outlive proxies.
        assert_eq!(write(token(&ServiceKey::new("shop", "web"))), "e3cb53cae62e3b46");
    }

    #[test]
    fn only_what_was_written_is_read() {
        let token = token(&ServiceKey::new("shop", "web"));
        assert_eq!(read(write(token).as_bytes()), Some(token));
        for wrong in
            ["", "7", "000000000000000g", "000000000000000A", "00000000000000000", "+000000000000001"]
        {
            assert_eq!(read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
