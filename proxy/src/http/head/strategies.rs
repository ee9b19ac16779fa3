//! Heads for the tests: whatever may be sent, and what must not make a difference.

use proptest::prelude::*;

/// Lines of fields that decide nothing: `X-` before each name keeps them apart from those that do.
fn fields() -> impl Strategy<Value = String> {
    let field =
        ("X-[!#$%&'*+.^_`|~0-9A-Za-z-]{0,12}", "[ \t]{0,2}", "([!-~]([ \t!-~]{0,20}[!-~])?)?", "[ \t]{0,2}");
    let field = field.prop_map(|(name, before, value, behind)| format!("{name}:{before}{value}{behind}\r\n"));
    // More than are parsed without allocating.
    prop::collection::vec(field, 0..60).prop_map(|lines| lines.concat())
}

/// The head of a request.
pub fn request_head() -> impl Strategy<Value = Vec<u8>> {
    let target = "(http://[a-z]{1,5}(:[0-9]{1,4})?)?/[a-zA-Z0-9/?&=%._~-]{0,20}";
    ("[A-Z]{1,8}", target, prop::bool::ANY, "[a-z.]{1,10}", fields(), fields()).prop_map(
        |(method, target, new, host, before, behind)| {
            let version = if new { "1.1" } else { "1.0" };
            format!("{method} {target} HTTP/{version}\r\n{before}Host: {host}\r\n{behind}\r\n").into_bytes()
        },
    )
}

/// The head of an answer.
pub fn response_head() -> impl Strategy<Value = Vec<u8>> {
    (100..600_u16, "( [ -~]{0,10})?", fields()).prop_map(|(status, reason, fields)| {
        format!("HTTP/1.1 {status}{reason}\r\n{fields}\r\n").into_bytes()
    })
}
