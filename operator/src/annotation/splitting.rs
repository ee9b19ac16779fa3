//! What a Service asks of TrafficSplits on it.
//!
//! In: values. Out: the rows, and their part of the draft.

use super::{
    draft::{Asked, Draft, set},
    table::{HTTP, Row},
    value,
};
use weft_contract::SplitSticky;

pub(super) const ROWS: &[Row] = &[Row {
    name: "split-sticky",
    values: "`cookie=NAME` or `header=NAME`",
    default: "none",
    example: "cookie=weft-side",
    doc: "What keeps one user on one side of a TrafficSplit on this Service: a cookie that the proxy sets, or the value of a \
          header, without which a request is split by chance.",
    protocols: HTTP,
    read: |draft, text| set(&mut draft.settings.split_sticky, sticky(text).map(Some)),
}];

fn sticky(text: &str) -> Result<SplitSticky, String> {
    match text.split_once('=') {
        Some(("cookie", name)) => value::cookie_name(name.trim()).map(SplitSticky::Cookie),
        Some(("header", name)) => value::header_name(name.trim()).map(SplitSticky::Header),
        _ => Err(format!("{text:?} is neither cookie=NAME nor header=NAME")),
    }
}

/// One cookie cannot hold both an endpoint and a side.
pub(super) fn finish(draft: &mut Draft, asked: &mut Asked) {
    let endpoint = draft.settings.policy.balancing.sticky.as_ref().map(|sticky| &sticky.name);
    if let Some(SplitSticky::Cookie(side)) = &draft.settings.split_sticky
        && Some(side) == endpoint
    {
        draft.settings.split_sticky = None;
        asked.unused(&["split-sticky"], "names the cookie that sticky-cookie has; it has no effect");
    }
}
