//! Any text in a node's ConfigMap is read or refused, and what is read is written back with the same meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_contract::{Body, decode, encode};

fuzz_target!(|text: &str| {
    let Ok((_, read)) = decode(Some(text), None, None) else { return };
    let written = encode(&read).expect("what was read can be written");
    let again = match &written.body {
        Body::Plain(plain) => decode(Some(plain), None, Some(&written.revision)),
        Body::Compressed(packed) => decode(None, Some(packed), Some(&written.revision)),
    };
    let (revision, again) = again.expect("what was written can be read");
    assert_eq!(again, read);
    assert_eq!(revision, written.revision);
});
