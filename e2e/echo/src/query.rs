//! What stands behind the question mark of a path.
//!
//! In: a URI. Out: its parameters, read as what they should be.

use crate::arguments::duration;
use hyper::Uri;
use std::{str::FromStr, time::Duration};

/// The parameters of a request. None of those that this server knows needs an escape, so there are none.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Of this URI.
    pub fn of(uri: &Uri) -> Self {
        let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A number, or anything else that can be read from text.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.find(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("{name}={text:?} cannot be read\n"))
    }

    /// A time such as `500ms`; none is no time.
    pub fn time(&self, name: &str) -> Result<Duration, String> {
        self.find(name).map_or(Ok(Duration::ZERO), duration).map_err(|error| error + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let query = |text: &'static str| Query::of(&Uri::from_static(text));
        let some = query("/stream?count=3&interval=20ms&interval=9s");
        assert_eq!(some.number("count"), Ok(Some(3)));
        assert_eq!(some.number::<u8>("percent"), Ok(None));
        assert_eq!(some.time("interval"), Ok(Duration::from_millis(20)));
        assert_eq!(some.time("delay"), Ok(Duration::ZERO));
        assert!(query("/?count=-1").number::<u8>("count").is_err());
        assert!(query("/?count=").number::<u8>("count").is_err());
        assert!(query("/?delay=1h").time("delay").is_err());
    }
}
