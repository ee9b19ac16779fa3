//! Leads: at most one replica writes.
//!
//! In: the Lease object. Out: [`Leadership`], held until it is lost or given back. The rules are those of client-go's
//! leader election: a holder that has not renewed for a lease's duration, by the watcher's own clock, has lost it.

use crate::names::{FIELD_MANAGER, LEASE_NAME};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

/// How long a holder may be silent before another takes over.
const DURATION: Duration = Duration::from_secs(15);
/// How long a holder that cannot renew goes on writing; less than [`DURATION`], so that two never write at once.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often the holder renews and the others look.
const RETRY: Duration = Duration::from_secs(2);

/// The right to write, as long as [`Leadership::lost`] has not returned.
pub struct Leadership {
    leases: Api<Lease>,
    identity: String,
    lease: Lease,
}

/// What another replica's hold looked like, and since when.
struct Observation {
    version: Option<String>,
    since: Instant,
}

/// Waits until this replica holds the Lease.
pub async fn acquire(client: Client, namespace: &str, identity: &str) -> Leadership {
    let leases: Api<Lease> = Api::namespaced(client, namespace);
    let mut observation: Option<Observation> = None;
    loop {
        match attempt(&leases, identity, &mut observation).await {
            Ok(Some(lease)) => {
                info!(identity, "this replica leads");
                return Leadership { leases, identity: identity.to_owned(), lease };
            }
            Ok(None) => {}
            Err(error) if is_conflict(&error) => {}
            Err(error) => warn!(%error, "the Lease cannot be read or written; trying again"),
        }
        sleep(RETRY).await;
    }
}

async fn attempt(
    leases: &Api<Lease>,
    identity: &str,
    observation: &mut Option<Observation>,
) -> Result<Option<Lease>, kube::Error> {
    let Some(current) = leases.get_opt(LEASE_NAME).await? else {
        let fresh = Lease {
            metadata: ObjectMeta { name: Some(LEASE_NAME.into()), ..ObjectMeta::default() },
            spec: None,
        };
        return leases.create(&parameters(), &held(fresh, identity)).await.map(Some);
    };
    let holder = current.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    if !holder.is_empty() && holder != identity {
        // Only this replica's own clock counts: a hold is over when it has not moved for its duration.
        let version = current.metadata.resource_version.clone();
        let since = match observation {
            Some(known) if known.version == version => known.since,
            Some(_) | None => Instant::now(),
        };
        *observation = Some(Observation { version, since });
        if since.elapsed() < DURATION {
            return Ok(None);
        }
    }
    leases.replace(LEASE_NAME, &parameters(), &held(current, identity)).await.map(Some)
}

impl Leadership {
    /// Renews until the Lease is lost: taken by another, or not renewed in time. The caller must stop writing at once.
    pub async fn lost(&mut self) {
        let mut renewed = Instant::now();
        loop {
            sleep(RETRY).await;
            let next = held(self.lease.clone(), &self.identity);
            let parameters = parameters();
            let renewal = self.leases.replace(LEASE_NAME, &parameters, &next);
            match timeout(RENEW_DEADLINE.saturating_sub(renewed.elapsed()), renewal).await {
                Ok(Ok(lease)) => {
                    self.lease = lease;
                    renewed = Instant::now();
                }
                Ok(Err(error)) if is_conflict(&error) => match self.leases.get(LEASE_NAME).await {
                    Ok(lease) if self.holds(&lease) => self.lease = lease,
                    Ok(_) => return warn!("another replica has taken the Lease"),
                    Err(error) => warn!(%error, "the Lease cannot be read; trying again"),
                },
                Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
                    return warn!("the Lease is gone; somebody has cleaned up");
                }
                Ok(Err(error)) => warn!(%error, "the Lease cannot be renewed; trying again"),
                Err(_) => {}
            }
            if renewed.elapsed() >= RENEW_DEADLINE {
                return warn!("the Lease could not be renewed in time");
            }
        }
    }

    /// Gives the Lease back, so that another replica need not wait.
    pub async fn release(self) {
        let mut lease = self.lease;
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
        }
        if let Err(error) = self.leases.replace(LEASE_NAME, &parameters(), &lease).await {
            warn!(%error, "the Lease could not be given back; another replica waits until it runs out");
        }
    }

    fn holds(&self, lease: &Lease) -> bool {
        lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()) == Some(&self.identity)
    }
}

/// The Lease, held by `identity` from now.
fn held(mut lease: Lease, identity: &str) -> Lease {
    let now = MicroTime(Timestamp::now());
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    if spec.holder_identity.as_deref() != Some(identity) {
        spec.acquire_time = Some(now.clone());
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default() + 1);
    }
    spec.holder_identity = Some(identity.to_owned());
    spec.lease_duration_seconds = Some(i32::try_from(DURATION.as_secs()).unwrap_or(i32::MAX));
    spec.renew_time = Some(now);
    lease
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeApi;
    use serde_json::{Value, json};
    use tokio::time::advance;

    const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/weft/leases/weft-operator";

    fn held_by(holder: &str) -> Value {
        json!({"metadata": {"name": LEASE_NAME}, "spec": {"holderIdentity": holder}})
    }

    fn holder(api: &FakeApi) -> Value {
        api.get(LEASE).unwrap()["spec"]["holderIdentity"].clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_absent_or_given_back_is_taken_at_once() {
        let api = FakeApi::default();
        let start = Instant::now();
        let leadership = acquire(api.client().await, "weft", "one").await;
        assert_eq!(holder(&api), "one");
        leadership.release().await;
        assert_eq!(holder(&api), "");
        acquire(api.client().await, "weft", "two").await;
        assert_eq!(holder(&api), "two");
        assert!(start.elapsed() < RETRY, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_holder_loses_it_after_its_duration_and_not_before() {
        let api = FakeApi::default();
        api.put(LEASE, held_by("one"));
        let start = Instant::now();
        acquire(api.client().await, "weft", "two").await;
        assert!((DURATION..DURATION + RETRY * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(holder(&api), "two");
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_renews_keeps_it() {
        let api = FakeApi::default();
        let mut one = acquire(api.client().await, "weft", "one").await;
        let client = api.client().await;
        tokio::select! {
            () = one.lost() => panic!("lost"),
            _ = acquire(client, "weft", "two") => panic!("taken"),
            () = sleep(DURATION * 4) => {}
        }
        assert_eq!(holder(&api), "one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_stops_when_another_took_it_or_it_is_gone() {
        for change in [Some("two"), None] {
            let api = FakeApi::default();
            let mut one = acquire(api.client().await, "weft", "one").await;
            match change {
                Some(other) => api.put(LEASE, held_by(other)),
                None => api.take(LEASE),
            }
            let start = Instant::now();
            one.lost().await;
            assert!(start.elapsed() <= RETRY * 2, "{:?}", start.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_cannot_renew_stops_before_another_may_begin() {
        let api = FakeApi::default();
        let mut one = acquire(api.client().await, "weft", "one").await;
        api.forbid(LEASE);
        let start = Instant::now();
        one.lost().await;
        advance(Duration::ZERO).await;
        assert!(start.elapsed() < DURATION, "{:?}", start.elapsed());
    }
}
