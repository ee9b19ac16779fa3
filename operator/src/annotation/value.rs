//! Reads the parts that values are made of.
//!
//! In: text. Out: a number, a duration, a name; or what is wrong with the text, as the part of a sentence. Spaces around
//! parts are allowed, and nothing else that is not documented.

use std::time::Duration;
use weft_contract::policy::HeaderMatch;

/// The shortest time that can be told to a proxy.
pub(super) const INSTANT: Duration = Duration::from_millis(1);
/// More than anybody waits for a request.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
/// What no name of a header or cookie in use comes near.
const LONGEST_NAME: usize = 256;
/// Fields that belong to one connection, or tell where a message ends: the proxy's own business on each side.
const PROTECTED: [&str; 8] = [
    "connection",
    "transfer-encoding",
    "content-length",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-connection",
];

/// A whole number within bounds.
pub(super) fn whole<N: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Result<N, String> {
    let number = digits(text).ok_or_else(|| format!("{text:?} is not a whole number"))?;
    let number = Some(number).filter(|number| (least..=most).contains(number));
    number
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| format!("{text} is out of bounds, which are {least} and {most}"))
}

/// Yes or no.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
}

/// A bound, or `none`, which proxies are told as 0. A 0 that somebody writes might as well mean that nothing may pass.
pub(super) fn bound<N: TryFrom<u64> + Default>(text: &str, most: u64) -> Result<N, String> {
    if text == "none" { Ok(N::default()) } else { whole(text, 1, most) }
}

/// A share such as `20%`.
pub(super) fn percent(text: &str, least: u64, most: u64) -> Result<u32, String> {
    let number = text.strip_suffix('%').ok_or_else(|| format!("{text:?} is not a share such as 20%"))?;
    whole(number, least, most)
}

/// A time such as `250ms`, `5s`, `2m` or `1h`, within bounds.
pub(super) fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time such as 250ms, 5s, 2m or 1h");
    let unit_at = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let number = digits(number).ok_or_else(wrong)?;
    let found = number.checked_mul(milliseconds).map(Duration::from_millis);
    found
        .filter(|found| (least..=most).contains(found))
        .ok_or_else(|| format!("{text} is out of bounds, which are {} and {}", shown(least), shown(most)))
}

/// The same, where `none` is none.
pub(super) fn duration_or_none(text: &str, most: Duration) -> Result<Option<Duration>, String> {
    if text == "none" { Ok(None) } else { duration(text, INSTANT, most).map(Some) }
}

/// One time, or two of them, `SHORT..LONG`.
pub(super) fn span(text: &str, most: Duration) -> Result<(Duration, Option<Duration>), String> {
    let Some((short, long)) = text.split_once("..") else {
        return Ok((duration(text, INSTANT, most)?, None));
    };
    let (first, last) = (duration(short.trim(), INSTANT, most)?, duration(long.trim(), INSTANT, most)?);
    if first > last {
        return Err(format!("{short} is longer than {long}"));
    }
    Ok((first, Some(last)))
}

/// A number of bytes such as `512`, `64Ki`, `10Mi` or `1G`, as Kubernetes writes quantities.
pub(super) fn bytes<N: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Result<N, String> {
    let unit_at = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit: Option<u64> = match unit {
        "" => Some(1),
        "k" => Some(1_000),
        "M" => Some(1_000_000),
        "G" => Some(1_000_000_000),
        "Ki" => Some(1 << 10),
        "Mi" => Some(1 << 20),
        "Gi" => Some(1 << 30),
        _ => None,
    };
    let wrong = || format!("{text:?} is not a number of bytes such as 512, 64Ki or 10Mi");
    let found = digits(number).ok_or_else(wrong)?.checked_mul(unit.ok_or_else(wrong)?);
    found
        .filter(|found| (least..=most).contains(found))
        .and_then(|found| N::try_from(found).ok())
        .ok_or_else(|| format!("{text} is out of bounds, which are {least} and {most} bytes"))
}

/// What is done, and for which share of requests: `WHAT` or `WHAT 10%`; all of them where no share is given.
pub(super) fn with_share(text: &str) -> Result<(&str, u32), String> {
    let mut words = text.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(what), None, _) => Ok((what, 100)),
        (Some(what), Some(share), None) => Ok((what, percent(share, 0, 100)?)),
        (None, ..) => Err("it is empty".into()),
        (_, _, Some(more)) => Err(format!("{more:?} is one word too many")),
    }
}

/// A list with commas, of at least one entry.
pub(super) fn list(text: &str) -> Result<Vec<&str>, String> {
    let entries: Vec<_> = text.split(',').map(str::trim).collect();
    if entries.iter().any(|entry| entry.is_empty()) {
        return Err("an entry is empty".into());
    }
    Ok(entries)
}

/// The name of a header, in lower case.
pub(super) fn header_name(text: &str) -> Result<String, String> {
    if is_token(text) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("{text:?} is not the name of a header"))
    }
}

/// The name of a header that may be changed, in lower case.
pub(super) fn changeable_header(text: &str) -> Result<String, String> {
    let name = header_name(text)?;
    if PROTECTED.contains(&name.as_str()) {
        return Err(format!(
            "{name} belongs to one connection, not to the message; it cannot be changed here"
        ));
    }
    Ok(name)
}

