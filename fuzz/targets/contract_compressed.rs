//! Any bytes in a node's ConfigMap are unpacked or refused, and what unpacks means what the same text does plain.
//!
//! An even first byte takes the rest as it is; an odd one packs it first, since no mutation meets gzip's checksum.
#![no_main]

use flate2::{Compression, GzBuilder};
use libfuzzer_sys::fuzz_target;
use std::io::Write;
use weft_contract::decode;

fuzz_target!(|input: &[u8]| {
    let Some((way, content)) = input.split_first() else { return };
    if way % 2 == 0 {
        let _ = decode(None, Some(content), None);
        return;
    }
    let mut packer = GzBuilder::new().write(Vec::new(), Compression::fast());
    packer.write_all(content).expect("memory takes all");
    let packed = packer.finish().expect("memory takes all");
    let unpacked = decode(None, Some(&packed), None).ok();
    if let Ok(text) = std::str::from_utf8(content) {
        assert_eq!(unpacked, decode(Some(text), None, None).ok());
    }
});
