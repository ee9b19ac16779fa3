//! What is accepted, what is refused, and what is found again after a restart.

use super::*;
use proptest::prelude::*;
use weft_contract::{NodeConfiguration, SCHEMA, encode};

fn content(node: &str) -> Content {
    let zones = vec!["mesh".into()];
    let configuration = NodeConfiguration {
        schema: SCHEMA,
        node: node.into(),
        zone: None,
        zones,
        services: vec![],
        sources: vec![],
        access: None,
    };
    let encoded = encode(&configuration).unwrap();
    Content { revision: Some(encoded.revision), ..encoded.body.into() }
}

#[test]
fn a_configuration_for_another_node_is_refused() {
    assert!(accept(&content("node-1"), "node-1").is_ok());
    let error = accept(&content("node-2"), "node-1").unwrap_err();
    assert!(matches!(error, Error::OtherNode { .. }), "{error}");
}

#[test]
fn what_was_kept_is_found_again_with_its_revision() {
    let directory = tempfile::tempdir().unwrap();
    let keep = Keep::new(directory.path());
    assert!(keep.load().unwrap().is_none());
    for node in ["node-1", "node-2"] {
        keep.store(&content(node)).unwrap();
        let found = accept(&keep.load().unwrap().unwrap(), node).unwrap();
        assert_eq!(Some(found.revision), content(node).revision);
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_not_a_panic() {
    let keep = Keep::new(std::path::Path::new("/nowhere/at/all"));
    assert!(keep.store(&content("node-1")).is_err());
    assert!(keep.load().unwrap().is_none());
}

proptest! {
    #[test]
    fn no_kept_file_makes_the_proxy_panic(bytes in prop::collection::vec(any::<u8>(), 0..256), gzip: bool) {
        let directory = tempfile::tempdir().unwrap();
        let bytes = if gzip { [&[0x1f, 0x8b][..], &bytes].concat() } else { bytes };
        std::fs::write(directory.path().join(weft_contract::object::PLAIN_KEY), bytes).unwrap();
        let kept = Keep::new(directory.path()).load().unwrap().unwrap();
        prop_assert!(accept(&kept, "node-1").is_err());
    }
}
