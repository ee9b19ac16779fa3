//! Reads the certificates that endpoints with TLS are verified with.
//!
//! In: which ConfigMaps and Secrets are named. Out: their certificates, or why there are none, and a notification when
//! that changes. Each is got by its name again and again, which takes no right to list or watch what is not named.

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tracing::{debug, warn};

/// The key below which a ConfigMap or Secret has certificates unless the annotation names another.
pub const USUAL_KEY: &str = "ca.crt";
/// How often all of them are read again: soon enough for an authority that is replaced, which overlaps for days.
const EVERY: Duration = Duration::from_secs(30);
/// How soon after the API server did not answer.
const AGAIN: Duration = Duration::from_secs(3);
/// How many are read at a time.
const CONCURRENCY: usize = 8;
/// The most that is told to proxies. Each node's configuration holds it, for each Service.
const LARGEST: usize = 64 * 1024;
/// What a certificate begins and ends with in PEM (RFC 7468).
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The kinds of object that hold certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthorityKind {
    /// A core/v1 ConfigMap.
    ConfigMap,
    /// A core/v1 Secret.
    Secret,
}

/// Where certificates are, in a Service's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorityName {
    /// In what kind of object.
    pub kind: AuthorityKind,
    /// The object's name.
    pub name: String,
    /// The key below its `data`.
    pub key: String,
}

/// Where certificates are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorityKey {
    /// In which namespace.
    pub namespace: String,
    /// And where in it.
    pub name: AuthorityName,
}

/// What came of reading: certificates as PEM, or why there are none, as the part of a sentence.
pub type Read = BTreeMap<AuthorityKey, Result<String, String>>;

/// Reads what is wanted, for ever.
pub async fn run(
    client: Client,
    mut wanted: watch::Receiver<BTreeSet<AuthorityKey>>,
    read: watch::Sender<Arc<Read>>,
    changes: Arc<Notify>,
) {
    let mut all = true;
    loop {
        let keys = wanted.borrow_and_update().clone();
        let before = Arc::clone(&read.borrow());
        let (now, complete) = read_once(&client, &keys, &before, all).await;
        let changed = read.send_if_modified(|before| {
            let changed = **before != now;
            *before = Arc::new(now);
            changed
        });
        if changed {
            changes.notify_one();
        }
        let pause = if complete { EVERY } else { AGAIN };
        all = match timeout(pause, wanted.changed()).await {
            Ok(Ok(())) => false,
            Ok(Err(_)) => return, // nobody is left to ask; the operator ends
            Err(_) => true,
        };
    }
}

/// Reads those that are not known, or all. What the API server does not answer for stays as it was; false then.
async fn read_once(client: &Client, keys: &BTreeSet<AuthorityKey>, before: &Read, all: bool) -> (Read, bool) {
    let mut now: Read = before
        .iter()
        .filter(|(key, _)| keys.contains(key))
        .map(|(key, was)| (key.clone(), was.clone()))
        .collect();
    let due: Vec<_> = keys.iter().filter(|key| all || !before.contains_key(key)).cloned().collect();
    let mut answers = stream::iter(due)
        .map(|key| async move {
            let answer = get(client, &key).await;
            (key, answer)
        })
        .buffer_unordered(CONCURRENCY);
    let mut complete = true;
    while let Some((key, answer)) = answers.next().await {
        match answer {
            Ok(found) => {
                debug!(namespace = key.namespace, name = %key.name, good = found.is_ok(), "read certificates");
                now.insert(key, found);
            }
            Err(error) => {
                complete = false;
                warn!(namespace = key.namespace, name = %key.name, %error, "certificates were not read; trying again");
            }
        }
    }
    (now, complete)
}

/// Gets one; `Err` where another attempt may well have an answer.
async fn get(client: &Client, key: &AuthorityKey) -> Result<Result<String, String>, kube::Error> {
    let AuthorityKey { namespace, name: AuthorityName { kind, name, key } } = key;
    let found = match kind {
        AuthorityKind::ConfigMap => {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
            api.get_opt(name).await.map(|object| object.map(|object| of_configmap(object, key)))
        }
        AuthorityKind::Secret => {
            let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
            api.get_opt(name).await.map(|object| object.map(|object| of_secret(object, key)))
        }
    };
    match found {
        Ok(None) => Ok(Err("it does not exist".into())),
        Ok(Some(None)) => Ok(Err(format!("it has no key {key}"))),
        Ok(Some(Some(content))) => Ok(certificates(&content)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Err(match kind {
            AuthorityKind::ConfigMap => "the operator has no right to get it".into(),
            AuthorityKind::Secret => {
                "the operator has no right to get Secrets; put the certificates into a ConfigMap, or set \
                 tls.readSecrets in the chart"
                    .into()
            }
        })),
        Err(error) => Err(error),
    }
}

fn of_configmap(object: ConfigMap, key: &str) -> Option<Vec<u8>> {
    let text = object.data.and_then(|mut data| data.remove(key)).map(String::into_bytes);
    text.or_else(|| Some(object.binary_data?.remove(key)?.0))
}

fn of_secret(object: Secret, key: &str) -> Option<Vec<u8>> {
    Some(object.data?.remove(key)?.0)
}

/// The certificates in PEM text, and nothing else of it: private keys, which Secrets often hold, stay where they are.
fn certificates(content: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(content).map_err(|_| "it is not PEM text".to_owned())?;
    let (mut kept, mut inside) = (String::new(), false);
    for line in text.lines().map(str::trim) {
        inside |= line == BEGIN;
        if inside {
            kept.push_str(line);
            kept.push('\n');
        }
        inside &= line != END;
    }
    if kept.len() > LARGEST {
        return Err(format!(
            "it has more than {LARGEST} bytes of certificates; name only those that are needed"
        ));
    }
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(kept.as_bytes()).collect();
    let certificates = read.map_err(|error| format!("it is not PEM text: {error}"))?;
    // What is no sequence (X.690) is no certificate; the rest is the verifier's to judge.
    if certificates.iter().any(|certificate| certificate.first() != Some(&0x30)) {
        return Err("one of its certificates is none".into());
    }
    if certificates.is_empty() || inside {
        return Err("it has no certificate, or one that is cut off".into());
    }
    Ok(kept)
}

impl Default for AuthorityName {
    /// The cluster's own authority, which Kubernetes publishes in every namespace.
    fn default() -> Self {
        Self { kind: AuthorityKind::ConfigMap, name: "kube-root-ca.crt".into(), key: USUAL_KEY.into() }
    }
}

impl fmt::Display for AuthorityName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            AuthorityKind::ConfigMap => "configmap",
            AuthorityKind::Secret => "secret",
        };
        write!(formatter, "{kind}/{}/{}", self.name, self.key)
    }
}

#[cfg(test)]
#[path = "authorities_tests.rs"]
mod tests;
