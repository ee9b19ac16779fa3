//! Changes headers as a Service asks for it.
//!
//! In: the changes of the configuration. Out: edits, made ready once. What the engine owns cannot be changed: a message
//! whose framing a configuration could alter would be another message. Host is the exception, and only as a whole.

use super::Edit;
use http::{HeaderName, HeaderValue, header::HOST};
use weft_contract::policy::{HeaderChange, is_protected};

/// The edits of a request's head. What cannot be is left out; the operator has said so.
pub(super) fn of_request(changes: &[HeaderChange]) -> Vec<Edit> {
    changes.iter().filter_map(edit).filter(|edit| may(edit, true)).collect()
}

/// The same for an answer's head, which has no Host.
pub(super) fn of_response(changes: &[HeaderChange]) -> Vec<Edit> {
    changes.iter().filter_map(edit).filter(|edit| may(edit, false)).collect()
}

fn edit(change: &HeaderChange) -> Option<Edit> {
    let name = |name: &str| HeaderName::from_bytes(name.as_bytes()).ok();
    let value = |value: &str| HeaderValue::from_str(value).ok();
    Some(match change {
        HeaderChange::Set(header, text) => Edit::Set(name(header)?, value(text)?),
        HeaderChange::Add(header, text) => Edit::Add(name(header)?, value(text)?),
        HeaderChange::Remove(header) => Edit::Remove(name(header)?),
    })
}

fn may(edit: &Edit, request: bool) -> bool {
    match edit {
        Edit::Set(name, _) if *name == HOST => request,
        Edit::Set(name, _) | Edit::Add(name, _) | Edit::Remove(name) => {
            *name != HOST && !is_protected(name.as_str())
        }
        Edit::RemovePrefix(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::fixture::{Scene, lines};
    use weft_contract::{Policy, policy::Actions};

    fn changes(list: &[(&str, &str, &str)]) -> Vec<HeaderChange> {
        let change = |(kind, name, value): &(&str, &str, &str)| match *kind {
            "set" => HeaderChange::Set((*name).into(), (*value).into()),
            "add" => HeaderChange::Add((*name).into(), (*value).into()),
            _ => HeaderChange::Remove((*name).into()),
        };
        list.iter().map(change).collect()
    }

    #[test]
    fn headers_are_set_added_and_removed_in_order() {
        let request_headers = changes(&[
            ("set", "x-tenant", "blue"),
            ("add", "accept", "text/html"),
            ("remove", "cookie", ""),
            ("set", "host", "other.example"),
            ("set", "x-forwarded-prefix", "/shop"),
            ("remove", "x-forwarded-proto", ""),
        ]);
        let actions = Actions { request_headers, ..Actions::default() };
        let received = Scene::get("/")
            .with("x-tenant", "red")
            .with("accept", "*/*")
            .with("cookie", "a=b")
            .received(&Policy { actions, ..Policy::default() });
        assert_eq!(
            lines(&received),
            [
                ("accept", "*/*"),
                ("accept", "text/html"),
                ("host", "other.example"),
                ("x-forwarded-for", "10.1.2.3"),
                ("x-forwarded-host", "web.shop.mesh"),
                ("x-forwarded-prefix", "/shop"),
                ("x-tenant", "blue"),
            ],
            "the Service's own word comes after what the proxy knows"
        );
    }

    #[test]
    fn what_the_engine_owns_is_left_alone() {
        let owned =
            ["connection", "Transfer-Encoding", "content-length", "upgrade", "te", "keep-alive", "trailer"];
        for name in owned.into_iter().chain(["proxy-connection", "http2-settings"]) {
            let list = changes(&[("set", name, "1"), ("add", name, "1"), ("remove", name, "")]);
            assert_eq!((of_request(&list), of_response(&list)), (vec![], vec![]), "{name}");
        }
        let host = changes(&[("add", "host", "a"), ("remove", "host", ""), ("set", "host", "b")]);
        assert_eq!(of_request(&host), [Edit::Set(HOST, HeaderValue::from_static("b"))]);
        assert_eq!(of_response(&host), []);
    }

    #[test]
    fn what_cannot_be_a_header_is_left_out() {
        let list =
            changes(&[("set", "a b", "1"), ("set", "", "1"), ("add", "x", "a\r\ny: b"), ("remove", "ü", "")]);
        assert_eq!(of_request(&list), []);
    }
}
