//! The files of the public listener's certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::mistakes::{ConfigErrors, Mistake, Mistakes};

/// The PEM files of a certificate and its private key.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Checks the files of the certificate; `None` without a certificate, or after a mistake.
pub(super) fn certificate_files(
    m: &mut Mistakes,
    certificate: Option<&Path>,
    key: Option<&Path>,
) -> Option<CertificateFiles> {
    let files = match (certificate, key) {
        (Some(certificate), Some(key)) => CertificateFiles {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        },
        (None, None) => return None,
        (Some(_), None) => {
            m.add("--tls-key", "required with --tls-cert");
            return None;
        }
        (None, Some(_)) => {
            m.add("--tls-cert", "required with --tls-key");
            return None;
        }
    };
    match load_certificate(&files) {
        Ok(_) => Some(files),
        Err(ConfigErrors(mistakes)) => {
            m.0.extend(mistakes);
            None
        }
    }
}

/// Reads a certificate with its key.
///
/// # Errors
/// [`ConfigErrors`] by option.
pub fn load_certificate(files: &CertificateFiles) -> Result<Arc<CertifiedKey>, ConfigErrors> {
    let mistake = |option, right| Mistake { option, right };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| mistake("--tls-cert", format!("a PEM file with certificates: {e}")));
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|e| mistake("--tls-key", format!("a PEM file with a private key: {e}")));
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => {
            let mistakes = chain.err().into_iter().chain(key.err());
            return Err(ConfigErrors(mistakes.collect()));
        }
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider)
        .map(Arc::new)
        .map_err(|e| {
            let right = format!("a certificate that fits the key: {e}");
            ConfigErrors(vec![mistake("--tls-cert", right)])
        })
}
