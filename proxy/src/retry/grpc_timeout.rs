//! The deadline of a gRPC call.
//!
//! In: the value of a `grpc-timeout` field, such as `20S` or `100m`. Out: how long; and the same back, for what is left of
//! it when the call is forwarded.

use std::time::Duration;

/// The most digits that a value may have.
const DIGITS: usize = 8;
/// The largest number in so many digits.
const LARGEST: u128 = 99_999_999;
/// Every unit, the finest first, with its nanoseconds.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60 * 1_000_000_000),
    (b'H', 3600 * 1_000_000_000),
];

/// Reads a timeout; none where it is not one by gRPC's rules.
#[must_use]
pub fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let (_, nanoseconds) = UNITS.iter().find(|(letter, _)| letter == unit)?;
    if digits.is_empty() || digits.len() > DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0'));
    Some(Duration::from_nanos(*nanoseconds).saturating_mul(number))
}

/// Writes a timeout in the finest unit that has room for it. What does not fit is cut off, so that an endpoint gives up no
/// later than its caller; above eleven thousand years, it is that.
#[must_use]
pub fn format(timeout: Duration) -> String {
    let fitting = UNITS
        .iter()
        .map(|(letter, nanoseconds)| (letter, timeout.as_nanos() / u128::from(*nanoseconds)))
        .find(|(_, number)| *number <= LARGEST);
    let (letter, number) = fitting.unwrap_or((&b'H', LARGEST));
    format!("{number}{}", char::from(*letter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_up_to_eight_digits_and_a_unit() {
        for (value, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("20S", Some(Duration::from_secs(20))),
            ("100m", Some(Duration::from_millis(100))),
            ("5u", Some(Duration::from_micros(5))),
            ("7n", Some(Duration::from_nanos(7))),
            ("0S", Some(Duration::ZERO)),
            ("00000001S", Some(Duration::from_secs(1))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("100000000n", None),
            ("000000001S", None),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("1h", None),
            ("-1S", None),
            ("+1S", None),
            (" 1S", None),
            ("1 S", None),
            ("1.5S", None),
            ("1SS", None),
        ] {
            assert_eq!(parse(value.as_bytes()), expected, "{value:?}");
        }
    }

    #[test]
    fn it_is_written_in_the_finest_unit_that_has_room() {
        for (timeout, expected) in [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_999), "100000u"),
            (Duration::from_secs(1), "1000000u"),
            (Duration::from_secs(20_000), "20000000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_secs(100_000_000), "1666666M"),
            (Duration::from_secs(99_999_999 * 3600 + 59), "99999999H"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(format(timeout), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_no_longer(seconds in 0_u64..400_000_000_000, nanoseconds in 0_u32..1_000_000_000, halvings in 0_u32..90) {
            let timeout = Duration::from_nanos_u128(Duration::new(seconds, nanoseconds).as_nanos() >> halvings);
            let read = parse(format(timeout).as_bytes()).unwrap();
            prop_assert!(read <= timeout);
            // A unit is left for the next when it does not fit eight digits: 1,000 to 60 of the next are then the least.
            let longest = Duration::from_secs(99_999_999 * 3600);
            prop_assert!((timeout.min(longest) - read).as_nanos() <= timeout.as_nanos() / 90_000);
        }

        #[test]
        fn any_bytes_are_a_timeout_or_none(value in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Some(timeout) = parse(&value) {
                prop_assert!(value.len() <= DIGITS + 1);
                prop_assert!(parse(format(timeout).as_bytes()).is_some_and(|read| read <= timeout));
            }
        }
    }
}
