//! Keeps the objects of the Service Mesh Interface in memory, as far as the cluster knows their kinds.
//!
//! In: the API server. Out: [`SmiStore`], and a notification at each change. Kinds may come, go, and change the version
//! that they are served in. Which there are is asked again and again: that takes no right but to see what the API
//! server serves, which everybody has, where a watch would take one to see all CustomResourceDefinitions.

use crate::smi::{Object, SmiKind, SmiVersion, decode};
use futures::StreamExt;
use hyper::Request;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{WatchStreamExt, watcher},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

/// How often the API server is asked which kinds it serves: one small answer, and one for each SMI group there is.
const EVERY: Duration = Duration::from_secs(10);
/// How soon after it did not answer.
const AGAIN: Duration = Duration::from_secs(3);

/// The objects of one kind, by namespace and name.
type Objects = BTreeMap<(String, String), Arc<Object>>;

/// The objects.
#[derive(Clone)]
pub struct SmiStore {
    kinds: Arc<watch::Sender<BTreeMap<SmiKind, Known>>>,
}

/// What is known of a kind.
#[derive(Default)]
struct Known {
    /// Whether what is absent from `objects` does not exist: they are listed, or there are none to list.
    complete: bool,
    objects: Objects,
}

/// A kind, as the API server serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Served {
    version: SmiVersion,
    resource: ApiResource,
}

/// Why it is not known what is served.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("the API server is not ready, and may not know of all kinds yet")]
    NotReady,
    #[error(transparent)]
    Request(#[from] hyper::http::Error),
}

/// What watches work with.
#[derive(Clone)]
struct Context {
    client: Client,
    store: SmiStore,
    changes: Arc<Notify>,
    /// Told when a watch finds that its kind is not served.
    gone: Arc<Notify>,
}

impl SmiStore {
    /// Starts to watch all kinds, or only those that are of use where access is not controlled, until `tasks` is dropped.
    #[must_use]
    pub fn watch(client: &Client, access: bool, changes: &Arc<Notify>, tasks: &mut JoinSet<()>) -> Self {
        let kinds: Vec<_> = SmiKind::ALL.into_iter().filter(|kind| access || !kind.is_for_access()).collect();
        let known = kinds.iter().map(|kind| (*kind, Known::default())).collect();
        let store = Self { kinds: Arc::new(watch::Sender::new(known)) };
        let context = Context {
            client: client.clone(),
            store: store.clone(),
            changes: Arc::clone(changes),
            gone: Arc::default(),
        };
        tasks.spawn(run(context, kinds));
        store
    }

    /// Waits until every kind that there is has been listed. Before that, what is absent here may well exist.
    pub async fn wait(&self) {
        let mut kinds = self.kinds.subscribe();
        // The sender lives in `self`, so that this cannot fail.
        let _ = kinds.wait_for(|kinds| kinds.values().all(|known| known.complete)).await;
    }

    /// The objects as they are now, sorted.
    #[must_use]
    pub fn state(&self) -> Vec<Arc<Object>> {
        self.kinds.borrow().values().flat_map(|known| known.objects.values().cloned()).collect()
    }

    fn change(&self, kind: SmiKind, change: impl FnOnce(&mut Known)) {
        self.kinds.send_modify(|kinds| change(kinds.entry(kind).or_default()));
    }

    fn is_empty(&self, kind: SmiKind) -> bool {
        self.kinds.borrow().get(&kind).is_none_or(|known| known.objects.is_empty())
    }
}

/// Keeps a watch for each kind that is served, for ever.
async fn run(context: Context, kinds: Vec<SmiKind>) {
    let mut running: BTreeMap<SmiKind, (Served, AbortOnDropHandle<()>)> = BTreeMap::new();
    loop {
        let pause = match served(&context.client, &kinds).await {
            Ok(mut served) => {
                for kind in &kinds {
                    keep(&context, *kind, served.remove(kind), &mut running);
                }
                EVERY
            }
            Err(error) => {
                warn!(%error, "it is not known which SMI kinds there are; trying again");
                AGAIN
            }
        };
        let _ = timeout(pause, context.gone.notified()).await; // either way it is time to ask
    }
}