/// The value of a header.
pub(super) fn header_value(text: &str) -> Result<String, String> {
    let fits = text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    if fits { Ok(text.to_owned()) } else { Err(format!("{text:?} has characters that no header may have")) }
}

/// `NAME`, or `NAME=VALUE`.
pub(super) fn header_match(text: &str) -> Result<HeaderMatch, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(header_value(value)?)),
        None => (text, None),
    };
    Ok(HeaderMatch { name: header_name(name)?, value })
}

/// The name of a cookie.
pub(super) fn cookie_name(text: &str) -> Result<String, String> {
    if is_token(text) { Ok(text.to_owned()) } else { Err(format!("{text:?} is not the name of a cookie")) }
}

/// A name of one label, as Services and namespaces have (RFC 1123).
pub(super) fn label(text: &str) -> Result<String, String> {
    let edges = !text.starts_with('-') && !text.ends_with('-');
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !text.is_empty() && text.len() <= 63 && edges && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a name of lower-case letters, digits and hyphens"))
    }
}

/// A name of labels with dots between them, as ConfigMaps and hosts have.
pub(super) fn name(text: &str) -> Result<String, String> {
    if text.len() > 253 {
        return Err("a name of more than 253 characters is too long".into());
    }
    text.split('.').try_for_each(|part| label(part).map(drop)).map(|()| text.to_owned())
}

/// Whether text is a token (RFC 9110, 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.len() <= LONGEST_NAME && text.bytes().all(fits)
}

fn digits(text: &str) -> Option<u64> {
    // `parse` alone would take `+5`.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A time as people write it.
pub(super) fn shown(duration: Duration) -> String {
    match duration.as_millis() {
        0 => "0s".into(),
        milliseconds if milliseconds % 3_600_000 == 0 => format!("{}h", milliseconds / 3_600_000),
        milliseconds if milliseconds % 60_000 == 0 => format!("{}m", milliseconds / 60_000),
        milliseconds if milliseconds % 1_000 == 0 => format!("{}s", milliseconds / 1_000),
        milliseconds => format!("{milliseconds}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_bounds_and_no_sign() {
        assert_eq!(whole::<u32>("7", 0, 7), Ok(7));
        for wrong in ["", "8", "-1", "+5", "5.0", " 5", "5 ", "99999999999999999999999", "٣"] {
            assert!(whole::<u32>(wrong, 0, 7).is_err(), "{wrong:?}");
        }
        assert_eq!((bound::<u32>("none", 9), bound::<u32>("9", 9)), (Ok(0), Ok(9)));
        assert!(bound::<u32>("0", 9).is_err());
        assert_eq!(percent("50%", 1, 50), Ok(50));
        assert!(
            percent("51%", 1, 50).is_err() && percent("50", 1, 50).is_err() && percent("%", 0, 50).is_err()
        );
    }

    #[test]
    fn times_have_a_unit() {
        for (text, milliseconds) in [("250ms", 250), ("5s", 5_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text, INSTANT, DAY), Ok(Duration::from_millis(milliseconds)));
            assert_eq!(shown(Duration::from_millis(milliseconds)), text);
        }
        for wrong in ["", "5", "s", "1.5s", "1h30m", "0s", "25h", "18446744073709551615h", "5 s", "-5s", "5S"]
        {
            assert!(duration(wrong, INSTANT, DAY).is_err(), "{wrong:?}");
        }
        assert_eq!(duration_or_none("none", DAY), Ok(None));
    }

    #[test]
    fn spans_grow() {
        assert_eq!(span("1s", DAY), Ok((Duration::from_secs(1), None)));
        assert_eq!(span("1s .. 60s", DAY), Ok((Duration::from_secs(1), Some(Duration::from_secs(60)))));
        for wrong in ["2s..1s", "..1s", "1s..", "1s...2s", "none"] {
            assert!(span(wrong, DAY).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn bytes_are_quantities() {
        for (text, count) in [("512", 512), ("64Ki", 65_536), ("10Mi", 10 << 20), ("1G", 1_000_000_000)] {
            assert_eq!(bytes::<u64>(text, 0, 1 << 40), Ok(count));
        }
        for wrong in ["", "Ki", "64KiB", "64kb", "1.5Mi", "18446744073709551615Gi", "2Ki"] {
            assert!(bytes::<u64>(wrong, 0, 2000).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn header_names_are_tokens_in_lower_case() {
        assert_eq!(header_name("X-User"), Ok("x-user".into()));
        for wrong in ["", "x user", "x:y", ":path", "ü", "x\r\ny"] {
            assert!(header_name(wrong).is_err(), "{wrong:?}");
        }
        for name in PROTECTED {
            assert!(
                changeable_header(&name.to_uppercase()).unwrap_err().contains("belongs to one connection")
            );
        }
        assert!(
            header_value("a\r\nb").is_err() && header_value("ü").is_err() && header_value("a, \"b\"").is_ok()
        );
    }

    #[test]
    fn names_are_those_of_kubernetes() {
        assert!(name("web").is_ok() && name("kube-root-ca.crt").is_ok());
        for wrong in ["", ".", "a.", "A", "-a", "a_b", "a/b", &"a".repeat(64), &"a.".repeat(200)] {
            assert!(name(wrong).is_err(), "{wrong:?}");
        }
    }
}
