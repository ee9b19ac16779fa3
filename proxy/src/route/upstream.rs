//! What the endpoints of a port speak.
//!
//! In: a port's scheme and how its endpoints are verified. Out: [`Upstream`], compiled once.

use super::tls::Tls;
use std::sync::atomic::{AtomicU64, Ordering};
use weft_contract::policy::Scheme;

/// What the endpoints of a port speak.
#[derive(Debug)]
pub struct Upstream {
    /// Tells connections that were opened by other settings apart.
    pub id: u64,
    /// What is spoken.
    pub scheme: Scheme,
    /// How endpoints are verified; none where they speak no TLS, or where nothing can be trusted.
    pub tls: Option<Tls>,
}

// === impl Upstream ===

impl Upstream {
    /// What is spoken, and how it is verified.
    #[must_use]
    pub fn new(scheme: Scheme, tls: Option<Tls>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), scheme, tls }
    }

    /// The scheme as requests name it.
    #[must_use]
    pub fn uri_scheme(&self) -> http::uri::Scheme {
        match self.scheme {
            Scheme::Http | Scheme::H2c => http::uri::Scheme::HTTP,
            Scheme::Https => http::uri::Scheme::HTTPS,
        }
    }
}
