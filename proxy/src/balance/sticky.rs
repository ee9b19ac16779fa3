//! The endpoint that a client's cookie names.

use super::state::EndpointState;
use std::sync::Arc;

/// How long a cookie's value is: 64 bits in hexadecimal digits.
const LENGTH: usize = 16;

/// The endpoint whose [`EndpointState::cookie_value`] this is.
pub(super) fn find<'a>(endpoints: &'a [Arc<EndpointState>], value: &[u8]) -> Option<&'a Arc<EndpointState>> {
    let digits = value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if value.len() != LENGTH || !digits {
        return None;
    }
    let cookie = u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()?;
    endpoints.iter().find(|state| state.cookie == cookie)
}
