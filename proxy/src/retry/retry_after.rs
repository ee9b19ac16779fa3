//! What an endpoint says of when to come again.
//!
//! In: the value of a `Retry-After` field (RFC 9110, section 10.2.3). Out: how long from now; none where it says nothing
//! that can be read.

use std::time::{Duration, SystemTime};

/// The longest that is believed: an endpoint whose clock is wrong is asked again within an hour.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// Reads a number of seconds or a date, at most [`LONGEST`] from now; a date that has passed is now.
#[must_use]
pub fn parse(value: &[u8], now: SystemTime) -> Option<Duration> {
    let value = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that is too large for this is too long in any case.
        return Some(value.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> SystemTime {
        httpdate::parse_http_date("Fri, 31 Dec 1999 23:59:50 GMT").unwrap()
    }

    #[test]
    fn it_is_seconds_or_a_date() {
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 007\t", Some(7)),
            ("3601", Some(3600)),
            ("99999999999999999999999999", Some(3600)),
            ("Fri, 31 Dec 1999 23:59:59 GMT", Some(9)),
            ("Friday, 31-Dec-99 23:59:59 GMT", Some(9)),
            ("Fri Dec 31 23:59:59 1999", Some(9)),
            ("Fri, 31 Dec 1999 23:59:49 GMT", Some(0)),
            ("Thu, 31 Dec 2099 23:59:59 GMT", Some(3600)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1 s", None),
            ("soon", None),
            ("Fri, 31 Foo 1999 23:59:59 GMT", None),
            ("١٢", None),
        ] {
            assert_eq!(parse(value.as_bytes(), now()), seconds.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(parse(b"\xff", now()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_bounded_time_or_none(value in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(parse(&value, now()).is_none_or(|time| time <= LONGEST));
        }

        #[test]
        fn a_date_is_as_far_away_as_it_is(seconds in 0_u64..5000) {
            let date = httpdate::fmt_http_date(now() + Duration::from_secs(seconds));
            prop_assert_eq!(parse(date.as_bytes(), now()), Some(Duration::from_secs(seconds.min(3600))));
        }
    }
}
