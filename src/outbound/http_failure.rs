//! The classification of HTTP errors.

use std::error::Error;

use super::guard::{NoAddress, PrivateAddress};
use crate::platforms::api::{CallFailure, TlsFault};

/// Classifies the HTTP library's error. Its text is not used, because it contains the URL with the query.
pub(super) fn classify(error: &reqwest::Error) -> CallFailure {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(PrivateAddress(address)) = error.downcast_ref() {
            return CallFailure::AddressRefused(address.to_string());
        }
        if error.is::<NoAddress>() {
            return CallFailure::HostUnknown;
        }
        if let Some(tls) = tls(error) {
            return CallFailure::Tls(tls);
        }
        cause = error.source();
    }
    if error.is_timeout() {
        CallFailure::TimedOut
    } else if error.is_connect() {
        CallFailure::Unreachable
    } else {
        CallFailure::CutOff
    }
}

/// The TLS fault, if `error` is a TLS error.
fn tls(error: &(dyn Error + 'static)) -> Option<TlsFault> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(tls_fault(error));
    }
    let inner = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    tls(inner)
}

fn tls_fault(error: &rustls::Error) -> TlsFault {
    use rustls::CertificateError as Certificate;
    match error {
        rustls::Error::InvalidMessage(_) => TlsFault::NotTls,
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            Certificate::UnknownIssuer => TlsFault::Untrusted,
            Certificate::Expired | Certificate::ExpiredContext { .. } => TlsFault::Expired,
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                TlsFault::NotYetValid
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                TlsFault::OtherName
            }
            // The library has no variant for this fault, only the text of another error.
            Certificate::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                TlsFault::OwnAuthority
            }
            _ => TlsFault::Other(error.to_string()),
        },
        _ => TlsFault::Other(error.to_string()),
    }
}
