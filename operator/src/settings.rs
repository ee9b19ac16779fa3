//! Every setting of the operator: flags, their environment variables and defaults.
//!
//! In: the command line and the environment. Out: [`Settings`], or a message that says what is wrong.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, str::FromStr};
use weft_contract::object::LISTENER_PORTS;

/// Weft's operator.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the operator's program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator until told to stop.
    Run(Box<Settings>),
    /// Take all that the operator made out of the cluster; run by the chart after uninstall.
    Cleanup(CleanupSettings),
    /// Print a generated page of the documentation.
    Docs {
        /// Which page.
        page: Page,
    },
}

/// The generated pages of the documentation.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Page {
    /// The annotations on Services.
    Annotations,
    /// The reasons of Events.
    Events,
}

/// The settings of `run`.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// The mesh's own namespace.
    #[arg(long, env = "WEFT_NAMESPACE")]
    pub namespace: String,
    /// The name of this replica's pod, by which it holds the Lease.
    #[arg(long, env = "WEFT_POD_NAME")]
    pub pod_name: String,
    /// The main DNS zone of the mesh.
    #[arg(long, env = "WEFT_ZONE", default_value = "mesh", value_parser = zone)]
    pub zone: String,
    /// Zones that answer too.
    #[arg(long, env = "WEFT_ALIAS_ZONES", value_delimiter = ',', default_value = "maesh,traefik.mesh", value_parser = zone)]
    pub alias_zones: Vec<String>,
    /// Which Services have a mesh name.
    #[arg(long, env = "WEFT_SELECT", value_enum, default_value_t = Select::All)]
    pub select: Select,
    /// The traffic type of a port of which neither an annotation nor its appProtocol says anything.
    #[arg(long, env = "WEFT_DEFAULT_TRAFFIC_TYPE", value_enum, default_value_t = TrafficType::Http)]
    pub default_traffic_type: TrafficType,
    /// The only namespaces to look at; all when empty.
    #[arg(long, env = "WEFT_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Namespaces to leave alone; wins over those to look at.
    #[arg(long, env = "WEFT_IGNORE_NAMESPACES", value_delimiter = ',')]
    pub ignore_namespaces: Vec<String>,
    /// The proxy ports that meshed ports can be given, FIRST-LAST.
    #[arg(long, env = "WEFT_LISTENER_PORTS", default_value_t = PortRange::default())]
    pub listener_ports: PortRange,
    /// Whether to add the mesh's zones to the cluster's DNS.
    #[arg(long, env = "WEFT_MANAGE_DNS", default_value_t = true, action = clap::ArgAction::Set)]
    pub manage_dns: bool,
    /// Where to serve probes, metrics and debug pages.
    #[arg(long, env = "WEFT_ADMIN_ADDRESS", default_value = "[::]:9965")]
    pub admin_address: SocketAddr,
    /// How logs look and how much they say.
    #[command(flatten)]
    pub log: LogSettings,
}

/// The settings of `cleanup`.
#[derive(Clone, Debug, Args)]
pub struct CleanupSettings {
    /// The mesh's own namespace.
    #[arg(long, env = "WEFT_NAMESPACE")]
    pub namespace: String,
    /// Further ConfigMaps in kube-system that may hold the mesh's zones.
    #[arg(long, env = "WEFT_DNS_CONFIGMAPS", value_delimiter = ',')]
    pub dns_configmaps: Vec<String>,
    /// How logs look and how much they say.
    #[command(flatten)]
    pub log: LogSettings,
}

/// How logs look and how much they say.
#[derive(Clone, Debug, Args)]
pub struct LogSettings {
    /// What to log, in the syntax of tracing's `EnvFilter`.
    #[arg(long = "log", env = "WEFT_LOG", default_value = "info")]
    pub filter: String,
    /// How to write it.
    #[arg(long = "log-format", env = "WEFT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub format: LogFormat,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which Services have a mesh name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Select {
    /// Every Service that is not left alone.
    All,
    /// Those with an annotation of the mesh's.
    Annotated,
}

/// What the ports of a Service speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum TrafficType {
    /// HTTP.
    Http,
    /// TCP, byte for byte.
    Tcp,
    /// UDP, datagram for datagram.
    Udp,
}

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl std::fmt::Display for TrafficType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl Settings {
    /// Every zone of the mesh, the main one first, none twice.
    #[must_use]
    pub fn zones(&self) -> Vec<String> {
        let mut zones = vec![self.zone.clone()];
        for alias in &self.alias_zones {
            if !zones.contains(alias) {
                zones.push(alias.clone());
            }
        }
        zones
    }
}

impl Default for PortRange {
    fn default() -> Self {
        let (first, last) = LISTENER_PORTS;
        Self { first, last }
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is not FIRST-LAST with 1024 <= FIRST <= LAST < 32768");
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let first = first.parse().map_err(|_| wrong())?;
        let last = last.parse().map_err(|_| wrong())?;
        if (1024..=last).contains(&first) && last < 32768 { Ok(Self { first, last }) } else { Err(wrong()) }
    }
}

/// Reads a DNS zone: labels of lower-case letters, digits and hyphens (RFC 1123).
fn zone(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if text.split('.').all(label) && text.len() <= 120 {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a DNS zone such as \"mesh\" or \"traefik.mesh\""))
    }
}
