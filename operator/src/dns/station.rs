//! One look at the cluster's DNS, and what follows from it.
//!
//! In: the cluster as it is now, and the time. Out: at most one write, the findings that hold, and when to look
//! again. Every look starts from the objects alone; what is remembered between looks only makes it more careful.

use super::{
    DnsSettings,
    cluster::{ApiError, Cluster, Found, PutBack, Written, put_back, written_at},
    discover::{DNS_NAMESPACE, Server},
    health::{Seen, Verdict, Watch, failing_since, fit_for_change, see},
    notes::{self, Note},
    plan::{self, Change, Documents, Plan},
    revert::Reverts,
    watch::Watched,
};
use crate::{
    finding::{About, Finding, Kind, Reason},
    names::DNS_SERVICE,
    report::{Reporter, Source},
};
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use std::{collections::BTreeSet, net::IpAddr, time::Duration};
use tokio::time::Instant;
use tracing::{error, info, warn};
use weft_contract::fingerprint;

/// How often to look where nothing is known to have changed.
const PERIOD: Duration = Duration::from_secs(30);
/// How often to look while a change is watched.
const CLOSELY: Duration = Duration::from_secs(2);
/// How soon to look again when someone else was faster.
const SOON: Duration = Duration::from_millis(200);

/// The station.
pub struct Station {
    cluster: Cluster,
    settings: DnsSettings,
    reporter: Reporter,
    watched: BTreeSet<Watched>,
    written: Option<Memory>,
    put_back: Option<PutBack>,
    reverts: Reverts,
}

/// What is known of this replica's own last write.
struct Memory {
    wanted: String,
    /// Whether it was still there at the last look.
    in_place: bool,
    /// Watches the pods, as long as the write may still do harm.
    watch: Option<Watch>,
}

/// All that one look saw.
struct View<'a> {
    found: &'a Found,
    documents: &'a Documents,
    plan: &'a Plan,
    seen: Vec<Seen>,
    rest: String,
}

impl Station {
    /// A station that has not looked yet.
    #[must_use]
    pub fn new(cluster: Cluster, settings: DnsSettings, reporter: Reporter) -> Self {
        let (watched, reverts) = (BTreeSet::new(), Reverts::default());
        Self { cluster, settings, reporter, watched, written: None, put_back: None, reverts }
    }

    /// What to watch, by the last look.
    #[must_use]
    pub fn watched(&self) -> &BTreeSet<Watched> {
        &self.watched
    }

