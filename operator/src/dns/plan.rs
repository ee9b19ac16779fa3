//! Decides what to write where.
//!
//! In: the DNS server that was found, its ConfigMaps, the zones and where they go. Out: a [`Plan`], which is one
//! change of one ConfigMap, or a [`Refusal`]. And for any ConfigMap: the change that takes all of ours out.

use super::{
    caddyfile::{Caddyfile, parse, parse_directives},
    corefile::{self, CorefileError, Endpoint, ServerBlock},
    discover::{Folder, Server, Source},
    stub::{self, StubError},
};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
};
use weft_contract::fingerprint;

/// The annotation of kube-dns' ConfigMap that remembers its stub domains before the mesh.
pub const STUB_ANNOTATION: &str = "weft.mesh/original-stub-domains";
/// The key of kube-dns' ConfigMap.
const STUB_KEY: &str = "stubDomains";
/// How a key of ours begins in a ConfigMap that CoreDNS imports as a folder.
const OWN_KEY: &str = "weft";

/// The ConfigMaps that were read, by their names.
pub type Documents = BTreeMap<String, ConfigMap>;

/// What to write, and what to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The ConfigMap.
    pub configmap: String,
    /// The key in it.
    pub key: String,
    /// Whether our zones are in it now, up to date or not.
    pub present: bool,
    /// The change; none where all is as it should be.
    pub change: Option<Change>,
    /// The zones that go there.
    pub zones: Vec<String>,
    /// The zones that do not, each with who serves it.
    pub taken: Vec<(String, String)>,
    /// Whether the server reads the change by itself.
    pub reloads: bool,
    /// What is wanted: equal where the same zones go to the same address from the same place.
    pub wanted: String,
}

/// A change of a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Keys of its data with their new text; none takes a key away.
    pub data: BTreeMap<String, Option<String>>,
    /// Annotations likewise.
    pub annotations: BTreeMap<String, Option<String>>,
}

/// Why nothing is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The ConfigMap in which that shows.
    pub configmap: String,
    /// What is wrong and what to do.
    pub note: String,
}

/// Why a ConfigMap cannot be cleaned.
#[derive(Debug, thiserror::Error)]
pub enum TakeOutError {
    /// A Corefile with half of our markers.
    #[error("key {key}: {source}")]
    Corefile {
        /// The key.
        key: String,
        /// What is wrong.
        source: CorefileError,
    },
    /// Stub domains that cannot be read.
    #[error("key {STUB_KEY}: {0}")]
    Stub(#[from] StubError),
}

/// Plans the change for a DNS server. ConfigMaps that do not exist are not among the documents.
///
/// # Errors
/// Tells why nothing can be written, and where that shows.
pub fn plan(
    server: &Server,
    documents: &Documents,
    zones: &[String],
    forward_to: IpAddr,
) -> Result<Plan, Refusal> {
    match server {
        Server::KubeDns { container: _, configmap } => stub_domains(configmap, documents, zones, forward_to),
        Server::CoreDns { container: _, path, corefile, folders } => {
            let core = CoreDns::read(path, corefile, folders, documents)?;
            core.plan(zones, forward_to)
        }
    }
}

/// The ConfigMap that a DNS server cannot be without.
#[must_use]
pub fn main_configmap(server: &Server) -> &str {
    match server {
        Server::KubeDns { container: _, configmap } => configmap,
        Server::CoreDns { container: _, path: _, corefile, folders: _ } => &corefile.configmap,
    }
}

/// The ConfigMaps from which the Corefile imports; others that CoreDNS mounts are not our business.
#[must_use]
pub fn imported_configmaps(server: &Server, documents: &Documents) -> BTreeSet<String> {
    let Server::CoreDns { container: _, path, corefile, folders } = server else { return BTreeSet::new() };
    let text = documents.get(&corefile.configmap).and_then(|document| data(document, &corefile.key));
    let Some(Ok(read)) = text.map(parse) else { return BTreeSet::new() };
    let inside = read.blocks.iter().chain(&read.snippets).flat_map(|block| block.named("import"));
    let patterns = read.imports.iter().chain(inside.filter_map(|import| import.words.get(1)));
    let directories: Vec<PathBuf> =
        patterns.filter_map(|pattern| Some(path.parent()?.join(pattern).parent()?.to_owned())).collect();
    let used = folders.iter().filter(|folder| directories.contains(&folder.path));
    used.map(|folder| folder.configmap.clone()).collect()
}

/// The change that takes everything of ours out of a ConfigMap.
///
/// # Errors
/// Tells which key cannot be cleaned.
pub fn take_out(document: &ConfigMap) -> Result<Change, TakeOutError> {
    let mut change = Change::default();
    for (key, text) in document.data.iter().flatten().filter(|(_, text)| corefile::is_marked(text)) {
        let rest =
            corefile::remove(text).map_err(|source| TakeOutError::Corefile { key: key.clone(), source })?;
        let own = key.starts_with(OWN_KEY) && rest.is_empty();
        change.data.insert(key.clone(), (!own).then_some(rest));
    }
    if let Some(annotation) = stub_annotation(document) {
        let record = stub::read_record(annotation)?;
        let text = data(document, STUB_KEY);
        let rest = stub::remove(text, Some(&record))?;
        if rest.as_deref() != text {
            change.data.insert(STUB_KEY.into(), rest);
        }
        change.annotations.insert(STUB_ANNOTATION.into(), None);
    }
    Ok(change)
}

/// A hash of all that others wrote into the documents.
///
/// # Errors
/// As [`take_out`].
pub fn rest(documents: &Documents) -> Result<String, TakeOutError> {
    let mut rest = BTreeMap::new();
    for (name, document) in documents {
        let mut data = document.data.clone().unwrap_or_default();
        for (key, text) in take_out(document)?.data {
            match text {
                Some(text) => data.insert(key, text),
                None => data.remove(&key),
            };
        }
        rest.insert(name, data);
    }
    Ok(fingerprint(json!(rest).to_string().as_bytes()))
}

impl Change {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && self.annotations.is_empty()
    }

