//! Failures on purpose.
//!
//! In: a pause or a status with a share, or a header. Out: the contract's types.

use super::value;
use std::time::Duration;
use weft_contract::policy::{FaultAbort, FaultDelay, HeaderMatch};

/// Longer than any caller waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Reads a pause.
pub(super) fn delay(text: &str) -> Result<FaultDelay, String> {
    let (pause, percent) = value::with_share(text)?;
    Ok(FaultDelay { pause: value::duration(pause, value::INSTANT, LONGEST_PAUSE)?, percent })
}

/// Reads an answer.
pub(super) fn abort(text: &str) -> Result<FaultAbort, String> {
    let (status, percent) = value::with_share(text)?;
    Ok(FaultAbort { status: value::whole(status, 400, 599)?, percent })
}

/// Reads which requests.
pub(super) fn only(text: &str) -> Result<HeaderMatch, String> {
    let header = text.strip_prefix("header:").ok_or_else(|| "it does not begin with header:".to_owned())?;
    value::header_match(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_a_share() {
        assert_eq!(delay("500ms"), Ok(FaultDelay { pause: Duration::from_millis(500), percent: 100 }));
        assert_eq!(delay("2s 10%"), Ok(FaultDelay { pause: Duration::from_secs(2), percent: 10 }));
        assert_eq!(abort("503 1%"), Ok(FaultAbort { status: 503, percent: 1 }));
        for wrong in ["", "2h", "500", "10% 500ms", "5s 10"] {
            assert!(delay(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["", "200", "600", "503 200%", "503,10%"] {
            assert!(abort(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_header_may_have_a_value() {
        assert_eq!(only("header:X-A"), Ok(HeaderMatch { name: "x-a".into(), value: None }));
        assert_eq!(only("header:x-a=b=c"), Ok(HeaderMatch { name: "x-a".into(), value: Some("b=c".into()) }));
        for wrong in ["", "x-a", "header:", "header:=a", "cookie:a", "header:a b"] {
            assert!(only(wrong).is_err(), "{wrong:?}");
        }
    }
}
