//! Certificates, and backends that show them.

use super::{backend, http2};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
    server::TlsStream,
};

/// Who signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// What a backend of this name shows, offering these protocols.
    pub fn sign(&self, name: &str, protocols: &[&str]) -> TlsAcceptor {
        self.sign_by(CertificateParams::new(vec![name.into()]).unwrap(), protocols)
    }

    /// The same, but it was valid long ago.
    pub fn sign_expired(&self, name: &str) -> TlsAcceptor {
        let mut params = CertificateParams::new(vec![name.into()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
        self.sign_by(params, &[])
    }

    fn sign_by(&self, params: CertificateParams, protocols: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A backend over TLS that speaks HTTP/2 where that was agreed on, else HTTP/1; it answers with the protocol's name and
/// the server name that it was called by.
pub async fn backend(acceptor: TlsAcceptor) -> backend::Backend {
    backend::Backend::connections(move |stream, _, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            serve(stream).await;
        }
    })
    .await
}

async fn serve(mut stream: TlsStream<TcpStream>) {
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(b"h2");
    let name = session.server_name().unwrap_or("none").to_owned();
    if http2 {
        let settings = h2::server::Builder::new();
        let serve = move |stream: http2::Stream| {
            let body = format!("h2 {} {name}", stream.request.uri.scheme_str().unwrap_or("none"));
            async move { stream.answer(body.as_bytes()).await }
        };
        return http2::drive(stream, &settings, serve, &std::sync::Mutex::default()).await;
    }
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut head)).unwrap().to_ascii_lowercase();
        if text.contains("upgrade: websocket") {
            let agreed = b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
            stream.write_all(agreed).await.unwrap();
            let (mut from, mut to) = tokio::io::split(stream);
            let _ = tokio::io::copy(&mut from, &mut to).await; // until the client goes
            return;
        }
        if stream.write_all(&backend::ok(format!("http/1.1 {name}").as_bytes())).await.is_err() {
            return;
        }
    }
}
