//! Tells an endpoint who the client is: version 2 of HAProxy's PROXY protocol.
//!
//! In: where the client is, and the address that it connected to. Out: the bytes that come before the client's own.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, and the command PROXY: the connection is made for somebody else.
const VERSION_AND_COMMAND: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// The header. Both addresses are of one family in it: an IPv4 one beside an IPv6 one is written as such a one.
pub(super) fn header(client: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.push(VERSION_AND_COMMAND);
    let mut addresses = Vec::with_capacity(36);
    match (client.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(client), IpAddr::V4(destination)) => {
            header.push(TCP_OVER_IPV4);
            addresses.extend(client.octets());
            addresses.extend(destination.octets());
        }
        (client, destination) => {
            header.push(TCP_OVER_IPV6);
            addresses.extend(as_ipv6(client).octets());
            addresses.extend(as_ipv6(destination).octets());
        }
    }
    addresses.extend(client.port().to_be_bytes());
    addresses.extend(destination.port().to_be_bytes());
    header.extend(u16::try_from(addresses.len()).unwrap_or(0).to_be_bytes());
    header.extend(addresses);
    header
}

fn as_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(client: &str, destination: &str) -> Vec<u8> {
        header(client.parse().unwrap(), destination.parse().unwrap())
    }

    fn expected(family: u8, addresses: &[u8]) -> Vec<u8> {
        let start = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, family, 0];
        [&start[..], &[u8::try_from(addresses.len()).unwrap()], addresses].concat()
    }

    #[test]
    fn ipv4() {
        let ipv4 = expected(0x11, &[10, 0, 0, 7, 10, 96, 1, 2, 0xc0, 0x01, 0x0c, 0xea]);
        assert_eq!(of("10.0.0.7:49153", "10.96.1.2:3306"), ipv4);
        assert_eq!(
            of("[::ffff:10.0.0.7]:49153", "[::ffff:10.96.1.2]:3306"),
            ipv4,
            "as a dual socket says it"
        );
    }

    #[test]
    fn ipv6_and_a_mixture() {
        let mut addresses = [0; 36];
        addresses[..2].copy_from_slice(&[0xfd, 0x00]);
        addresses[15] = 7;
        addresses[16..18].copy_from_slice(&[0xfd, 0x00]);
        addresses[31] = 1;
        addresses[32..].copy_from_slice(&[0, 1, 0, 80]);
        assert_eq!(of("[fd00::7]:1", "[fd00::1]:80"), expected(0x21, &addresses));
        addresses[16..32].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1]);
        assert_eq!(of("[fd00::7]:1", "10.0.0.1:80"), expected(0x21, &addresses));
    }
}
