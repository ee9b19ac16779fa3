//! Looks up names by the pod's own resolver settings, without the C library, which a static program cannot use for it.
//!
//! In: a name. Out: addresses, or the answer printed.

use crate::arguments::{Record, Resolve};
use anyhow::{Context, Result};
use hickory_resolver::{
    TokioResolver,
    net::{DnsError, NetError, NoRecords},
    proto::{op::ResponseCode, rr::RecordType},
};
use hyper_util::client::legacy::connect::dns::Name;
use std::{
    net::{IpAddr, SocketAddr},
    task::{self, Poll},
    vec,
};
use tonic::codegen::{BoxFuture, Service};

/// A resolver by /etc/resolv.conf, search domains and `ndots` included.
pub fn resolver() -> Result<TokioResolver> {
    let builder = TokioResolver::builder_tokio().context("/etc/resolv.conf cannot be used")?;
    builder.build().context("no resolver")
}

/// Where HOST:PORT leads.
pub async fn place(host: &str, port: u16, resolver: Option<&TokioResolver>) -> Result<SocketAddr> {
    if let Some(address) = literal(host) {
        return Ok(SocketAddr::new(address, port));
    }
    let found = match resolver {
        Some(resolver) => resolver.lookup_ip(host).await,
        None => self::resolver()?.lookup_ip(host).await,
    };
    let found = found.with_context(|| format!("lookup of {host}"))?;
    let address = found.iter().next().with_context(|| format!("{host} has no address"))?;
    Ok(SocketAddr::new(address, port))
}

/// The look-up of a client that connects by itself; without a resolver where only addresses are called, which works
/// without any /etc/resolv.conf.
#[derive(Clone)]
pub struct Names(Option<TokioResolver>);

impl Names {
    /// For clients of `host`.
    pub fn of(host: &str) -> Result<Self> {
        Ok(Self(if literal(host).is_some() { None } else { Some(resolver()?) }))
    }

    /// What looks them up.
    pub fn resolver(&self) -> Option<&TokioResolver> {
        self.0.as_ref()
    }
}

impl Service<Name> for Names {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = anyhow::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.0.clone();
        Box::pin(async move {
            // The caller puts in the port.
            Ok(vec![place(name.as_str(), 0, resolver.as_ref()).await?].into_iter())
        })
    }
}

/// An address that stands where a name could.
pub fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
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
            println!("{}: {error}", code(&error));
            Ok(false)
        }
    }
}

/// The response code of an answer without records, as other tools for DNS write it.
fn code(error: &NetError) -> String {
    let code = match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => *response_code,
        NetError::Dns(DnsError::ResponseCode(code)) => *code,
        _ => return "no answer".to_owned(),
    };
    match code {
        ResponseCode::NoError => "NOERROR, no such record".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_needs_no_look_up() {
        for (host, is) in
            [("10.0.0.1", "10.0.0.1:80"), ("[fd00::1]", "[fd00::1]:80"), ("fd00::1", "[fd00::1]:80")]
        {
            assert_eq!(place(host, 80, None).await.unwrap().to_string(), is);
        }
        assert_eq!(literal("web.shop.mesh"), None);
    }

    #[test]
    fn an_answer_without_records_says_its_code() {
        let refused = NetError::from(DnsError::ResponseCode(ResponseCode::Refused));
        assert_eq!(code(&refused), "REFUSED");
        assert_eq!(code(&NetError::Timeout), "no answer");
    }
}
