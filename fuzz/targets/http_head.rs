//! The heads of HTTP/1, of requests and answers: cut anywhere they are the same, and what is written of one is read as the
//! same. The first byte tells where the rest is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_proxy::http::fuzz::{Refused, request, response};

type Read = fn(&[&[u8]]) -> Result<Option<Vec<u8>>, Refused>;

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, bytes)) = bytes.split_first() else { return };
    let (before, behind) = bytes.split_at(usize::from(cut).min(bytes.len()));
    for read in [request as Read, response as Read] {
        let whole = read(&[bytes]);
        let pieces = read(&[before, behind]);
        // What is wrong may be told otherwise where less of it has come, but not whether something is.
        assert_eq!(whole.clone().map_err(drop), pieces.map_err(drop));
        if let Ok(Some(written)) = whole {
            assert_eq!(read(&[&written]), Ok(Some(written.clone())));
            let lines = written.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            for line in lines {
                let line = line.strip_suffix(b"\r").expect("each line ends with both");
                assert!(!line.contains(&b'\r') && !line.contains(&0));
            }
        }
    }
});
