//! Looks up names by the pod's own resolver settings, without the C library, which a static program cannot use for it.
//!
//! In: a name. Out: addresses, or the answer printed.

use crate::arguments::{Record, Resolve};
use anyhow::{Context, Result};
use hickory_resolver::{TokioResolver, proto::rr::RecordType};
use std::net::{IpAddr, SocketAddr};

/// A resolver by /etc/resolv.conf.
pub fn resolver() -> Result<TokioResolver> {
    let builder = TokioResolver::builder_tokio().context("/etc/resolv.conf cannot be used")?;
    builder.build().context("no resolver")
}

/// Where HOST:PORT leads.
pub async fn place(resolver: &TokioResolver, host: &str, port: u16) -> Result<SocketAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, port));
    }
    let found = resolver.lookup_ip(host).await.with_context(|| format!("lookup of {host}"))?;
    let address = found.iter().next().with_context(|| format!("{host} has no address"))?;
    Ok(SocketAddr::new(address, port))
}

/// Prints the answer to a look-up; whether there was one.
pub async fn print(arguments: &Resolve) -> Result<bool> {
    let record = match arguments.record {
        Record::A => RecordType::A,
        Record::Aaaa => RecordType::AAAA,
        Record::Srv => RecordType::SRV,
    };
    // With a dot at its end, so that no search domain is added.
    let name = format!("{}.", arguments.name.trim_end_matches('.'));
    match resolver()?.lookup(name.as_str(), record).await {
        Ok(found) => {
            println!("NOERROR");
            found.answers().iter().for_each(|record| println!("{}", record.data));
            Ok(true)
        }
        Err(error) => {
            let code = if error.is_nx_domain() {
                "NXDOMAIN"
            } else if error.is_no_records_found() {
                "NOERROR, no such record"
            } else {
                "no answer"
            };
            println!("{code}: {error}");
            Ok(false)
        }
    }
}
