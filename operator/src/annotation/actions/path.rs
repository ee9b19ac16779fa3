//! Paths: rewritten, or redirected to.
//!
//! In: `full /PATH`, `prefix /OLD /NEW`, or a status with a URL. Out: the contract's types.

use super::value;
use std::net::Ipv6Addr;
use weft_contract::policy::{PathRewrite, Redirect};

/// What no path that a person wrote comes near.
const LONGEST: usize = 1024;

/// Reads a change of the path.
pub(super) fn rewrite(text: &str) -> Result<PathRewrite, String> {
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    match words[..] {
        ["full", new] => path(new).map(PathRewrite::Full),
        ["prefix", old, new] => Ok(PathRewrite::Prefix(prefix(old)?, prefix(new)?)),
        ["full", ..] => Err("full takes one path".into()),
        ["prefix", ..] => Err("prefix takes two paths, the old and the new beginning".into()),
        _ => Err("it begins with neither full nor prefix".into()),
    }
}

/// Reads where clients are sent.
pub(super) fn redirect(text: &str) -> Result<Redirect, String> {
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    let [status, url] = words[..] else { return Err("it is not a status and a URL".into()) };
    let status = match status {
        "301" | "302" | "303" | "307" | "308" => value::whole(status, 301, 308)?,
        _ => return Err(format!("{status:?} is none of 301, 302, 303, 307 and 308")),
    };
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (Some(scheme.to_owned()), Some(rest)),
        Some((scheme, _)) => return Err(format!("{scheme:?} is neither http nor https")),
        None => (None, url.strip_prefix("//")),
    };
    let (authority, path_text) = match rest {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None if url.starts_with('/') => ("", url),
        None => return Err(format!("{url:?} is neither a URL nor a path")),
    };
    let (host, port) = host_and_port(authority)?;
    let port = port.or(match scheme.as_deref() {
        Some("https") => Some(443),
        Some(_) => Some(80),
        None => None,
    });
    let path = if path_text.is_empty() { None } else { Some(PathRewrite::Full(path(path_text)?)) };
    if scheme.is_none() && host.is_none() && port.is_none() && path.is_none() {
        return Err("the URL changes nothing".into());
    }
    Ok(Redirect { status, scheme, host, port, path })
}

fn host_and_port(authority: &str) -> Result<(Option<String>, Option<u16>), String> {
    let (host, port) = match authority.rfind(':').filter(|colon| !authority[*colon..].contains(']')) {
        Some(colon) => (&authority[..colon], Some(value::whole(&authority[colon + 1..], 1, 65_535)?)),
        None => (authority, None),
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match address {
        _ if host.is_empty() => None,
        Some(address) if address.parse::<Ipv6Addr>().is_ok() => Some(host.to_owned()),
        _ => Some(value::name(host)?),
    };
    Ok((host, port))
}

/// A beginning of whole segments: a slash at its end says nothing.
fn prefix(text: &str) -> Result<String, String> {
    let path = path(text)?;
    let trimmed = path.trim_end_matches('/');
    Ok(if trimmed.is_empty() { "/".into() } else { trimmed.to_owned() })
}

/// An absolute path without a query (RFC 3986, 3.3).
fn path(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte);
    let escapes = text.split('%').skip(1);
    let escaped =
        |rest: &str| rest.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    if !text.starts_with('/') || text.len() > LONGEST || !text.bytes().all(fits) {
        return Err(format!("{text:?} is not a path that begins with / and has no query"));
    }
    if !escapes.into_iter().all(escaped) {
        return Err(format!("{text:?} has a % without two hexadecimal digits"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_rewritten_whole_or_by_their_beginning() {
        assert_eq!(rewrite("full /a"), Ok(PathRewrite::Full("/a".into())));
        assert_eq!(rewrite("prefix  /a/b/ /"), Ok(PathRewrite::Prefix("/a/b".into(), "/".into())));
        for wrong in [
            "",
            "/a",
            "full",
            "full a",
            "full /a /b",
            "prefix /a",
            "prefix /a /b /c",
            "full /a?b",
            "full /%zz",
        ] {
            assert!(rewrite(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_a_url_leaves_out_stays() {
        let shown = |text: &str| {
            let Redirect { status, scheme, host, port, path } = redirect(text).unwrap();
            format!("{status} {scheme:?} {host:?} {port:?} {path:?}").replace("Some(", "(")
        };
        assert_eq!(shown("301 https://"), r#"301 ("https") None (443) None"#);
        assert_eq!(shown("302 https://a.b:8443/c"), r#"302 ("https") ("a.b") (8443) (Full("/c"))"#);
        assert_eq!(shown("303 //a.b"), r#"303 None ("a.b") None None"#);
        assert_eq!(shown("307 /c"), r#"307 None None None (Full("/c"))"#);
        assert_eq!(shown("308 http://[::1]:81/"), r#"308 ("http") ("[::1]") (81) (Full("/"))"#);
        assert_eq!(shown("308 //[::1]"), r#"308 None ("[::1]") None None"#);
        assert_eq!(shown("308 //:81"), "308 None None (81) None");
        for wrong in [
            "",
            "301",
            "304 /a",
            "301 a",
            "301 //",
            "301 ftp://a",
            "301 //a:0",
            "301 //a:x",
            "301 //A",
            "301 /a b",
            "301 //[::1",
        ] {
            assert!(redirect(wrong).is_err(), "{wrong:?}");
        }
    }
}