    /// The merge patch, which the API server refuses if the object is not the one that was read.
    #[must_use]
    pub fn patch(&self, resource_version: Option<&str>) -> Value {
        let mut patch = json!({"metadata": {"resourceVersion": resource_version}});
        if !self.data.is_empty() {
            patch["data"] = json!(self.data);
        }
        if !self.annotations.is_empty() {
            patch["metadata"]["annotations"] = json!(self.annotations);
        }
        patch
    }
}

fn data<'a>(document: &'a ConfigMap, key: &str) -> Option<&'a str> {
    document.data.as_ref()?.get(key).map(String::as_str)
}

fn stub_annotation(document: &ConfigMap) -> Option<&str> {
    document.metadata.annotations.as_ref()?.get(STUB_ANNOTATION).map(String::as_str)
}

fn stub_domains(
    configmap: &str,
    documents: &Documents,
    zones: &[String],
    forward_to: IpAddr,
) -> Result<Plan, Refusal> {
    let refusal = |note: String| Refusal { configmap: configmap.to_owned(), note };
    let document = documents.get(configmap).ok_or_else(|| {
        refusal("the ConfigMap does not exist: create it, empty, and the zones are added".into())
    })?;
    let annotation = stub_annotation(document);
    let record = annotation.map(stub::read_record).transpose().map_err(|error| refusal(error.to_string()))?;
    let text = data(document, STUB_KEY);
    let edited = stub::add(text, record.as_ref(), zones, forward_to)
        .map_err(|error| refusal(format!("{error}; correct the key {STUB_KEY}")))?;
    let kept = edited.record.as_ref().map(|record| json!(record).to_string());
    let mut change = Change::default();
    if edited.text.as_deref() != text {
        change.data.insert(STUB_KEY.into(), edited.text);
    }
    if kept.as_deref() != annotation {
        change.annotations.insert(STUB_ANNOTATION.into(), kept);
    }
    let zones = edited.record.map(|record| record.zones).unwrap_or_default();
    Ok(Plan {
        configmap: configmap.to_owned(),
        key: STUB_KEY.into(),
        present: text.is_some_and(|text| record.is_some_and(|record| record.written == text)),
        change: (!change.is_empty()).then_some(change),
        wanted: format!("{configmap} {zones:?} {forward_to}"),
        zones,
        taken: edited.taken.into_iter().map(|zone| (zone, "another stub domain".to_owned())).collect(),
        reloads: true, // kube-dns watches its settings
    })
}

/// CoreDNS with all the texts that it reads.
struct CoreDns<'a> {
    documents: &'a Documents,
    main: &'a Source,
    main_text: &'a str,
    /// The Corefile without our block.
    base: Caddyfile,
    /// Where the Corefile imports whole server blocks from: the ConfigMap, and what the keys end with.
    custom: Option<(&'a str, String)>,
    /// What folders hold that blocks import.
    folders: &'a [Folder],
}

impl<'a> CoreDns<'a> {
    fn read(
        path: &Path,
        main: &'a Source,
        folders: &'a [Folder],
        documents: &'a Documents,
    ) -> Result<Self, Refusal> {
        let refusal = |note: String| Refusal { configmap: main.configmap.clone(), note };
        let missing = || refusal(format!("CoreDNS reads the key {}, which does not exist", main.key));
        let document = documents.get(&main.configmap).ok_or_else(missing)?;
        let main_text = data(document, &main.key).ok_or_else(missing)?;
        let correct = |error: CorefileError| refusal(format!("{error}; correct the key {}", main.key));
        let base = corefile::remove(main_text).map_err(correct)?;
        let base = parse(&base).map_err(CorefileError::from).map_err(correct)?;
        let custom = base.imports.iter().find_map(|pattern| {
            let pattern = path.parent()?.join(pattern);
            let suffix = pattern.file_name()?.to_str()?.strip_prefix('*')?;
            let folder = folders.iter().find(|folder| Some(folder.path.as_path()) == pattern.parent())?;
            let plain = !suffix.contains(['*', '?', '[', '\\']) && documents.contains_key(&folder.configmap);
            plain.then(|| (folder.configmap.as_str(), suffix.to_owned()))
        });
        Ok(Self { documents, main, main_text, base, custom, folders })
    }

