//! Only certificates leave a ConfigMap or Secret, and what cannot be read says why.

use super::*;
use crate::testing::FakeApi;
use serde_json::json;

/// The smallest thing that looks like a certificate: an empty sequence.
const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
const CONFIGMAP: &str = "/api/v1/namespaces/shop/configmaps/ca";
const SECRET: &str = "/api/v1/namespaces/shop/secrets/ca";

fn key(kind: AuthorityKind) -> AuthorityKey {
    let name = AuthorityName { kind, name: "ca".into(), key: "ca.crt".into() };
    AuthorityKey { namespace: "shop".into(), name }
}

async fn read(api: &FakeApi, kind: AuthorityKind) -> Result<String, String> {
    let (read, complete) = read_once(&api.client().await, &[key(kind)].into(), &Read::new(), true).await;
    assert!(complete);
    read[&key(kind)].clone()
}

#[test]
fn nothing_but_certificates_is_kept() {
    assert_eq!(certificates(PEM.as_bytes()).unwrap(), PEM);
    let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    let mixed = format!("a comment\n{PEM}{key}  {PEM}\r\n{key}");
    assert_eq!(certificates(mixed.as_bytes()).unwrap(), format!("{PEM}{PEM}"));
    for (content, says) in [
        (key, "no certificate"),
        ("", "no certificate"),
        ("-----BEGIN CERTIFICATE-----\nMAA=\n", "PEM"),
        ("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", "PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is none"),
        (&PEM.repeat(2000), "more than"),
    ] {
        let why = certificates(content.as_bytes()).unwrap_err();
        assert!(why.contains(says), "{content:.60}: {why}");
    }
    assert!(certificates(&[0xff, 0xfe]).is_err());
}

#[tokio::test]
async fn configmaps_and_secrets_are_read_by_name() {
    let api = FakeApi::default();
    assert_eq!(read(&api, AuthorityKind::ConfigMap).await, Err("it does not exist".into()));
    api.put(CONFIGMAP, json!({"metadata": {"name": "ca"}, "data": {"other": PEM}}));
    assert_eq!(read(&api, AuthorityKind::ConfigMap).await, Err("it has no key ca.crt".into()));
    api.put(CONFIGMAP, json!({"metadata": {"name": "ca"}, "data": {"ca.crt": PEM}}));
    assert_eq!(read(&api, AuthorityKind::ConfigMap).await, Ok(PEM.into()));
    let encoded = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BQT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";
    api.put(SECRET, json!({"metadata": {"name": "ca"}, "data": {"ca.crt": encoded}}));
    assert_eq!(read(&api, AuthorityKind::Secret).await, Ok(PEM.into()));
    api.forbid(SECRET);
    assert!(read(&api, AuthorityKind::Secret).await.unwrap_err().contains("tls.readSecrets"));
}

#[tokio::test]
async fn only_what_is_new_is_read_between_the_rounds() {
    let api = FakeApi::default();
    api.put(CONFIGMAP, json!({"metadata": {"name": "ca"}, "data": {"ca.crt": PEM}}));
    let wanted = [key(AuthorityKind::ConfigMap), key(AuthorityKind::Secret)].into();
    let before: Read = [(key(AuthorityKind::ConfigMap), Ok("as it was".to_owned()))].into();
    let client = api.client().await;
    let (now, _) = read_once(&client, &wanted, &before, false).await;
    assert_eq!(now[&key(AuthorityKind::ConfigMap)], Ok("as it was".into()));
    assert!(now[&key(AuthorityKind::Secret)].is_err());
    let (now, _) = read_once(&client, &[key(AuthorityKind::ConfigMap)].into(), &now, true).await;
    assert_eq!(now, [(key(AuthorityKind::ConfigMap), Ok(PEM.to_owned()))].into());
}

#[tokio::test]
async fn what_is_wanted_is_read_and_told() {
    let api = FakeApi::default();
    api.put(CONFIGMAP, json!({"metadata": {"name": "ca"}, "data": {"ca.crt": PEM}}));
    let ((wanted, asked), (read, mut found)) =
        (watch::channel(BTreeSet::new()), watch::channel(Arc::default()));
    let changes = Arc::new(Notify::new());
    let reader = tokio::spawn(run(api.client().await, asked, read, Arc::clone(&changes)));
    wanted.send_replace([key(AuthorityKind::ConfigMap)].into());
    found.wait_for(|read| read.contains_key(&key(AuthorityKind::ConfigMap))).await.unwrap();
    changes.notified().await;
    reader.abort();
}
