//! Bodies in chunks: cut anywhere they have the same data and the same trailers. The first two bytes tell where the rest
//! is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_proxy::http::fuzz::chunked;

fuzz_target!(|bytes: &[u8]| {
    let [one, other, bytes @ ..] = bytes else { return };
    let (before, behind) = bytes.split_at(usize::from(*one).min(bytes.len()));
    let (middle, behind) = behind.split_at(usize::from(*other).min(behind.len()));
    let whole = chunked(&[bytes]);
    assert_eq!(whole.clone().map_err(drop), chunked(&[before, middle, behind]).map_err(drop));
    if let Ok((data, trailers)) = whole {
        assert!(data.len() < bytes.len() || bytes.is_empty());
        let framing = ["content-length:", "transfer-encoding:", "host:", "connection:"];
        let trailers = trailers.unwrap_or_default();
        assert!(!trailers.lines().any(|line| framing.iter().any(|name| line.starts_with(name))));
    }
});
