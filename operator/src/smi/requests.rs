//! Reads what tells requests apart.
//!
//! In: one match of an HTTPRouteGroup. Out: a [`RouteMatch`]; where a part of it cannot be used, it matches nothing, for
//! without that part it would match more than was meant.

use super::{
    model::RouteMatch,
    value::{Read, list, optional, present, text},
};
use regex::RegexBuilder;
use serde_json::Value;
use weft_contract::{HeaderRegex, HttpMatch, REGEX_BYTES};

/// How much of an expression a sentence repeats, in characters.
const SHOWN: usize = 100;

/// Reads one match.
pub(super) fn route_match(value: &Value) -> Read<RouteMatch> {
    if !value.is_object() {
        return Err("a match is no object".into());
    }
    let name = optional(value, "name", "a match")?.unwrap_or_default();
    Ok(RouteMatch { name, requests: requests(value) })
}

fn requests(value: &Value) -> Read<HttpMatch> {
    let path = optional(value, "pathRegex", "it")?;
    if let Some(path) = &path {
        check(path, Some("pathRegex"))?;
        // As the proxies compile it: what closes a group, or comments the rest out, must not reach beyond itself.
        check(&format!("^(?:{path})"), Some("pathRegex, anchored,"))?;
    }
    Ok(HttpMatch { path, methods: methods(value)?, headers: headers(present(value, "headers"))? })
}

/// The methods, sorted; none is all of them, as `*` is.
fn methods(value: &Value) -> Read<Vec<String>> {
    let mut methods = Vec::new();
    for method in list(present(value, "methods"), "methods")? {
        let method = text(method, "a method")?.to_ascii_uppercase();
        if method == "*" {
            return Ok(Vec::new());
        }
        if !is_token(&method) {
            return Err(format!("{:?} is no method", shown(&method)));
        }
        methods.push(method);
    }
    methods.sort_unstable();
    methods.dedup();
    Ok(methods)
}

/// The header fields, sorted: of one object, or of a list of objects with any number of fields each.
fn headers(value: Option<&Value>) -> Read<Vec<HeaderRegex>> {
    let objects = match value {
        None => &[][..],
        Some(object @ Value::Object(_)) => std::slice::from_ref(object),
        Some(other) => list(Some(other), "headers")?,
    };
    let mut headers = Vec::new();
    for object in objects {
        let fields = object.as_object().ok_or("headers has an entry that is no object")?;
        for (name, regex) in fields {
            if !is_token(name) {
                return Err(format!("{:?} is not the name of a header", shown(name)));
            }
            let regex = text(regex, "the value of a header")?;
            check(&regex, None)?;
            headers.push(HeaderRegex { name: name.to_ascii_lowercase(), regex });
        }
    }
    headers.sort_unstable();
    headers.dedup();
    Ok(headers)
}

/// Whether the proxies can use a regular expression.
fn check(regex: &str, what: Option<&str>) -> Read<()> {
    RegexBuilder::new(regex).size_limit(REGEX_BYTES).build().map(drop).map_err(|error| {
        let error = error.to_string();
        // Its last line says what is wrong, those before point at the place.
        let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let what = what.unwrap_or("a header's value");
        format!("{what} {:?} is no regular expression that can be used: {why}", shown(regex))
    })
}

/// Whether text is a token (RFC 9110, 5.6.2).
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
