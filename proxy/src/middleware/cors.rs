//! Answers browsers that ask whether a page of another origin may call (the Fetch standard, "CORS protocol").
//!
//! In: a request. Out: the answer to a preflight; for any other request what its answer must say. Where a Service has
//! this policy it alone decides: what its endpoints say of CORS themselves does not get through.
//!
//! - A preflight that is not allowed is answered without a word of CORS, which is how a browser is told no.
//! - GET, HEAD and POST are always allowed, as a browser takes them to be.
//! - An origin that is allowed by `*` alone gets no credentials: with them any page could act as its visitor.
//! - `*` never covers the request header `Authorization`, as in the standard.

use super::{Answer, Changes, Edit, Request};
use crate::cause::Cause;
use http::{
    HeaderName, HeaderValue, Method,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, VARY,
    },
};
use weft_contract::policy;

/// Header fields of a message, in order.
type Lines = Vec<(HeaderName, HeaderValue)>;

const ANY: &str = "*";
const ANY_VALUE: HeaderValue = HeaderValue::from_static("*");
/// The fields of an answer that only this policy writes.
pub(super) const PREFIX: &str = "access-control-";
/// What a preflight's answer depends on.
const VARY_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

/// A policy, made ready.
#[derive(Clone, Debug)]
pub(super) struct Cors {
    origins: Origins,
    methods: List,
    headers: List,
    /// With `*`, and without for requests with credentials, to which it means nothing.
    expose: (Option<HeaderValue>, Option<HeaderValue>),
    credentials: bool,
    max_age: Option<HeaderValue>,
}

#[derive(Clone, Debug)]
struct Origins {
    any: bool,
    exact: Vec<String>,
    /// What stands before and after a label that may be anything.
    patterns: Vec<(String, String)>,
}

/// Methods, or lower-case names of headers.
#[derive(Clone, Debug)]
struct List {
    any: bool,
    named: Vec<String>,
    /// As an answer says it.
    value: Option<HeaderValue>,
}

/// What an origin is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    Not,
    /// By `*`: without credentials.
    AsAny,
    /// By its name or a pattern.
    ByName,
}

// === impl Cors ===

impl Cors {
    pub(super) fn new(cors: &policy::Cors) -> Self {
        let policy::Cors { origins, methods, headers, expose, credentials, max_age } = cors;
        let named: Vec<_> = expose.iter().filter(|name| *name != ANY).cloned().collect();
        Self {
            origins: Origins::new(origins),
            methods: List::new(methods.clone()),
            headers: List::new(headers.iter().map(|name| name.to_ascii_lowercase()).collect()),
            expose: (joined(expose), joined(&named)),
            credentials: *credentials,
            max_age: max_age.map(HeaderValue::from),
        }
    }

    pub(super) fn pass(&self, request: &Request<'_>, changes: &mut Changes) -> Result<(), Answer> {
        let origin = request.fields.get("origin");
        if let (Some(origin), Some(method)) = (origin, request.fields.get("access-control-request-method"))
            && request.method == Method::OPTIONS
        {
            let mut answer = Answer::of(Cause::Answered).with_status(204).with_text("");
            answer.headers = self.preflight(request, origin, method);
            return Err(answer);
        }
        changes.response.push(Edit::RemovePrefix(PREFIX));
        let add = |(name, value)| Edit::Add(name, value);
        changes.response.extend(self.shared(origin).into_iter().map(add));
        Ok(())
    }

    /// What an answer to anything but a preflight says.
    fn shared(&self, origin: Option<&[u8]>) -> Lines {
        let mut lines = Lines::new();
        // An answer that is the same for every origin says so always, else a cache could keep it without.
        let allowed = origin.map_or(Allowed::Not, |origin| self.origins.allow(origin));
        let allowed = if self.origins.is_static() { Allowed::AsAny } else { allowed };
        let credentials = self.origin(allowed, origin, &mut lines);
        if allowed != Allowed::Not {
            let (with_any, named) = &self.expose;
            let expose = if credentials { named } else { with_any };
            lines.extend(expose.clone().map(|names| (ACCESS_CONTROL_EXPOSE_HEADERS, names)));
        }
        if !self.origins.is_static() {
            lines.push((VARY, HeaderValue::from_static("Origin")));
        }
        lines
    }