    /// Looks once and does what is to be done. Returns when to look again at the latest.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn look(&mut self, now: Instant) -> Result<Duration, ApiError> {
        let service = DNS_SERVICE.to_owned();
        let namespace = self.settings.namespace.clone();
        self.watched = BTreeSet::from([Watched::Service { namespace, name: service }]);
        let Some(service) = self.cluster.mesh_dns().await? else { return Ok(PERIOD) };
        let Some(forward_to) = cluster_ip(&service) else { return Ok(PERIOD) };
        let found = match self.cluster.find().await {
            Ok(Ok(found)) => found,
            Ok(Err(missing)) => return Ok(self.refuse(notes::missing(&missing))),
            Err(error) if error.code() == Some(403) => return Ok(self.refuse(notes::may_not_find(&error))),
            Err(error) => return Err(error),
        };
        let documents = match self.read(&found).await? {
            Ok(documents) => documents,
            Err(note) => return Ok(self.refuse(note)),
        };
        let planned = plan::plan(&found.server, &documents, &self.settings.zones, forward_to);
        let rest = plan::rest(&documents);
        match (planned, rest) {
            (Ok(plan), Ok(rest)) => {
                let rest = fingerprint(format!("{rest} {:?}", self.settings.zones).as_bytes());
                let seen = see(&found.pods, container(&found.server));
                let view = View { found: &found, documents: &documents, plan: &plan, seen, rest };
                let put_back = put_back(&service).or_else(|| self.put_back.take());
                self.decide(&view, put_back, now).await
            }
            (Err(refusal), _) => Ok(self.refuse_in(&documents, notes::refused(&refusal))),
            (Ok(plan), Err(error)) => {
                Ok(self.refuse_in(&documents, notes::unreadable(&plan.configmap, &error)))
            }
        }
    }

    /// Reads the ConfigMap of the DNS server, then those from which that imports, and has them all watched.
    async fn read(&mut self, found: &Found) -> Result<Result<Documents, Note>, ApiError> {
        let namespace = || DNS_NAMESPACE.to_owned();
        self.watched.insert(Watched::Pods { namespace: namespace(), selector: found.selector.clone() });
        let mut documents = Documents::new();
        let mut names = BTreeSet::from([plan::main_configmap(&found.server).to_owned()]);
        for imported in [false, true] {
            if imported {
                names = plan::imported_configmaps(&found.server, &documents);
            }
            let watches =
                names.iter().cloned().map(|name| Watched::ConfigMap { namespace: namespace(), name });
            self.watched.extend(watches);
            match self.cluster.read(&names).await {
                Ok(read) => documents.extend(read),
                Err((name, error)) if error.code() == Some(403) => {
                    return Ok(Err(notes::may_not_read(&name)));
                }
                Err((_, error)) => return Err(error),
            }
        }
        Ok(Ok(documents))
    }

    async fn decide(
        &mut self,
        view: &View<'_>,
        put_back: Option<PutBack>,
        now: Instant,
    ) -> Result<Duration, ApiError> {
        match put_back {
            Some(put_back) if put_back.rest == view.rest => return self.stay_out(view, put_back).await,
            Some(_) => {
                info!("the cluster's DNS was changed since the zones did harm; they are tried again");
                self.cluster.remember(None).await?;
            }
            None => {}
        }
        let plan = view.plan;
        if plan.present
            && !plan.zones.is_empty()
            && let Some(reason) = self.harm(view, now)
        {
            return self.put_back(view, reason).await;
        }
        match &plan.change {
            Some(change) => self.write(view, change, now).await,
            None => self.in_place(view, now).await,
        }
    }

    /// Whether the DNS server took our last write badly.
    fn harm(&mut self, view: &View<'_>, now: Instant) -> Option<String> {
        if let Some(memory) = &mut self.written
            && let Some(watch) = &mut memory.watch
        {
            match watch.judge(&view.seen, now) {
                Verdict::Failed(reason) => return Some(reason),
                Verdict::Watching => {}
                Verdict::Well => memory.watch = None,
            }
        }
        let document = view.documents.get(&view.plan.configmap);
        failing_since(&view.seen, document.and_then(written_at)?)
    }

    /// Remembers that the zones did harm; the next look takes them out.
    async fn put_back(&mut self, view: &View<'_>, reason: String) -> Result<Duration, ApiError> {
        error!(
            reason,
            configmap = view.plan.configmap,
            "the cluster's DNS fails; the mesh's zones are taken out"
        );
        let put_back = PutBack { rest: view.rest.clone(), reason };
        match self.cluster.remember(Some(&put_back)).await? {
            Written::Done => {}
            Written::Conflict | Written::Refused(_) => warn!("only this replica will remember the failure"),
        }
        self.stay_out(view, put_back).await
    }

    /// Keeps the zones out of the cluster's DNS.
    async fn stay_out(&mut self, view: &View<'_>, put_back: PutBack) -> Result<Duration, ApiError> {
        let note = notes::put_back(view.plan, &put_back.reason);
        self.put_back = Some(put_back);
        self.written = None;
        for document in view.documents.values() {
            let change = plan::take_out(document).unwrap_or_default(); // what cannot be read was refused before
            if change.is_empty() {
                continue;
            }
            match self.cluster.write(document, &change).await? {
                Written::Done => info!(configmap = document.metadata.name, "the mesh's zones are taken out"),
                Written::Conflict => return Ok(SOON),
                Written::Refused(why) => {
                    let note = notes::may_not_write(&view.plan.configmap, &why);
                    return Ok(self.refuse_in(view.documents, note));
                }
            }
        }
        if !view.plan.reloads {
            self.restart(view, None).await?;
        }
        self.say(view, vec![note]);
        Ok(PERIOD)
    }

    async fn write(&mut self, view: &View<'_>, change: &Change, now: Instant) -> Result<Duration, ApiError> {
        let plan = view.plan;
        if !plan.zones.is_empty() {
            self.note_revert(view, now);
            if let Err(lack) = fit_for_change(&view.seen) {
                self.say(view, vec![notes::unfit(plan, &lack)]);
                return Ok(CLOSELY);
            }
            let wait = self.reverts.wait(now);
            if !wait.is_zero() {
                self.say(view, vec![notes::reverted(plan)]);
                return Ok(wait);
            }
        }
        let Some(document) = view.documents.get(&plan.configmap) else { return Ok(SOON) };
        match self.cluster.write(document, change).await? {
            Written::Done => {
                info!(configmap = plan.configmap, key = plan.key, zones = ?plan.zones, "the cluster's DNS is changed");
                let watch = Some(Watch::begin(&view.seen, now));
                let memory = Memory { wanted: plan.wanted.clone(), in_place: true, watch };
                self.written = (!plan.zones.is_empty()).then_some(memory);
                Ok(Duration::ZERO)
            }
            Written::Conflict => Ok(SOON),
            Written::Refused(why) => {
                self.say(view, vec![notes::may_not_write(&plan.configmap, &why)]);
                Ok(PERIOD)
            }
        }
    }

    /// Tells, once, that what was written is gone although nothing else is wanted now.
    fn note_revert(&mut self, view: &View<'_>, now: Instant) {
        let Some(memory) = &mut self.written else { return };
        if memory.in_place && memory.wanted == view.plan.wanted {
            memory.in_place = false;
            self.reverts.note(now);
            warn!(
                configmap = view.plan.configmap,
                "something took the mesh's zones out of the cluster's DNS"
            );
            let finding = self.finding(view.documents, notes::reverted(view.plan));
            self.reporter.once(finding);
        }
    }

    async fn in_place(&mut self, view: &View<'_>, now: Instant) -> Result<Duration, ApiError> {
        let plan = view.plan;
        let mut notes = Vec::new();
        if !plan.zones.is_empty() {
            notes.push(notes::patched(plan));
            if let Some(memory) = &mut self.written {
                memory.in_place = true;
            }
            if self.reverts.is_fight(now) {
                notes.push(notes::reverted(plan));
            }
            if !plan.reloads {
                notes.extend(self.restart(view, Some(&fingerprint(plan.wanted.as_bytes()))).await?);
            }
        }
        self.say(view, notes);
        let closely = self.written.as_ref().is_some_and(|memory| memory.watch.is_some());
        Ok(if closely { CLOSELY } else { PERIOD })
    }

    /// Lets the pods start anew where they do not read a change by themselves; says what kept it from that.
    async fn restart(&self, view: &View<'_>, mark: Option<&str>) -> Result<Option<Note>, ApiError> {
        let Some(owner) = &view.found.owner else { return Ok(Some(notes::restart(view.plan, None))) };
        let workload = match self.cluster.workload(owner).await {
            Ok(Some(workload)) => workload,
            Ok(None) => return Ok(Some(notes::restart(view.plan, None))),
            Err(error) if error.code() == Some(403) => {
                return Ok(Some(notes::restart(view.plan, Some(&error.to_string()))));
            }
            Err(error) => return Err(error),
        };
        Ok(match self.cluster.restart(&workload, mark).await? {
            Written::Done | Written::Conflict => None, // the next look sees whether it is done
            Written::Refused(why) => Some(notes::restart(view.plan, Some(&why))),
        })
    }

    /// Says what holds, beside the zones that others serve.
    fn say(&self, view: &View<'_>, notes: Vec<Note>) {
        let taken = view.plan.taken.iter().map(|(zone, by)| notes::taken(view.plan, zone, by));
        let findings = notes.into_iter().chain(taken).map(|note| self.finding(view.documents, note));
        self.reporter.state(Source::Dns, findings.collect());
    }

    fn refuse(&self, note: Note) -> Duration {
        self.refuse_in(&Documents::new(), note)
    }

    fn refuse_in(&self, documents: &Documents, note: Note) -> Duration {
        if note.reason == Reason::DnsRefused {
            warn!(configmap = note.configmap, "{}", note.text);
        }
        let finding = self.finding(documents, note);
        self.reporter.state(Source::Dns, vec![finding]);
        PERIOD
    }

    fn finding(&self, documents: &Documents, note: Note) -> Finding {
        let uid =
            documents.get(&note.configmap).and_then(|document: &ConfigMap| document.metadata.uid.clone());
        Finding {
            about: About {
                kind: Kind::ConfigMap,
                namespace: DNS_NAMESPACE.into(),
                name: note.configmap,
                uid: uid.unwrap_or_default(),
            },
            reason: note.reason,
            detail: note.detail,
            note: note.text,
        }
    }
}

fn container(server: &Server) -> &str {
    match server {
        Server::CoreDns { container, path: _, corefile: _, folders: _ }
        | Server::KubeDns { container, configmap: _ } => container,
    }
}

/// The address of a Service, once it has one.
fn cluster_ip(service: &Service) -> Option<IpAddr> {
    service.spec.as_ref()?.cluster_ip.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests;
