//! The public listener's certificate, which can be read again while the gateway serves.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::mistakes::Mistake;

/// A certificate with its key, and the files that they are read from. Clones share the certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    cert_file: PathBuf,
    key_file: PathBuf,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// The mistakes, by option.
    pub(super) fn read(cert_file: PathBuf, key_file: PathBuf) -> Result<Self, Vec<Mistake>> {
        let current = Arc::new(Current(RwLock::new(load(&cert_file, &key_file)?)));
        Ok(Self {
            cert_file,
            key_file,
            current,
        })
    }

    /// Reads the files again. New connections get the new certificate; a mistake leaves the old one in use.
    ///
    /// # Errors
    /// The mistakes, by option.
    pub fn reload(&self) -> Result<(), Vec<Mistake>> {
        let fresh = load(&self.cert_file, &self.key_file)?;
        *self
            .current
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// How the public listener speaks TLS. Only HTTP/1.1: a connection of HTTP/2 would hold as many bodies as it likes.
    #[must_use]
    pub fn server_config(&self) -> Option<Arc<rustls::ServerConfig>> {
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

fn load(cert: &PathBuf, key: &PathBuf) -> Result<Arc<CertifiedKey>, Vec<Mistake>> {
    let mistake = |option, right| Mistake { option, right };
    let chain =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain =
        chain.map_err(|e| mistake("--tls-cert", format!("a PEM file with certificates: {e}")));
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|e| mistake("--tls-key", format!("a PEM file with a private key: {e}")));
    match (chain, key) {
        (Ok(chain), Ok(key)) => {
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            let certified = CertifiedKey::from_der(chain, key, &provider);
            certified.map(Arc::new).map_err(|e| {
                vec![mistake(
                    "--tls-cert",
                    format!("a certificate that fits the key: {e}"),
                )]
            })
        }
        (chain, key) => Err(chain.err().into_iter().chain(key.err()).collect()),
    }
}
