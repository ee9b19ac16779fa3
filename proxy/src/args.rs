//! Every setting of the proxy.
//!
//! In: the command line and the environment. Out: [`Args`]. Each setting has a flag, an environment variable and a
//! default with its reason.

use clap::{Parser, ValueEnum};
use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use weft_contract::object::{PROXY_ADMIN_PORT, PROXY_DNS_PORT};

/// Carries the mesh traffic of one node.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Args {
    /// The name of the node that this proxy is for.
    #[arg(long, env = "WEFT_NODE")]
    pub node: String,

    /// The namespace that the node's ConfigMap is in. Default: the proxy's own.
    #[arg(long, env = "WEFT_NAMESPACE")]
    pub namespace: Option<String>,

    /// Where the last good configuration is kept: an emptyDir, which outlives the container but not the pod.
    #[arg(long, env = "WEFT_STATE_DIRECTORY", default_value = "/var/lib/weft")]
    pub state_directory: PathBuf,

    /// Where /livez, /readyz, /metrics, /revision and /debug/config are answered. [::] takes IPv4 too.
    #[arg(long, env = "WEFT_ADMIN_ADDRESS", default_value_t = any(PROXY_ADMIN_PORT))]
    pub admin_address: SocketAddr,

    /// Where DNS is answered. [::] takes IPv4 too.
    #[arg(long, env = "WEFT_DNS_ADDRESS", default_value_t = any(PROXY_DNS_PORT))]
    pub dns_address: SocketAddr,

    /// How many threads carry traffic; 0 is one for each CPU that the container may use.
    #[arg(long, env = "WEFT_WORKERS", default_value_t = 0)]
    pub workers: usize,

    /// How long a retiring proxy still accepts: until kube-proxy on every node sends clients elsewhere.
    #[arg(long, env = "WEFT_DRAIN_QUIET", default_value = "5s", value_parser = duration)]
    pub drain_quiet: Duration,

    /// After how long in all a retiring proxy goes, whatever is in flight: less than the pod's termination grace.
    #[arg(long, env = "WEFT_DRAIN_DEADLINE", default_value = "25s", value_parser = duration)]
    pub drain_deadline: Duration,

    /// How long an endpoint may take to accept a connection: a lost first packet is sent again after one second.
    #[arg(long, env = "WEFT_CONNECT_TIMEOUT", default_value = "1s", value_parser = duration)]
    pub connect_timeout: Duration,

    /// How long a client's connection may rest between two requests.
    #[arg(long, env = "WEFT_IDLE_TIMEOUT", default_value = "60s", value_parser = duration)]
    pub idle_timeout: Duration,

    /// How many requests one HTTP/2 connection of a client may have under way: what gRPC clients count with.
    #[arg(long, env = "WEFT_HTTP2_STREAMS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub http2_streams: u32,

    /// How many requests a client may give up right away on one HTTP/2 connection, once they are more than half of all its
    /// requests; then the connection is ended (CVE-2023-44487, "rapid reset").
    #[arg(long, env = "WEFT_HTTP2_RESETS", default_value_t = 200)]
    pub http2_resets: usize,

    /// What is logged: error, warn, info, debug, trace, or a filter such as info,weft_proxy::http=debug.
    #[arg(long, env = "WEFT_LOG", default_value = "info")]
    pub log: String,

    /// How it is logged.
    #[arg(long, env = "WEFT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Writes a JSON line for each HTTP request to standard output.
    #[arg(long, env = "WEFT_ACCESS_LOG")]
    pub access_log: bool,

    /// Reads the configuration from this file instead of the cluster, and again whenever it changes.
    #[arg(long, env = "WEFT_CONFIGURATION_FILE")]
    pub configuration_file: Option<PathBuf>,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)
}

/// Reads `250ms`, `5s` or `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| "expected a number with a unit, such as 5s".to_owned())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        _ => return Err("expected one of the units ms, s and m".to_owned()),
    };
    milliseconds.map(Duration::from_millis).ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use proptest::prelude::*;

    #[test]
    fn the_flags_are_consistent_and_each_has_an_environment_variable() {
        Args::command().debug_assert();
        for flag in Args::command().get_arguments() {
            assert!(
                flag.get_env().is_some() || ["help", "version"].contains(&flag.get_id().as_str()),
                "{flag}"
            );
        }
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "-1s", "1h", "99999999999999999999s", "18446744073709551615m"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = duration(&text);
        }
    }
}
