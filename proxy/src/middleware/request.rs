//! A request as middleware sees it.
//!
//! In: what an engine read of a request's head, and who connected. Out: one type for all engines, that borrows it.

use http::{HeaderMap, HeaderValue, Method, Version};
use std::net::IpAddr;

/// The fields of a message's head, whichever engine read it. Names given are lower-case.
pub trait Fields {
    /// The value of the first line of that name.
    fn get(&self, name: &str) -> Option<&[u8]>;

    /// Shows the value of each line of that name, in order.
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8]));

    /// Whether there is a line of that name.
    fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// The head of a request, and what is known besides.
pub struct Request<'a> {
    /// The version of the client's HTTP.
    pub version: Version,
    /// The method.
    pub method: &'a Method,
    /// Path and query as in the request line; `*` for `OPTIONS *`.
    pub target: &'a str,
    /// Host or `:authority`, as sent.
    pub host: Option<&'a [u8]>,
    /// The header fields.
    pub fields: &'a dyn Fields,
    /// Who connected.
    pub client: &'a Client,
    /// Which port of which Service is meant.
    pub service: &'a crate::route::Target,
    /// Whether it is a gRPC call.
    pub grpc: bool,
}

/// What is known of who connected; made once for each connection, so that no request pays for it.
#[derive(Clone, Debug)]
pub struct Client {
    /// The address; that of an IPv4 client of a dual-stack socket as IPv4.
    pub address: IpAddr,
    /// The same as text.
    pub value: HeaderValue,
}

// === impl Client ===

impl Client {
    /// The client at `address`.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        // An IPv4 client of a dual-stack socket has an IPv6 address that contains its own.
        let address = address.to_canonical();
        // An address is always a valid value; "unknown" is RFC 7239's word for none.
        let value = HeaderValue::try_from(address.to_string());
        Self { address, value: value.unwrap_or(HeaderValue::from_static("unknown")) }
    }
}

// === impl Fields ===

impl Fields for HeaderMap {
    fn get(&self, name: &str) -> Option<&[u8]> {
        HeaderMap::get(self, name).map(HeaderValue::as_bytes)
    }

    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        for value in self.get_all(name) {
            visit(value.as_bytes());
        }
    }
}
