//! TLS to endpoints, always verified.
//!
//! In: certificates to trust and the name that an endpoint must have. Out: what a connection is opened with.

use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::{fmt, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{self, ClientConfig, RootCertStore, crypto::ring},
};
use weft_contract::{ServiceKey, policy::UpstreamTls};

/// How endpoints are verified.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    /// Offers HTTP/1 alone.
    http1: TlsConnector,
    name: ServerName<'static>,
}

/// Why no endpoint can be verified.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to trust.
    #[error("there is no certificate to trust")]
    NoCa,
    /// The certificates cannot be read.
    #[error("the certificates to trust cannot be read: {0}")]
    Ca(String),
    /// The name is not one.
    #[error("{0:?} is not a server name")]
    Name(String),
    /// The library refused.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

// === impl Tls ===

impl Tls {
    /// Reads the settings of a Service.
    ///
    /// # Errors
    /// Where nothing could be verified with them.
    pub fn new(settings: &UpstreamTls, service: &ServiceKey) -> Result<Self, Error> {
        let UpstreamTls { ca, server_name } = settings;
        let text = ca.as_deref().ok_or(Error::NoCa)?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let certificate = certificate.map_err(|error| Error::Ca(error.to_string()))?;
            roots.add(certificate)?;
        }
        if roots.is_empty() {
            return Err(Error::NoCa);
        }
        let name =
            server_name.clone().unwrap_or_else(|| format!("{}.{}.svc", service.name, service.namespace));
        let name = ServerName::try_from(name.clone()).map_err(|_| Error::Name(name))?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = TlsConnector::from(Arc::new(config.clone()));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), http1, name })
    }

    /// Begins TLS, offering HTTP/2 and HTTP/1, or HTTP/1 alone.
    pub(crate) fn connect(&self, tcp: TcpStream, http1: bool) -> tokio_rustls::Connect<TcpStream> {
        let connector = if http1 { &self.http1 } else { &self.connector };
        connector.connect(self.name.clone(), tcp)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}
