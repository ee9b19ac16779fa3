//! Which pages of other origins may call.
//!
//! In: lists. Out: the same, checked.

use super::value;
use std::time::Duration;

/// Reads origins: `*`, or a scheme with a host and perhaps a port, whose first label may be `*`.
pub(super) fn origins(text: &str) -> Result<Vec<String>, String> {
    value::list(text)?.into_iter().map(origin).collect()
}

fn origin(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let wrong = |why: &str| format!("{text:?} is not an origin such as https://shop.example: {why}");
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
    if !matches!(scheme, "http" | "https") {
        return Err(wrong("its scheme is neither http nor https"));
    }
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    if let Some(port) = port {
        value::whole::<u16>(port, 1, 65_535).map_err(|why| wrong(&why))?;
    }
    value::name(host.strip_prefix("*.").unwrap_or(host)).map_err(|why| wrong(&why))?;
    Ok(text.to_owned())
}

/// Reads methods.
pub(super) fn methods(text: &str) -> Result<Vec<String>, String> {
    let method = |text: &str| {
        let fits = value::is_token(text) && !text.bytes().any(|byte| byte.is_ascii_lowercase());
        if fits { Ok(text.to_owned()) } else { Err(format!("{text:?} is not a method such as PUT")) }
    };
    value::list(text)?.into_iter().map(method).collect()
}

/// Reads names of headers, or `*`.
pub(super) fn headers(text: &str) -> Result<Vec<String>, String> {
    let header = |text: &str| if text == "*" { Ok(text.to_owned()) } else { value::header_name(text) };
    value::list(text)?.into_iter().map(header).collect()
}

/// Reads how long a browser may keep the answer, in seconds.
pub(super) fn max_age(text: &str, most: Duration) -> Result<u32, String> {
    let duration = value::duration(text, Duration::ZERO, most)?;
    if duration.subsec_millis() != 0 {
        return Err(format!("{text:?} is not a time in whole seconds"));
    }
    u32::try_from(duration.as_secs()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_schemes_and_hosts() {
        let good = "*, https://shop.example, http://localhost:8080, https://*.example";
        assert_eq!(origins(good).unwrap().len(), 4);
        for wrong in [
            "",
            "shop.example",
            "https://",
            "https://a/",
            "https://a:b",
            "https://*",
            "https://a.*.b",
            "ftp://a",
        ] {
            assert!(origins(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn methods_headers_and_ages_are_checked() {
        assert_eq!(methods("GET,*").unwrap(), ["GET", "*"]);
        assert_eq!(headers("X-A, *").unwrap(), ["x-a", "*"]);
        assert!(
            methods("get").is_err()
                && methods("A B").is_err()
                && headers("a b").is_err()
                && headers("").is_err()
        );
        let age = |text| max_age(text, value::DAY);
        assert_eq!((age("10m"), age("0s")), (Ok(600), Ok(0)));
        assert!(age("500ms").is_err() && age("600").is_err() && age("25h").is_err());
    }
}
