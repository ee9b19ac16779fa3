//! The one table of annotations.
//!
//! In: the rows of each concern. Out: every [`Row`], by concern and by name. Parsing, the Events about mistakes and the
//! docs page come from here.

use super::{actions, balancing, draft::Draft, failing, limits, raw, retry, timeouts, traffic, upstream};
use weft_contract::Protocol;

/// What is about every port.
pub(super) const ALL: &[Protocol] = &[Protocol::Http, Protocol::Tcp, Protocol::Udp];
/// What is about connections to endpoints.
pub(super) const CONNECTED: &[Protocol] = &[Protocol::Http, Protocol::Tcp];
/// What is about requests.
pub(super) const HTTP: &[Protocol] = &[Protocol::Http];
/// What is about connections that are carried byte for byte.
pub(super) const TCP: &[Protocol] = &[Protocol::Tcp];
/// What is about datagrams.
pub(super) const UDP: &[Protocol] = &[Protocol::Udp];

/// The prefixes of annotations, the first that is present wins, key by key: ours, Traefik Mesh's and Maesh's.
pub const PREFIXES: [&str; 3] = ["weft.mesh/", "mesh.traefik.io/", "maesh.containo.us/"];

/// One row of the table.
pub struct Row {
    /// The annotation's key, without its prefix.
    pub name: &'static str,
    /// What its value may be.
    pub values: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// A value as somebody would write it.
    pub example: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What it is about: it has no meaning for a Service none of whose ports speaks one of these.
    pub protocols: &'static [Protocol],
    /// Takes its value in; where the value cannot be read, says why and changes nothing.
    pub(super) read: fn(&mut Draft, &str) -> Result<(), String>,
}

/// The rows that belong together.
pub struct Concern {
    /// Its heading on the docs page.
    pub title: &'static str,
    /// What there is to know about all of them.
    pub doc: &'static str,
    /// The rows, in the order of the docs page.
    pub rows: &'static [Row],
}

/// Every concern, in the order of the docs page.
pub const CONCERNS: &[Concern] = &[
    Concern { title: "Traffic", doc: "What is spoken.", rows: traffic::ROWS },
    Concern {
        title: "Balancing",
        doc: "How an endpoint is chosen: for each request, also where many share a connection. Endpoints that are near \
              are preferred where the Service's `trafficDistribution` says so.",
        rows: balancing::ROWS,
    },
    Concern {
        title: "Retries",
        doc: "What is tried again, at another endpoint. Only what is safe is: nothing was sent yet, or the method is \
              idempotent and the body is still there.",
        rows: retry::ROWS,
    },
    Concern { title: "Timeouts", doc: "How long things may take. `none` is no bound.", rows: timeouts::ROWS },
    Concern {
        title: "Failing endpoints",
        doc: "When an endpoint is set aside, and when the whole Service answers 503 at once.",
        rows: failing::ROWS,
    },
    Concern {
        title: "Limits",
        doc: "How much is let through. Unless it says otherwise, each node's proxy counts for itself.",
        rows: limits::ROWS,
    },
    Concern {
        title: "Endpoints with TLS, and who called",
        doc: "Endpoints that speak TLS are always verified.",
        rows: upstream::ROWS,
    },
    Concern { title: "Actions", doc: "What is done to a request on its way.", rows: actions::ROWS },
    Concern {
        title: "TCP and UDP",
        doc: "How bytes and datagrams are carried. A session is what comes from one address and port of a client; each \
              goes to one endpoint. Each node's proxy counts for itself, and each port of a Service too.",
        rows: raw::ROWS,
    },
];

/// Every row, in the order of the docs page.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    CONCERNS.iter().flat_map(|concern| concern.rows)
}

/// The row with this name.
#[must_use]
pub fn row(name: &str) -> Option<&'static Row> {
    rows().find(|row| row.name == name)
}