/// Watches a kind as it is served now.
fn keep(
    context: &Context,
    kind: SmiKind,
    served: Option<Served>,
    running: &mut BTreeMap<SmiKind, (Served, AbortOnDropHandle<()>)>,
) {
    let Some(served) = served else {
        if running.remove(&kind).is_some() {
            info!(kind = kind.kubernetes(), "no longer served");
        }
        let changed = !context.store.is_empty(kind);
        context.store.change(kind, |known| *known = Known { complete: true, objects: Objects::new() });
        if changed {
            context.changes.notify_one();
        }
        return;
    };
    if running.get(&kind).is_some_and(|(known, _)| *known == served) {
        return;
    }
    info!(kind = kind.kubernetes(), version = served.version.kubernetes(), "watched");
    // What is known from another version holds until this one's first list is complete.
    let task = AbortOnDropHandle::new(tokio::spawn(hold(context.clone(), kind, served.clone())));
    running.insert(kind, (served, task));
}

/// The newest version of each kind that the API server serves.
async fn served(client: &Client, kinds: &[SmiKind]) -> Result<BTreeMap<SmiKind, Served>, Unknown> {
    let groups = client.list_api_groups().await?.groups;
    let mut served = BTreeMap::new();
    for group in kinds.iter().map(|kind| kind.group()).collect::<BTreeSet<_>>() {
        let Some(found) = groups.iter().find(|found| found.name == group) else { continue };
        let is_served =
            |version: &SmiVersion| found.versions.iter().any(|known| known.version == version.kubernetes());
        for version in SmiVersion::ALL.into_iter().filter(is_served) {
            let api_version = format!("{group}/{}", version.kubernetes());
            let resources = client.list_api_group_resources(&api_version).await?.resources;
            for kind in kinds.iter().filter(|kind| kind.group() == group) {
                // Subresources have a slash in their names.
                let resource = resources
                    .iter()
                    .find(|resource| resource.kind == kind.kubernetes() && !resource.name.contains('/'));
                let Some(resource) = resource else { continue };
                let named = GroupVersionKind::gvk(group, version.kubernetes(), kind.kubernetes());
                let resource = ApiResource::from_gvk_with_plural(&named, &resource.name);
                served.entry(*kind).or_insert(Served { version, resource });
            }
        }
    }
    if kinds.iter().any(|kind| !served.contains_key(kind)) {
        // An API server that has just begun serves its own kinds before those that it is taught.
        let request = Request::get("/readyz").body(Vec::new())?;
        match client.request_text(request).await {
            Ok(_) => {}
            // Who may not ask has to believe it.
            Err(kube::Error::Api(status)) if status.code < 500 => {}
            Err(_) => return Err(Unknown::NotReady),
        }
    }
    Ok(served)
}

/// Keeps the objects of one kind, for ever.
async fn hold(context: Context, kind: SmiKind, served: Served) {
    let Context { client, store, changes, gone } = context;
    let Served { version, resource } = served;
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut listed = Objects::new();
    let decoded = |object: &DynamicObject| Arc::new(decode::object(kind, version, object));
    let key = |object: &Object| (object.namespace().to_owned(), object.name().to_owned());
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                let object = decoded(&object);
                listed.insert(key(&object), object);
            }
            Ok(watcher::Event::InitDone) => {
                let objects = std::mem::take(&mut listed);
                store.change(kind, |known| *known = Known { complete: true, objects });
                changes.notify_one();
            }
            Ok(watcher::Event::Apply(object)) => {
                let object = decoded(&object);
                store.change(kind, |known| drop(known.objects.insert(key(&object), object)));
                changes.notify_one();
            }
            Ok(watcher::Event::Delete(object)) => {
                let object = decoded(&object);
                store.change(kind, |known| drop(known.objects.remove(&key(&object))));
                changes.notify_one();
            }
            Err(error) => {
                warn!(kind = kind.kubernetes(), %error, "a watch was interrupted; it is taken up again");
                match code(&error) {
                    Some(404) => gone.notify_one(),
                    // Without the right to see them there are none to wait for. Those that were seen before hold.
                    Some(403) => store.change(kind, |known| known.complete = true),
                    Some(_) | None => {}
                }
            }
        }
    }
}

/// What the API server answered, where it did.
fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    }
}

#[cfg(test)]
#[path = "smi_tests.rs"]
mod tests;