    fn plan(&self, zones: &[String], forward_to: IpAddr) -> Result<Plan, Refusal> {
        let mut others = vec![self.base.clone()];
        let (configmap, key) = match &self.custom {
            // Where the zones are in the Corefile already, they stay there: a folder that appears is no reason.
            Some((configmap, suffix)) => {
                let key = format!("{OWN_KEY}{suffix}");
                others.extend(self.imported(configmap, suffix, &key)?);
                let in_folder = self.text(configmap, &key).is_some_and(corefile::is_marked);
                let in_main = corefile::is_marked(self.main_text);
                if in_folder && in_main {
                    return self.only(&self.main.configmap, &self.main.key);
                }
                if in_main {
                    (self.main.configmap.as_str(), self.main.key.clone())
                } else {
                    (*configmap, key)
                }
            }
            None => (self.main.configmap.as_str(), self.main.key.clone()),
        };
        let refusal = |error: CorefileError| Refusal {
            configmap: configmap.to_owned(),
            note: format!("{error}; correct the key {key}"),
        };
        corefile::check_unique(&others).map_err(refusal)?;
        let endpoint = corefile::endpoint(&self.base);
        let taken = corefile::taken(zones, &endpoint, &others);
        let free: Vec<_> = zones.iter().filter(|zone| !taken.contains(zone.as_str())).cloned().collect();
        let text = self.text(configmap, &key);
        let change = changed(text, &free, forward_to, &endpoint).map_err(refusal)?;
        Ok(Plan {
            configmap: configmap.to_owned(),
            wanted: format!("{configmap} {key} {free:?} {forward_to} {endpoint:?}"),
            present: text.is_some_and(corefile::is_marked),
            change: change.map(|text| self.change(&key, text)),
            key,
            zones: free,
            taken: taken.into_iter().map(|zone| (zone.into(), "another server block".into())).collect(),
            reloads: self.reloads(),
        })
    }

    /// What is in the other keys of a folder.
    fn imported(&self, configmap: &str, suffix: &str, own: &str) -> Result<Vec<Caddyfile>, Refusal> {
        let document = self.documents.get(configmap);
        let data = document.and_then(|document| document.data.as_ref());
        let keys = data.into_iter().flatten().filter(|(key, _)| key.ends_with(suffix));
        keys.map(|(key, text)| {
            let base = if key == own { corefile::remove(text) } else { Ok(text.clone()) };
            base.and_then(|base| Ok(parse(&base)?)).map_err(|error| Refusal {
                configmap: configmap.to_owned(),
                note: format!("{error}; correct the key {key}"),
            })
        })
        .collect()
    }

    /// The plan to take the zones out of one of two places.
    fn only(&self, configmap: &str, key: &str) -> Result<Plan, Refusal> {
        let refusal = |note| Refusal { configmap: configmap.to_owned(), note };
        let text = corefile::remove(self.main_text).map_err(|error| refusal(error.to_string()))?;
        Ok(Plan {
            configmap: configmap.to_owned(),
            key: key.to_owned(),
            present: true,
            change: Some(self.change(key, text)),
            zones: Vec::new(),
            taken: Vec::new(),
            reloads: true, // what the other place has is not affected
            wanted: String::new(),
        })
    }

    fn change(&self, key: &str, text: String) -> Change {
        // An empty text takes away a key of ours, and leaves one of theirs.
        let goes = key != self.main.key && text.is_empty();
        Change { data: BTreeMap::from([(key.to_owned(), (!goes).then_some(text))]), ..Change::default() }
    }

    fn text(&self, configmap: &str, key: &str) -> Option<&str> {
        data(self.documents.get(configmap)?, key)
    }

    /// Whether CoreDNS reads the change by itself: `reload` may also be in a file that a block imports.
    fn reloads(&self) -> bool {
        let folders = self.folders.iter().filter_map(|folder| self.documents.get(&folder.configmap));
        let mut imported = folders
            .flat_map(|document| document.data.iter().flatten())
            .filter(|(key, text)| **key != self.main.key && !corefile::is_marked(text))
            .filter_map(|(_, text)| parse_directives(text).ok());
        let named = imported.any(|directives| directives.iter().any(|one| one.name() == "reload"));
        self.main.live && (corefile::reloads(&self.base) || named)
    }
}

/// The new text where it differs.
fn changed(
    text: Option<&str>,
    zones: &[String],
    forward_to: IpAddr,
    endpoint: &Endpoint,
) -> Result<Option<String>, CorefileError> {
    let old = text.unwrap_or_default();
    let new = if zones.is_empty() {
        corefile::remove(old)?
    } else {
        let block = ServerBlock { zones: zones.to_vec(), forward_to, endpoint: endpoint.clone() };
        corefile::insert(old, &block)?
    };
    Ok((new != old).then_some(new))
}

#[cfg(test)]
mod tests;
