//! Adds the mesh's server block to a Corefile, and takes exactly that out again.
//!
//! In: the text of a Corefile and the [`ServerBlock`] to add. Out: the new text, or why it was not made. What was
//! there before comes back byte for byte: `remove(insert(x)) == x`.

use super::caddyfile::{Block, Caddyfile, SyntaxError, parse};
use std::{collections::BTreeSet, fmt::Write as _, net::IpAddr};

/// How the line before the block begins.
const BEGIN: &str = "# Begin Weft (";
/// What that line says.
const BEGIN_TEXT: &str = "added by weft-operator; removed on uninstall";
/// What it says too where the text before it did not end with a newline.
const NEWLINE_TEXT: &str = "; a newline was added before this line";
/// The line after the block.
const END: &str = "# End Weft";
/// The port that a key without one means, unless CoreDNS was told otherwise.
const DEFAULT_PORT: u16 = 53;

/// The server block of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerBlock {
    /// The zones.
    pub zones: Vec<String>,
    /// Where CoreDNS asks for them.
    pub forward_to: IpAddr,
    /// Where it listens.
    pub endpoint: Endpoint,
}

/// Where the cluster's DNS listens, by its block for the root zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The port; none where the key has none.
    pub port: Option<u16>,
    /// The `bind` directives, without which another block would not answer on the same addresses.
    pub bind: Vec<String>,
}

/// A zone as the key of a server block names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    scheme: String,
    zone: String,
    port: Option<u16>,
}

/// Why a Corefile is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorefileError {
    /// It cannot be read.
    #[error("CoreDNS could not read the Corefile: {0}")]
    Syntax(#[from] SyntaxError),
    /// A marker of ours lost the other.
    #[error("the line \"{BEGIN}…\" at line {0} has no \"{END}\" after it: remove that block by hand")]
    Damaged(usize),
    /// Two blocks are for the same zone and port.
    #[error("two server blocks serve {0}, which CoreDNS refuses")]
    Twice(String),
    /// The block would not be read as one.
    #[error("the block would not be read as a server block of its own there")]
    Swallowed,
}

/// The text with the block in it, in the place of an older one, or else at the end.
///
/// # Errors
/// Tells why the text cannot be added to; it then stays as it is.
pub fn insert(original: &str, block: &ServerBlock) -> Result<String, CorefileError> {
    let sections = sections(original)?;
    let base = remove(original)?;
    let text = match sections.split_first() {
        Some((first, _)) => {
            let rest = remove(&original[first.end..])?;
            format!("{}{}{rest}", &original[..first.start], block.render(first.newline_added))
        }
        None => {
            let newline_added = !original.is_empty() && !original.ends_with('\n');
            let newline = if newline_added { "\n" } else { "" };
            format!("{original}{newline}{}", block.render(newline_added))
        }
    };
    check(&base, &text, block)?;
    Ok(text)
}

/// The text without the block.
///
/// # Errors
/// Tells where only one of the two markers is left.
pub fn remove(text: &str) -> Result<String, CorefileError> {
    let mut kept = String::new();
    let mut from = 0;
    for section in sections(text)? {
        let before = &text[from..section.start];
        // The newline that was added goes too, unless it now parts what others wrote before and after the block.
        let newline_goes = section.newline_added && section.end == text.len();
        kept.push_str(if newline_goes { before.strip_suffix('\n').unwrap_or(before) } else { before });
        from = section.end;
    }
    kept.push_str(&text[from..]);
    Ok(kept)
}

/// Whether the text has the block, or a part of it.
#[must_use]
pub fn is_marked(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with(BEGIN))
}

/// Where the cluster's DNS listens: by the block of the root zone, or else the first one.
#[must_use]
pub fn endpoint(corefile: &Caddyfile) -> Endpoint {
    let dns = |block: &Block| keys(block).find(|key| key.scheme == "dns" && key.zone.is_empty());
    let any = |block: &Block| keys(block).find(|key| key.scheme == "dns");
    let of = |find: &dyn Fn(&Block) -> Option<Key>| {
        corefile.blocks.iter().find_map(|block| find(block).map(|key| (block, key)))
    };
    match of(&dns).or_else(|| of(&any)) {
        Some((block, key)) => Endpoint {
            port: key.port,
            bind: block.named("bind").map(|directive| directive.source.clone()).collect(),
        },
        None => Endpoint { port: Some(DEFAULT_PORT), bind: Vec::new() },
    }
}

/// Those of the zones that other blocks already serve at the endpoint.
#[must_use]
pub fn taken<'a>(zones: &'a [String], endpoint: &Endpoint, others: &[Caddyfile]) -> BTreeSet<&'a str> {
    let served: BTreeSet<Key> =
        others.iter().flat_map(|other| &other.blocks).flat_map(keys).map(Key::with_port).collect();
    let key = |zone: &str| Key { scheme: "dns".into(), zone: zone.into(), port: endpoint.port }.with_port();
    zones.iter().filter(|zone| served.contains(&key(zone))).map(String::as_str).collect()
}

