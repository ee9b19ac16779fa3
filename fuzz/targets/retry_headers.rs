//! Any `Retry-After` and any `grpc-timeout` give a bounded time or none, and a timeout is written back no longer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::{Duration, SystemTime};
use weft_proxy::retry::{grpc_timeout, retry_after};

fuzz_target!(|value: &[u8]| {
    // The first of January 2000.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_800);
    assert!(retry_after::parse(value, now).is_none_or(|time| time <= retry_after::LONGEST));
    if let Some(timeout) = grpc_timeout::parse(value) {
        let written = grpc_timeout::format(timeout);
        let read = grpc_timeout::parse(written.as_bytes()).expect("what was written can be read");
        assert!(read <= timeout);
        assert_eq!(grpc_timeout::format(read), written);
    }
});
