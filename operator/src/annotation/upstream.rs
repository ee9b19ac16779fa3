//! How endpoints that speak TLS are trusted, and whether clients are.
//!
//! In: values. Out: the rows, and their part of the draft.

use super::{
    draft::set,
    table::{HTTP, Row},
    value,
};
use crate::observe::authorities::{AuthorityKind, AuthorityName, USUAL_KEY};
use weft_contract::policy::Forwarding;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "tls-ca",
        values: "`configmap/NAME`, `configmap/NAME/KEY`, `secret/NAME` or `secret/NAME/KEY`",
        default: "`configmap/kube-root-ca.crt`, which is in every namespace",
        example: "configmap/shop-ca/bundle.pem",
        doc: "Where, in the Service's namespace, the certificates are that endpoints with `scheme: https` are verified \
              with, as PEM; the key is `ca.crt` unless given. Changes are in force within a minute. A Secret needs the \
              chart's `tls.readSecrets`.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.authority, authority(text).map(Some)),
    },
    Row {
        name: "tls-server-name",
        values: "a DNS name",
        default: "`NAME.NAMESPACE.svc`",
        example: "shop.example.org",
        doc: "The name that the certificate of an endpoint with `scheme: https` must have.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.policy.tls.server_name, value::name(text).map(Some)),
    },
    Row {
        name: "forwarded-headers",
        values: "`overwrite` or `trust`",
        default: "`overwrite`",
        example: "trust",
        doc: "What becomes of `Forwarded` and `X-Forwarded-*` that a client sends. `overwrite` drops them for what the \
              proxy knows; `trust` keeps them, with the client's address at the end, for Services that an ingress calls.",
        protocols: HTTP,
        read: |draft, text| {
            let forwarding = match text {
                "overwrite" => Ok(Forwarding::Overwrite),
                "trust" => Ok(Forwarding::Trust),
                _ => Err(format!("{text:?} is neither overwrite nor trust")),
            };
            set(&mut draft.settings.policy.forwarding, forwarding)
        },
    },
];

fn authority(text: &str) -> Result<AuthorityName, String> {
    let mut parts = text.splitn(3, '/');
    let kind = match parts.next() {
        Some("configmap") => AuthorityKind::ConfigMap,
        Some("secret") => AuthorityKind::Secret,
        _ => return Err("it begins with neither configmap/ nor secret/".into()),
    };
    let name = value::name(parts.next().unwrap_or_default())?;
    let key = parts.next().unwrap_or(USUAL_KEY);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if key.is_empty() || key.len() > 253 || !key.bytes().all(fits) {
        return Err(format!("{key:?} is not a key of a ConfigMap or Secret"));
    }
    Ok(AuthorityName { kind, name, key: key.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_be_left_out() {
        let shown = |text| authority(text).map(|authority| authority.to_string());
        assert_eq!(shown("configmap/a.b"), Ok("configmap/a.b/ca.crt".into()));
        assert_eq!(shown("secret/a/tls.crt"), Ok("secret/a/tls.crt".into()));
        for wrong in
            ["", "a", "configmap", "configmap/", "configmap/a/", "configmap/a/b/c", "Secret/a", "secret/../a"]
        {
            assert!(authority(wrong).is_err(), "{wrong:?}");
        }
    }
}
