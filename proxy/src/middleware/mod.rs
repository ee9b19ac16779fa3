//! What every request passes on its way.
//!
//! In: a request on its route. Out: the changes to its headers, or an answer instead. The order is the list in
//! [`pass`]; nothing else decides it.

mod forwarded;
mod host;
mod limit;

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use std::{borrow::Cow, net::IpAddr};

pub use limit::HEADER_BYTES;

/// A request as middleware sees it: whichever engine read it.
#[derive(Debug)]
pub struct Request<'a> {
    /// The version of the client's HTTP.
    pub version: Version,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// How many bytes its head took.
    pub head_bytes: usize,
    /// Where the connection came from.
    pub client: IpAddr,
    /// How the Service is called where the client did not say.
    pub service: &'a crate::route::Target,
}

/// Changes to the headers of a request: set where there is a value, removed where there is none.
pub type Edits = Vec<(HeaderName, Option<HeaderValue>)>;

/// An answer that the proxy gives itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// One line for people.
    pub text: Cow<'static, str>,
}

/// Passes a request through everything, in this order.
///
/// # Errors
/// The answer to give instead of forwarding the request.
pub fn pass(request: &Request<'_>) -> Result<Edits, Answer> {
    // First what costs least to refuse.
    limit::check(request)?;
    let mut edits = Edits::with_capacity(6);
    host::pass(request, &mut edits)?;
    // Last, so that nothing before it mistakes what a client claims for what is known.
    forwarded::pass(request, &mut edits);
    Ok(edits)
}

#[cfg(test)]
mod tests;
