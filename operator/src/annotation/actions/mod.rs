//! What is done to a request on its way.
//!
//! In: values. Out: the rows, and their part of the draft.

mod cors;
mod fault;
mod headers;
pub(super) mod mirror;
mod path;

use super::{
    draft::{Asked, Draft, set},
    table::{HTTP, Row},
    value,
};
use std::time::Duration;
use weft_contract::policy::{Cors, Fault};

/// Browsers keep an answer no longer.
const LONGEST_MAX_AGE: Duration = value::DAY;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "request-headers",
        values: "a list of `set NAME=VALUE`, `add NAME=VALUE` and `remove NAME`",
        default: "none",
        example: "set x-tenant=shop, add x-tag=\"a, b\", remove cookie",
        doc: "Changes the headers of requests, in this order. A value with a comma or quotes stands in quotes, where \
              `\\\"` is a quote and `\\\\` a backslash. Headers of the connection (`connection`, `transfer-encoding`, \
              `content-length`, `te`, `trailer`, `upgrade`, `keep-alive`, `proxy-connection`) cannot be changed.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.policy.actions.request_headers, headers::changes(text)),
    },
    Row {
        name: "response-headers",
        values: "a list of `set NAME=VALUE`, `add NAME=VALUE` and `remove NAME`",
        default: "none",
        example: "set strict-transport-security=max-age=31536000, remove server",
        doc: "The same for the headers of answers.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.policy.actions.response_headers, headers::changes(text)),
    },
    Row {
        name: "rewrite-path",
        values: "`full /PATH`, or `prefix /OLD /NEW`",
        default: "none",
        example: "prefix /api/v1 /v1",
        doc: "Changes the path of requests: to this one, or where it begins with the old segments to one that begins with \
              the new. The query stays.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.policy.actions.rewrite, path::rewrite(text).map(Some)),
    },
    Row {
        name: "redirect",
        values: "`301`, `302`, `303`, `307` or `308`, and a URL such as `https://HOST:PORT/PATH`, `//HOST`, `https://` or \
                 `/PATH`",
        default: "none",
        example: "301 https://shop.example.org",
        doc: "Sends clients elsewhere instead of forwarding. What the URL leaves out stays as the client asked, and so \
              does the query; a scheme without a port means that scheme's own.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.policy.actions.redirect, path::redirect(text).map(Some)),
    },
    Row {
        name: "mirror",
        values: "`SERVICE`, `SERVICE.NAMESPACE`, each with `:PORT` if need be, and a share if it is not all",
        default: "none",
        example: "web-next.staging:8080 10%",
        doc: "Sends a copy of requests to another Service with a mesh name, whose answers nobody waits for. The namespace \
              is the Service's own and the port the only one, unless given.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.mirror, mirror::target(text).map(Some)),
    },
    Row {
        name: "fault-delay",
        values: "a time up to `1h`, and a share if it is not all",
        default: "none",
        example: "500ms 10%",
        doc: "Makes requests wait, to see what callers make of it.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.fault.delay, fault::delay(text).map(Some)),
    },
    Row {
        name: "fault-abort",
        values: "a status from 400 to 599, and a share if it is not all",
        default: "none",
        example: "503 10%",
        doc: "Answers with this status instead of forwarding.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.fault.abort, fault::abort(text).map(Some)),
    },
    Row {
        name: "fault-only",
        values: "`header:NAME` or `header:NAME=VALUE`",
        default: "none: every request",
        example: "header:x-test=1",
        doc: "Which requests the faults are for.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.fault.only, fault::only(text).map(Some)),
    },
    Row {
        name: "cors-origins",
        values: "a list of origins such as `https://shop.example` or `https://*.example`, or `*`",
        default: "none: the proxy has no part in CORS",
        example: "https://shop.example, https://*.shop.example",
        doc: "Pages of which origins may call from a browser. The proxy answers the browser's preflight requests.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.cors.origins, cors::origins(text)),
    },
    Row {
        name: "cors-methods",
        values: "a list of methods, or `*`",
        default: "none beyond `GET`, `HEAD` and `POST`, which need no leave",
        example: "GET, PUT, DELETE",
        doc: "With which methods.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.cors.methods, cors::methods(text)),
    },
    Row {
        name: "cors-headers",
        values: "a list of headers, or `*`",
        default: "none beyond those that need no leave",
        example: "content-type, x-user",
        doc: "With which request headers.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.cors.headers, cors::headers(text)),
    },
    Row {
        name: "cors-expose",
        values: "a list of headers, or `*`",
        default: "none beyond those that need no leave",
        example: "x-request-id",
        doc: "Which headers of an answer a page may read.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.cors.expose, cors::headers(text)),
    },
    Row {
        name: "cors-credentials",
        values: "`true` or `false`",
        default: "`false`",
        example: "true",
        doc: "Whether cookies may come along. It needs origins that are named.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.cors.credentials, value::boolean(text)),
    },
    Row {
        name: "cors-max-age",
        values: "a time up to `24h`, in whole seconds",
        default: "none: the browser's own, five seconds",
        example: "10m",
        doc: "How long a browser may keep the answer to a preflight request.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.cors.max_age, cors::max_age(text, LONGEST_MAX_AGE).map(Some)),
    },
];

pub(super) fn finish(draft: &mut Draft, asked: &mut Asked) {
    let fault = std::mem::take(&mut draft.fault);
    let Fault { only: _, delay, abort } = &fault;
    if delay.is_some() || abort.is_some() {
        draft.settings.policy.actions.fault = Some(fault);
    } else {
        asked.unused(&["fault-only"], "has no effect without fault-delay or fault-abort");
    }
    let mut cors: Cors = std::mem::take(&mut draft.cors);
    if cors.origins.is_empty() {
        let others = ["cors-methods", "cors-headers", "cors-expose", "cors-credentials", "cors-max-age"];
        asked.unused(&others, "has no effect without cors-origins");
    } else {
        if cors.credentials && cors.origins.iter().any(|origin| origin == "*") {
            cors.credentials = false;
            asked.unused(
                &["cors-credentials"],
                "has no effect with cors-origins: *, for browsers need the origin named",
            );
        }
        draft.settings.policy.actions.cors = Some(cors);
    }
    if draft.settings.policy.actions.redirect.is_some() {
        draft.settings.mirror = None; // so that nothing else is said of it
        let others = ["request-headers", "rewrite-path", "mirror"];
        asked.unused(&others, "has no effect with redirect, for nothing is forwarded");
    }
}
