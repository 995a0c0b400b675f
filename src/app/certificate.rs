//! The certificate of the public listener, which can be reloaded while the gateway runs.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::{CertificateFiles, ConfigErrors, load_certificate};

/// A certificate with its key, and the files that they are read from. Clones share the certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    files: CertificateFiles,
    current: Arc<CurrentCertificate>,
}

#[derive(Debug)]
struct CurrentCertificate(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// [`ConfigErrors`] by option.
    pub fn load(files: CertificateFiles) -> Result<Self, ConfigErrors> {
        let current = RwLock::new(load_certificate(&files)?);
        Ok(Self {
            files,
            current: Arc::new(CurrentCertificate(current)),
        })
    }

    /// Reads the files again. New connections get the new certificate. After an error the old one stays in use.
    ///
    /// # Errors
    /// [`ConfigErrors`] by option.
    pub fn reload(&self) -> Result<(), ConfigErrors> {
        let fresh = load_certificate(&self.files)?;
        let current = &self.current.0;
        *current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The TLS configuration of the public listener. It offers only HTTP/1.1, because one connection of HTTP/2 could hold any
    /// number of bodies.
    pub(super) fn server_config(&self) -> Option<Arc<rustls::ServerConfig>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .ok()?;
        let mut config = builder
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Some(Arc::new(config))
    }
}
