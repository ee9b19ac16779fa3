//! Reads fields of objects whose schema may be any.
//!
//! In: JSON. Out: text, lists and numbers, or what is wrong, as the part of a sentence.

use serde_json::Value;

/// What was read, or why not.
pub(super) type Read<T> = Result<T, String>;

/// What stands at the first of `names` below `spec`, or else at the top, where the oldest versions have it.
pub(super) fn field<'a>(data: &'a Value, names: &[&str]) -> Option<&'a Value> {
    let places = data.get("spec").into_iter().chain([data]);
    places.flat_map(|place| names.iter().filter_map(|name| present(place, name))).next()
}

/// What stands at `name`; null is nothing.
pub(super) fn present<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|value| !value.is_null())
}

/// Text, or a number or truth value that YAML made of it.
pub(super) fn text(value: &Value, what: &str) -> Read<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(format!("{what} is no text")),
    }
}

/// Text at `name` that must be there.
pub(super) fn required(value: &Value, name: &str, what: &str) -> Read<String> {
    let found = present(value, name).ok_or_else(|| format!("{what} has no {name}"))?;
    let found = text(found, &format!("{name} of {what}"))?;
    if found.is_empty() { Err(format!("{name} of {what} is empty")) } else { Ok(found) }
}

/// Text at `name` that may be absent; empty text is.
pub(super) fn optional(value: &Value, name: &str, what: &str) -> Read<Option<String>> {
    let found = present(value, name).map(|found| text(found, &format!("{name} of {what}"))).transpose()?;
    Ok(found.filter(|found| !found.is_empty()))
}

/// A list; absent is empty.
pub(super) fn list<'a>(value: Option<&'a Value>, what: &str) -> Read<&'a [Value]> {
    match value {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("{what} is no list")),
    }
}

/// A port.
pub(super) fn port(value: &Value, what: &str) -> Read<u16> {
    let wrong = || format!("{what} has {value}, which is no port");
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0).ok_or_else(wrong)
}

/// A quantity of Kubernetes in thousandths, rounded up: `1`, `500m`, `0.5`, `2k`, `1e3`, `1Ki`.
pub(super) fn thousandths(text: &str) -> Read<u64> {
    let wrong = || format!("{text:?} is no quantity");
    let magnitude = text.strip_prefix(['+', '-']).unwrap_or(text);
    let ends = magnitude.find(|character: char| !character.is_ascii_digit() && character != '.');
    let (number, suffix) = magnitude.split_at(ends.unwrap_or(magnitude.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    // Longer ones are no weights, and would not fit.
    if digits.is_empty() || digits.len() > 18 {
        return Err(wrong());
    }
    let digits: u128 = digits.parse().map_err(|_| wrong())?;
    let (times, by) = scale(suffix).ok_or_else(wrong)?;
    let divisor = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| wrong())?) * by;
    let found = u64::try_from((digits * times * 1000).div_ceil(divisor)).map_err(|_| wrong())?;
    if text.starts_with('-') && found > 0 {
        return Err(format!("{text} is below 0"));
    }
    Ok(found)
}

/// By what a suffix multiplies and divides.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    Some(match suffix {
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "" => (1, 1),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_u128.checked_pow(exponent.unsigned_abs()).filter(|_| exponent.abs() <= 12)?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for (text, wanted) in [
            ("0", 0),
            ("1", 1_000),
            ("500m", 500),
            ("0.5", 500),
            (".5", 500),
            ("1.", 1_000),
            ("2k", 2_000_000),
            ("1e3", 1_000_000),
            ("5E-1", 500),
            ("1Ki", 1_024_000),
            ("1u", 1),
            ("+3", 3_000),
            ("-0", 0),
        ] {
            assert_eq!(thousandths(text), Ok(wanted), "{text}");
        }
        for wrong in
            ["", "m", "-1", "-500m", "1.2.3", "1x", "1e", "1e99", "9999999999999999999", "half", "1 ", "٣"]
        {
            assert!(thousandths(wrong).is_err(), "{wrong:?}");
        }
    }
}