    /// What the answer to a preflight says.
    fn preflight(&self, request: &Request<'_>, origin: &[u8], method: &[u8]) -> Lines {
        let mut lines = vec![(VARY, VARY_PREFLIGHT)];
        let allowed = self.origins.allow(origin);
        let Some(names) = self.headers_asked(request) else { return lines };
        if allowed == Allowed::Not || !self.allows_method(method) {
            return lines;
        }
        // `*` means nothing to a request with credentials, so what was asked for is repeated.
        let credentials = self.origin(allowed, Some(origin), &mut lines);
        let methods = self.methods.say(credentials, || HeaderValue::from_bytes(method).ok());
        lines.extend(methods.map(|methods| (ACCESS_CONTROL_ALLOW_METHODS, methods)));
        let headers = self.headers.say(credentials, || joined(&names));
        lines.extend(headers.map(|headers| (ACCESS_CONTROL_ALLOW_HEADERS, headers)));
        lines.extend(self.max_age.clone().map(|age| (ACCESS_CONTROL_MAX_AGE, age)));
        lines
    }

    /// Says which origin may read the answer; whether with credentials.
    fn origin(&self, allowed: Allowed, origin: Option<&[u8]>, lines: &mut Lines) -> bool {
        match allowed {
            Allowed::Not => return false,
            Allowed::AsAny => lines.push((ACCESS_CONTROL_ALLOW_ORIGIN, ANY_VALUE)),
            Allowed::ByName => {
                let origin = origin.and_then(|origin| HeaderValue::from_bytes(origin).ok());
                lines.extend(origin.map(|origin| (ACCESS_CONTROL_ALLOW_ORIGIN, origin)));
                if self.credentials {
                    lines.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
                    return true;
                }
            }
        }
        false
    }

    fn allows_method(&self, method: &[u8]) -> bool {
        let List { any, named, value: _ } = &self.methods;
        *any || matches!(method, b"GET" | b"HEAD" | b"POST")
            || named.iter().any(|named| named.as_bytes() == method)
    }

    /// The request headers that a preflight asks for; none where one of them is not allowed.
    fn headers_asked(&self, request: &Request<'_>) -> Option<Vec<String>> {
        let mut names = Vec::new();
        request.fields.each("access-control-request-headers", &mut |line| {
            let line = String::from_utf8_lossy(line).to_ascii_lowercase();
            names.extend(line.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned));
        });
        let List { any, named, value: _ } = &self.headers;
        let allowed = |name: &String| named.contains(name) || (*any && name != "authorization");
        names.iter().all(allowed).then_some(names)
    }
}

// === impl Origins ===

impl Origins {
    fn new(origins: &[String]) -> Self {
        let mut all = Self { any: false, exact: Vec::new(), patterns: Vec::new() };
        for origin in origins.iter().map(|origin| serialized(origin)) {
            match origin.split_once("://*.") {
                _ if origin == ANY => all.any = true,
                Some((scheme, host)) => all.patterns.push((format!("{scheme}://"), format!(".{host}"))),
                None => all.exact.push(origin),
            }
        }
        all
    }

    fn allow(&self, origin: &[u8]) -> Allowed {
        let label = |(before, after): &(String, String)| {
            let rest = origin.strip_prefix(before.as_bytes())?;
            rest.strip_suffix(after.as_bytes())
        };
        let is_label = |label: &[u8]| {
            !label.is_empty() && label.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
        };
        if self.exact.iter().any(|exact| exact.as_bytes() == origin)
            || self.patterns.iter().filter_map(label).any(is_label)
        {
            Allowed::ByName
        } else if self.any {
            Allowed::AsAny
        } else {
            Allowed::Not
        }
    }

    /// Whether every origin gets the same answer.
    fn is_static(&self) -> bool {
        self.any && self.exact.is_empty() && self.patterns.is_empty()
    }
}

/// An origin as browsers write it, whichever way it was configured: lower-case, without the port that its scheme implies.
fn serialized(origin: &str) -> String {
    let origin = origin.trim_end_matches('/').to_ascii_lowercase();
    let implied = if origin.starts_with("https://") { ":443" } else { ":80" };
    origin.strip_suffix(implied).unwrap_or(&origin).to_owned()
}

// === impl List ===

impl List {
    fn new(names: Vec<String>) -> Self {
        let value = joined(&names);
        let any = names.iter().any(|name| name == ANY);
        Self { any, named: names.into_iter().filter(|name| name != ANY).collect(), value }
    }

    /// What a preflight's answer says is allowed.
    fn say(&self, credentials: bool, asked: impl FnOnce() -> Option<HeaderValue>) -> Option<HeaderValue> {
        if self.any && credentials { asked() } else { self.value.clone() }
    }
}

fn joined(names: &[String]) -> Option<HeaderValue> {
    if names.is_empty() { None } else { HeaderValue::try_from(names.join(", ")).ok() }
}

#[cfg(test)]
#[path = "cors_tests.rs"]
mod tests;
