//! Any object of any kind and version is decoded or says why not, and what it says is what proxies can be told.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_operator::smi::{
    SmiKind, SmiVersion,
    decode::content,
    model::{Content, HttpRouteGroup, PortRoute},
};

fuzz_target!(|text: &str| {
    let Ok(data) = serde_json::from_str(text) else { return };
    for kind in SmiKind::ALL {
        for version in SmiVersion::ALL {
            match content(kind, version, &data) {
                Ok(Content::HttpRouteGroup(group)) => usable(&group),
                Ok(Content::TcpRoute(PortRoute { ports }) | Content::UdpRoute(PortRoute { ports })) => {
                    assert!(ports.is_sorted() && !ports.contains(&0));
                }
                Ok(Content::TrafficTarget(_) | Content::IdentityBinding(_) | Content::TrafficSplit(_)) => {}
                Err(why) => assert!(!why.is_empty()),
            }
        }
    }
});

/// What proxies take: methods as they come, names of headers in lower case, all sorted.
fn usable(group: &HttpRouteGroup) {
    for requests in group.matches.iter().filter_map(|one| one.requests.as_ref().ok()) {
        assert!(requests.methods.is_sorted() && requests.headers.is_sorted());
        assert!(requests.headers.iter().all(|header| header.name == header.name.to_ascii_lowercase()));
    }
}
