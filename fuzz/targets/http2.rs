//! A connection of HTTP/2: cut anywhere it is read as the same requests, and its client is told the same. The first two
//! bytes tell where the rest is cut. The first settings are there already, so that what follows is not refused for want of them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_proxy::http::fuzz::http2;

const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

fuzz_target!(|bytes: &[u8]| {
    let [one, other, bytes @ ..] = bytes else { return };
    let (before, behind) = bytes.split_at(usize::from(*one).min(bytes.len()));
    let (middle, behind) = behind.split_at(usize::from(*other).min(behind.len()));
    assert_eq!(http2(&[SETTINGS, bytes]), http2(&[SETTINGS, before, middle, behind]));
});
