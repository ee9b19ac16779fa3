//! The one table of annotations.
//!
//! In: nothing. Out: [`Key`] and its rows. Parsing, the Events about mistakes and the docs page come from here.

/// The prefixes of annotations, the first that is present wins, key by key: ours, Traefik Mesh's and Maesh's.
pub const PREFIXES: [&str; 3] = ["weft.mesh/", "mesh.traefik.io/", "maesh.containo.us/"];

/// An annotation's key, without its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// What the Service's ports speak.
    TrafficType,
}

/// One row of the table.
pub struct Row {
    /// The annotation's key, without its prefix.
    pub name: &'static str,
    /// What its value may be.
    pub values: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
}

impl Key {
    /// Every key, in the order of the docs page.
    pub const ALL: [Self; 1] = [Self::TrafficType];

    /// The row of this key.
    #[must_use]
    pub fn row(self) -> Row {
        match self {
            Self::TrafficType => Row {
                name: "traffic-type",
                values: "`http`, `tcp` or `udp`",
                default: "`http`, or the chart's `defaultTrafficType`",
                doc: "What the Service's ports speak. With `http` each request is balanced by itself, with `tcp` each \
                      connection is, byte for byte. `udp` is not served yet: the mesh name then resolves to the \
                      Service's own address.",
            },
        }
    }

    /// The key with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.row().name == name)
    }
}
