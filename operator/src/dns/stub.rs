//! Adds the mesh's zones to the stub domains of kube-dns, and takes exactly those out again.
//!
//! In: the text of the key `stubDomains` and the record of an earlier edit. Out: the new text and record. What was
//! there before comes back byte for byte unless someone else changed it meanwhile; then only our zones go.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// What is kept in an annotation beside the text, to undo the edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The text before the edit; none where the key was absent.
    pub original: Option<String>,
    /// The text after it.
    pub written: String,
    /// The zones that were added.
    pub zones: Vec<String>,
}

/// The outcome of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The text to write; none where the key goes.
    pub text: Option<String>,
    /// The record to keep; none where nothing of ours is in the text.
    pub record: Option<Record>,
    /// Zones that others already sent elsewhere.
    pub taken: Vec<String>,
}

/// Why stub domains are left as they are.
#[derive(Debug, thiserror::Error)]
pub enum StubError {
    /// The text is not what kube-dns reads.
    #[error("`stubDomains` is not a JSON object: {0}")]
    NotAnObject(#[source] serde_json::Error),
    /// Our record of the edit is damaged.
    #[error("the annotation that remembers the stub domains before the mesh cannot be read: {0}")]
    Record(#[source] serde_json::Error),
}

/// Adds the zones that nobody else sends elsewhere.
///
/// # Errors
/// Tells why the text cannot be added to.
pub fn add(
    text: Option<&str>,
    record: Option<&Record>,
    zones: &[String],
    forward_to: IpAddr,
) -> Result<Edited, StubError> {
    let original = remove(text, record)?;
    let mut domains = read(original.as_deref())?;
    let (taken, free): (Vec<_>, Vec<_>) = zones.iter().cloned().partition(|zone| domains.contains_key(zone));
    if free.is_empty() {
        return Ok(Edited { text: original, record: None, taken });
    }
    for zone in &free {
        domains.insert(zone.clone(), json!([forward_to.to_string()]));
    }
    let written = Value::Object(domains).to_string();
    let record = Record { original, written: written.clone(), zones: free };
    Ok(Edited { text: Some(written), record: Some(record), taken })
}

/// Takes out what the record says was added.
///
/// # Errors
/// Tells why the text cannot be read.
pub fn remove(text: Option<&str>, record: Option<&Record>) -> Result<Option<String>, StubError> {
    let Some(record) = record else { return Ok(text.map(str::to_owned)) };
    if text == Some(&record.written) {
        return Ok(record.original.clone());
    }
    let mut domains = read(text)?;
    let before = domains.len();
    domains.retain(|zone, _| !record.zones.contains(zone));
    Ok(match text {
        Some(text) if domains.len() == before => Some(text.to_owned()),
        Some(_) if domains.is_empty() && record.original.is_none() => None,
        Some(_) => Some(Value::Object(domains).to_string()),
        None => None,
    })
}

/// Reads the record from its annotation.
///
/// # Errors
/// Tells why it cannot be read.
pub fn read_record(annotation: &str) -> Result<Record, StubError> {
    serde_json::from_str(annotation).map_err(StubError::Record)
}

fn read(text: Option<&str>) -> Result<Map<String, Value>, StubError> {
    match text.map(str::trim) {
        None | Some("") => Ok(Map::new()),
        Some(text) => serde_json::from_str(text).map_err(StubError::NotAnObject),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones() -> Vec<String> {
        ["mesh", "maesh"].map(str::to_owned).to_vec()
    }

    fn address() -> IpAddr {
        IpAddr::from([10, 96, 0, 7])
    }

    #[test]
    fn the_text_comes_back_byte_for_byte() {
        for text in [None, Some(""), Some("{}"), Some("{ \"b\": [\"1.1.1.1\"],\n \"a\":[] }\n")] {
            let edited = add(text, None, &zones(), address()).unwrap();
            assert!(edited.text.as_ref().unwrap().contains(r#""mesh":["10.96.0.7"]"#));
            let (now, record) = (edited.text.as_deref(), edited.record.as_ref());
            assert_eq!(add(now, record, &zones(), address()).unwrap(), edited, "the same again");
            assert_eq!(remove(now, record).unwrap().as_deref(), text);
            let moved = add(now, record, &zones(), IpAddr::from([10, 96, 0, 8])).unwrap();
            assert_eq!(remove(moved.text.as_deref(), moved.record.as_ref()).unwrap().as_deref(), text);
        }
    }

    #[test]
    fn only_our_zones_go_where_others_changed_the_text() {
        let edited = add(None, None, &zones(), address()).unwrap();
        let others = edited.text.unwrap().replacen('{', r#"{"shop":["1.1.1.1"],"#, 1);
        let rest = remove(Some(&others), edited.record.as_ref()).unwrap();
        assert_eq!(rest.as_deref(), Some(r#"{"shop":["1.1.1.1"]}"#));
        assert_eq!(remove(Some("{ }"), edited.record.as_ref()).unwrap().as_deref(), Some("{ }"));
        assert_eq!(remove(None, edited.record.as_ref()).unwrap(), None);
        assert!(remove(Some("[]"), edited.record.as_ref()).is_err());
    }

    #[test]
    fn zones_of_others_are_left_to_them() {
        let text = r#"{"maesh":["10.0.0.1"]}"#;
        let edited = add(Some(text), None, &zones(), address()).unwrap();
        assert_eq!(edited.taken, ["maesh"]);
        assert_eq!(remove(edited.text.as_deref(), edited.record.as_ref()).unwrap().as_deref(), Some(text));
        let all = add(Some(text), None, &zones()[1..], address()).unwrap();
        assert_eq!((all.text.as_deref(), all.record), (Some(text), None));
    }
}
