//! Whom TLS trusts, and whom it shows itself to. The only module that configures rustls.

use std::fmt;
use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

/// The certificate authorities a client trusts, with its store of sessions to resume.
///
/// Providers with the same authorities share one, so a session made for one serves the others.
#[derive(Clone)]
pub struct Trust(pub(crate) Arc<Lazy>);

/// The configuration of a TLS client, made when the first connection needs it: a server that asks
/// nobody over TLS does not pay for it in memory and time to start.
pub(crate) struct Lazy {
    /// Certificates trusted besides the public roots.
    authorities: Vec<CertificateDer<'static>>,
    config: OnceLock<Arc<ClientConfig>>,
}

/// The certificate that this server shows.
#[derive(Clone)]
pub struct Identity(pub(crate) Arc<ServerConfig>);

/// Why certificates or keys are of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The text holds no certificate in PEM form.
    #[error("no certificate in PEM form found")]
    NoCertificate,
    /// The text holds no private key in PEM form.
    #[error("no private key in PEM form found")]
    NoKey,
    /// The text is not PEM.
    #[error("not PEM: {0}")]
    Pem(rustls::pki_types::pem::Error),
    /// The peer's name can stand in no certificate.
    #[error("the host is neither a name nor an address")]
    NoName,
    /// rustls finds fault with them.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

impl Trust {
    /// Trusts the roots of Mozilla's list, as they were when the program was built.
    #[must_use]
    pub fn public() -> Self {
        Self::besides(Vec::new())
    }

    /// Trusts these certificates, in PEM form, besides the public roots.
    ///
    /// # Errors
    ///
    /// No certificate in the text, or one that cannot be read.
    pub fn with_authorities(pem: &[u8]) -> Result<Self, TlsError> {
        let trust = Self::besides(certificates(pem)?);
        trust.config()?;
        Ok(trust)
    }

    fn besides(authorities: Vec<CertificateDer<'static>>) -> Self {
        Self(Arc::new(Lazy {
            authorities,
            config: OnceLock::new(),
        }))
    }

    /// The configuration, made by the first call.
    ///
    /// # Errors
    ///
    /// A certificate that is no authority's.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(config) = self.0.config.get() {
            return Ok(Arc::clone(config));
        }
        let mut roots = public_roots();
        for certificate in &self.0.authorities {
            roots.add(certificate.clone())?;
        }
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::clone(self.0.config.get_or_init(|| Arc::new(config))))
    }

    /// Puts TLS on a blocking socket, for programs without a reactor. The handshake takes place
    /// with the first write.
    ///
    /// # Errors
    ///
    /// A host that is neither a name nor an address.
    pub fn over<T: Read + Write>(
        &self,
        socket: T,
        host: &str,
    ) -> Result<impl Read + Write + use<T>, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::NoName)?;
        let client = ClientConnection::new(self.config()?, name)?;
        Ok(StreamOwned::new(client, socket))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

impl Identity {
    /// Takes a chain of certificates and its private key, both in PEM form.
    ///
    /// # Errors
    ///
    /// Either is missing or unreadable, or they do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => TlsError::NoKey,
            other => TlsError::Pem(other),
        })?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates(chain)?, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn public_roots() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(TlsError::Pem)?;
    if found.is_empty() {
        Err(TlsError::NoCertificate)
    } else {
        Ok(found)
    }
}