/// Checks that no two of the blocks serve the same zone at the same place.
///
/// # Errors
/// Names the first zone that is served twice.
pub fn check_unique(corefiles: &[Caddyfile]) -> Result<(), CorefileError> {
    let mut seen = BTreeSet::new();
    for block in corefiles.iter().flat_map(|corefile| &corefile.blocks) {
        // With `bind` or `view`, two blocks may share a zone and a port.
        if block.named("bind").chain(block.named("view")).next().is_some() {
            continue;
        }
        for (key, text) in keys(block).zip(&block.keys) {
            if !seen.insert(key.with_port()) {
                return Err(CorefileError::Twice(text.clone()));
            }
        }
    }
    Ok(())
}

/// Whether CoreDNS reads a changed Corefile by itself: `reload` in any block, or in a snippet that one imports.
#[must_use]
pub fn reloads(corefile: &Caddyfile) -> bool {
    let imports = |block: &Block, name: &str| {
        block.named("import").any(|import| import.words.get(1).is_some_and(|word| word == name))
    };
    let snippets = corefile.snippets.iter().filter(|snippet| {
        let name = snippet.snippet().unwrap_or_default();
        corefile.blocks.iter().chain(&corefile.snippets).any(|block| imports(block, name))
    });
    corefile.blocks.iter().chain(snippets).any(|block| block.named("reload").next().is_some())
}

impl ServerBlock {
    /// The block between its markers.
    fn render(&self, newline_added: bool) -> String {
        let note = if newline_added { NEWLINE_TEXT } else { "" };
        let port = self.endpoint.port.map(|port| format!(":{port}")).unwrap_or_default();
        let keys: Vec<_> = self.zones.iter().map(|zone| format!("{zone}{port}")).collect();
        let mut text = format!("{BEGIN}{BEGIN_TEXT}{note})\n{} {{\n", keys.join(" "));
        for bind in &self.endpoint.bind {
            let _ = writeln!(text, "    {bind}"); // a String takes all
        }
        // `max_fails 0`: one upstream, itself balanced over the proxies, is never held to be down.
        let _ = write!(
            text,
            "    errors\n    forward . {} {{\n        max_fails 0\n    }}\n}}\n{END}\n",
            self.forward_to
        );
        text
    }
}

impl Key {
    /// Reads a key as CoreDNS does: a number after the last colon is the port.
    fn read(text: &str) -> Self {
        let (scheme, rest) = text.split_once("://").unwrap_or(("dns", text));
        let (zone, port) = match rest.rsplit_once(':').map(|(zone, port)| (zone, port.parse())) {
            Some((zone, Ok(port))) => (zone, Some(port)),
            Some((_, Err(_))) | None => (rest, None),
        };
        let zone = zone.strip_suffix('.').unwrap_or(zone);
        Self { scheme: scheme.to_lowercase(), zone: zone.to_lowercase(), port }
    }

    /// The same with the port that no port means.
    fn with_port(self) -> Self {
        Self { port: self.port.or((self.scheme == "dns").then_some(DEFAULT_PORT)), ..self }
    }
}

fn keys(block: &Block) -> impl Iterator<Item = Key> {
    block.keys.iter().map(|key| Key::read(key))
}

/// Where the block is, with the lines of its markers.
struct Section {
    start: usize,
    end: usize,
    newline_added: bool,
}

fn sections(text: &str) -> Result<Vec<Section>, CorefileError> {
    let mut found = Vec::new();
    let mut open: Option<(usize, usize, bool)> = None;
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let end = at + line.len();
        let trimmed = line.trim();
        if trimmed.starts_with(BEGIN) {
            if let Some((_, begun, _)) = open {
                return Err(CorefileError::Damaged(begun));
            }
            open = Some((at, number + 1, trimmed.contains(NEWLINE_TEXT)));
        } else if trimmed == END
            && let Some((start, _, newline_added)) = open.take()
        {
            found.push(Section { start, end, newline_added });
        }
        at = end;
    }
    match open {
        Some((_, begun, _)) => Err(CorefileError::Damaged(begun)),
        None => Ok(found),
    }
}

/// Checks that the new text says what the old one said, and the block.
fn check(base: &str, text: &str, block: &ServerBlock) -> Result<(), CorefileError> {
    // A copied directive over several lines may hold what looks like the end of the block.
    match sections(text)?.as_slice() {
        [section] if text[section.start..section.end] == block.render(section.newline_added) => {}
        _ => return Err(CorefileError::Swallowed),
    }
    let (base, mut new) = (parse(base)?, parse(text)?);
    let ours = parse(&block.render(false))?;
    let added = new.blocks.iter().position(|read| ours.blocks.contains(read));
    added.map(|index| new.blocks.remove(index)).ok_or(CorefileError::Swallowed)?;
    if new != base {
        return Err(CorefileError::Swallowed);
    }
    new.blocks.extend(ours.blocks);
    check_unique(&[new])
}

#[cfg(test)]
mod tests;
