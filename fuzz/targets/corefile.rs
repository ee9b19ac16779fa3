//! Any Corefile takes the mesh's block and comes back byte for byte, or is left as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::Ipv4Addr;
use weft_operator::dns::{
    caddyfile::parse,
    corefile::{ServerBlock, endpoint, insert, is_marked, remove},
};

fuzz_target!(|text: &str| {
    let Ok(read) = parse(text) else {
        let _ = remove(text);
        return;
    };
    let block = ServerBlock {
        zones: vec!["mesh".to_owned(), "traefik.mesh".to_owned()],
        forward_to: Ipv4Addr::new(10, 96, 0, 7).into(),
        endpoint: endpoint(&read),
    };
    let Ok(added) = insert(text, &block) else { return };
    assert!(is_marked(&added));
    assert_eq!(remove(&added), remove(text), "what others wrote comes back");
    assert_eq!(insert(&added, &block).as_deref(), Ok(added.as_str()), "a second time changes nothing");
    parse(&added).expect("CoreDNS can read it");
});
