//! Where a copy of requests goes.
//!
//! In: `SERVICE[.NAMESPACE][:PORT] [SHARE]`. Out: a target, which the topology looks up.

use super::value;

/// Where a copy of requests goes, as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorTarget {
    /// The Service's name.
    pub name: String,
    /// Its namespace; none is the annotated Service's own.
    pub namespace: Option<String>,
    /// Its port; none is the only one.
    pub port: Option<u16>,
    /// The share of requests, in percent.
    pub percent: u32,
}

/// Reads a target.
pub(super) fn target(text: &str) -> Result<MirrorTarget, String> {
    let (service, percent) = value::with_share(text)?;
    let (service, port) = match service.split_once(':') {
        Some((service, port)) => (service, Some(value::whole(port, 1, 65_535)?)),
        None => (service, None),
    };
    let (name, namespace) = match service.split_once('.') {
        Some((name, namespace)) => (name, Some(value::label(namespace)?)),
        None => (service, None),
    };
    Ok(MirrorTarget { name: value::label(name)?, namespace, port, percent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_name_may_be_left_out() {
        let of = |namespace: Option<&str>, port, percent| MirrorTarget {
            name: "web".into(),
            namespace: namespace.map(str::to_owned),
            port,
            percent,
        };
        assert_eq!(target("web"), Ok(of(None, None, 100)));
        assert_eq!(target("web.shop 5%"), Ok(of(Some("shop"), None, 5)));
        assert_eq!(target("web:80"), Ok(of(None, Some(80), 100)));
        assert_eq!(target("web.shop:80  0%"), Ok(of(Some("shop"), Some(80), 0)));
        for wrong in
            ["", "web 5", "web 101%", "web.shop.svc", "web:", "web:0", "Web", "web 5% more", ".shop", "web."]
        {
            assert!(target(wrong).is_err(), "{wrong:?}");
        }
    }
}
