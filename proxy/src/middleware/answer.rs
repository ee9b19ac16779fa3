//! What the proxy answers itself.
//!
//! In: a cause. Out: an [`Answer`], and how it is written: for people one line of text, for programs `proxy-status`
//! (RFC 9209) with the cause, for gRPC clients a status of gRPC's.

use super::{Changes, Edit, cors};
use crate::cause::Cause;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, VARY},
};
use std::{borrow::Cow, fmt::Write, time::Duration};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// When a gRPC client may try again, in milliseconds; clients with a retry policy obey it (gRFC A6).
const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
/// What may be asked instead of a method that is refused (RFC 9110 wants it said).
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE");

/// An answer that the proxy gives itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Why.
    pub cause: Cause,
    /// The status code for HTTP.
    pub status: u16,
    /// One line for people; empty where there is nothing to say.
    pub text: Cow<'static, str>,
    /// Header fields that belong to this answer, besides those that every answer has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

/// An answer as it is written. Its length is for the engine to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The body; none where the status forbids one, and for gRPC, where the head is all there is (trailers-only).
    pub body: Option<String>,
}

// === impl Answer ===

impl Answer {
    /// The answer with this cause.
    #[must_use]
    pub fn of(cause: Cause) -> Self {
        let headers = if cause == Cause::MethodRefused { vec![(ALLOW, METHODS)] } else { Vec::new() };
        Self { cause, status: cause.status(), text: Cow::Borrowed(cause.text()), headers, retry_after: None }
    }

    /// The same with another line for people.
    #[must_use]
    pub fn with_text(self, text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), ..self }
    }

    /// The same with another status than the cause's.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same with the time to try again.
    #[must_use]
    pub fn with_retry_after(self, pause: Duration) -> Self {
        Self { retry_after: Some(pause), ..self }
    }

    /// The same with what lets a page of another origin read it, if `changes` would let it read the endpoint's answer:
    /// else a browser hides from its page even why a request failed.
    #[must_use]
    pub fn with_cors(mut self, changes: &Changes) -> Self {
        for edit in &changes.response {
            match edit {
                Edit::Add(name, value) if name.as_str().starts_with(cors::PREFIX) || *name == VARY => {
                    self.headers.push((name.clone(), value.clone()));
                }
                Edit::Add(..) | Edit::Set(..) | Edit::Remove(_) | Edit::RemovePrefix(_) => {}
            }
        }
        self
    }

    /// The answer as it is written, to a gRPC client or to any other, by the proxy of `node`.
    #[must_use]
    pub fn render(&self, node: &str, grpc: bool) -> Rendered {
        if grpc {
            Rendered { status: 200, fields: self.grpc_fields(node), body: None }
        } else {
            Rendered { status: self.status, fields: self.fields(node), body: self.body() }
        }
    }

    /// The header fields for HTTP.
    #[must_use]
    pub fn fields(&self, node: &str) -> Vec<(HeaderName, HeaderValue)> {
        let mut fields = Vec::with_capacity(3 + self.headers.len());
        if self.has_body() {
            fields.push((CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")));
        }
        self.push_common(node, &mut fields);
        fields
    }

    /// The header fields for gRPC, which are all of the answer.
    #[must_use]
    pub fn grpc_fields(&self, node: &str) -> Vec<(HeaderName, HeaderValue)> {
        let mut fields = Vec::with_capacity(6 + self.headers.len());
        fields.push((CONTENT_TYPE, HeaderValue::from_static("application/grpc")));
        fields.push((GRPC_STATUS, HeaderValue::from(self.grpc_code())));
        if let Ok(message) = HeaderValue::try_from(percent_encoded(&format!("weft: {}", self.text))) {
            fields.push((GRPC_MESSAGE, message));
        }
        if let Some(pause) = self.retry_after {
            let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            fields.push((GRPC_PUSHBACK, HeaderValue::from(pause)));
        }
        self.push_common(node, &mut fields);
        fields
    }

    /// The trailers that end a gRPC call whose answer has begun.
    #[must_use]
    pub fn grpc_trailers(&self, node: &str) -> HeaderMap {
        self.grpc_fields(node).into_iter().filter(|(name, _)| *name != CONTENT_TYPE).collect()
    }

    /// The body for HTTP.
    #[must_use]
    pub fn body(&self) -> Option<String> {
        self.has_body().then(|| format!("weft: {}\n", self.text))
    }

    /// The code for a gRPC client: that of the cause, unless the status is not the cause's own.
    #[must_use]
    pub fn grpc_code(&self) -> u16 {
        if self.status == self.cause.status() { self.cause.grpc_code() } else { code_of(self.status) }
    }

    fn has_body(&self) -> bool {
        !self.text.is_empty() && !matches!(self.status, 204 | 205 | 304)
    }

    fn push_common(&self, node: &str, fields: &mut Vec<(HeaderName, HeaderValue)>) {
        fields.extend(proxy_status(self.cause, node).map(|value| (PROXY_STATUS, value)));
        if let Some(pause) = self.retry_after {
            // Rounded up: who comes back early is refused again.
            let seconds = pause.as_secs().saturating_add(u64::from(pause.subsec_nanos() > 0));
            fields.push((RETRY_AFTER, HeaderValue::from(seconds)));
        }
        fields.extend(self.headers.iter().cloned());
    }
}

/// gRPC's mapping of HTTP statuses ("HTTP to gRPC Status Code Mapping").
fn code_of(status: u16) -> u16 {
    match status {
        400 => 13,                   // INTERNAL
        401 => 16,                   // UNAUTHENTICATED
        403 => 7,                    // PERMISSION_DENIED
        404 => 12,                   // UNIMPLEMENTED
        429 | 502 | 503 | 504 => 14, // UNAVAILABLE
        _ => 2,                      // UNKNOWN
    }
}

/// `proxy-status` as a structured field: who answered, the error's type, and the response flag. The node is a parameter of
/// our own, which readers that do not know it pass over; it stays away where it cannot be a string there.
fn proxy_status(cause: Cause, node: &str) -> Option<HeaderValue> {
    let mut value = "weft".to_owned();
    if let Some(error) = cause.proxy_status() {
        value.push_str("; error=");
        value.push_str(error);
    }
    value.push_str("; details=\"");
    value.push_str(cause.flag());
    value.push('"');
    if !node.is_empty() && node.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
        value.push_str("; node=\"");
        value.push_str(node);
        value.push('"');
    }
    HeaderValue::try_from(value).ok()
}

/// Text as gRPC over HTTP/2 writes `grpc-message`: UTF-8, with all but printable ASCII encoded, and `%` too.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}"); // writing to a String cannot fail
        }
    }
    encoded
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
