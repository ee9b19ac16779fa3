//! Finds and sets the cookie that keeps a client at its endpoint.
//!
//! In: a request's fields, or a cookie's name and value. Out: the value of a cookie, or the line that sets one. What the
//! value means is for balancing to know.

use super::Fields;
use http::HeaderValue;

/// Shows `show` the value of the first cookie of that name, over all Cookie lines: HTTP/2 may split them.
pub fn cookie<T>(fields: &dyn Fields, name: &str, show: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let (mut show, mut shown) = (Some(show), None);
    fields.each("cookie", &mut |line| {
        if let Some(value) = find(line, name.as_bytes())
            && let Some(show) = show.take()
        {
            shown = Some(show(value));
        }
    });
    shown
}

/// The line that sets a cookie for as long as the browser is open, out of reach of scripts; none where name or value
/// cannot be a cookie's.
#[must_use]
pub fn set_cookie(name: &str, value: &str) -> Option<HeaderValue> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_octet = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
    if name.is_empty() || !name.bytes().all(is_token) || !value.bytes().all(is_octet) {
        return None;
    }
    HeaderValue::try_from(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax")).ok()
}

fn find<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    line.split(|byte| *byte == b';').find_map(|pair| {
        let (key, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=')?);
        (key.trim_ascii() == name).then(|| value[1..].trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use proptest::prelude::*;

    fn found(lines: &[&[u8]], name: &str) -> Option<Vec<u8>> {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append("cookie", HeaderValue::from_bytes(line).unwrap());
        }
        cookie(&fields, name, <[u8]>::to_vec)
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let several = [(&[&b"other=1"[..], b"weft=a", b"weft=b"][..], Some(&b"a"[..])), (&[], None)];
        for (lines, expected) in several {
            assert_eq!(found(lines, "weft").as_deref(), expected, "{lines:?}");
        }
        let single = [
            ("weft=a", Some("a")),
            ("other=1; weft=a; weft=b", Some("a")),
            ("other=1;weft=a", Some("a")),
            (" weft = a ; other=1", Some("a")),
            ("weft=a=b==", Some("a=b==")),
            ("weft=", Some("")),
            ("weft=ü", Some("ü")),
            ("weft2=a; my-weft=a; Weft=a; weft; x=weft=a", None),
            ("=weft; ;; =", None),
            ("", None),
        ];
        for (line, expected) in single {
            assert_eq!(found(&[line.as_bytes()], "weft").as_deref(), expected.map(str::as_bytes), "{line}");
        }
    }

    #[test]
    fn a_cookie_lasts_as_long_as_the_browser_is_open() {
        assert_eq!(
            set_cookie("weft", "10.0.0.1:80").unwrap(),
            "weft=10.0.0.1:80; Path=/; HttpOnly; SameSite=Lax"
        );
        for (name, value) in
            [("", "a"), ("a b", "a"), ("a=b", "a"), ("a", "b;c"), ("a", "b\r\nc"), ("a", "ü")]
        {
            assert_eq!(set_cookie(name, value), None, "{name} {value}");
        }
    }

    proptest! {
        #[test]
        fn what_was_set_is_found(name in "[a-zA-Z0-9_.-]{1,10}", value in "[!#-+--:<-\\[\\]-~]{0,20}") {
            let line = set_cookie(&name, &value).unwrap();
            let pair = line.as_bytes().split(|byte| *byte == b';').next().unwrap();
            let value = found(&[b"=1; ;other-than-that=2", pair], &name);
            prop_assert_eq!(value.as_deref(), Some(&pair[name.len() + 1..]));
        }

        #[test]
        fn no_line_breaks_it(line in prop::collection::vec(any::<u8>(), 0..60), name in "[a;= ]{0,3}") {
            if let Some(value) = find(&line, name.as_bytes()) {
                prop_assert!(value.len() < line.len());
            }
        }
    }
}
