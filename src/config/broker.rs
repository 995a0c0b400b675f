//! The broker's options: addresses, TLS files and topology.

use std::path::Path;
use std::str::FromStr;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};

use super::args::ServeArgs;
use super::mistakes::Mistakes;
use crate::publisher::session::{Address, Endpoints, TlsFiles};
use crate::publisher::topology::{Queue, Topology, TopologyMode};

/// The broker and its topology.
#[derive(Clone)]
pub struct Broker {
    /// Its addresses, with the login.
    pub endpoints: Endpoints,
    /// The exchange and the queues.
    pub topology: Topology,
}

/// Reads the broker's options. `None` without an address, or after a mistake.
pub(super) fn broker(m: &mut Mistakes, args: &ServeArgs) -> Option<Broker> {
    let mode = m.take("--topology", TopologyMode::from_str(&args.topology));
    if args.exchange.is_empty() || args.exchange.len() > 127 {
        m.add("--exchange", "a name of 1 to 127 characters");
    }
    let default = ["cartwire.events=#".to_owned()];
    let typed = if args.queues.iter().all(String::is_empty) {
        &default[..]
    } else {
        &args.queues
    };
    let queues: Vec<Queue> = typed
        .iter()
        .filter_map(|queue| m.take("--queue", Queue::from_str(queue)))
        .collect();
    let tls = tls(m, args);
    let lists: Vec<&str> = args
        .amqp_urls
        .iter()
        .map(ExposeSecret::expose_secret)
        .collect();
    let typed = SecretString::from(lists.join("\n"));
    let list = m.secret(
        "--amqp-url",
        Some(&typed).filter(|_| lists.iter().any(|list| !list.trim().is_empty())),
        "--amqp-url-file",
        args.amqp_url_file.as_deref(),
    )?;
    let addresses = addresses(m, list.expose_secret())?;
    if (tls.authority.is_some() || tls.identity.is_some()) && !addresses.iter().any(Address::is_tls)
    {
        m.add(
            "--amqp-url",
            "amqps:// with --amqp-ca-file or --amqp-client-cert-file",
        );
    }
    Some(Broker {
        endpoints: Endpoints::new(addresses, tls),
        topology: Topology {
            exchange: args.exchange.clone(),
            queues,
            mode: mode?,
            obsolete: Vec::new(),
        },
    })
}

fn addresses(m: &mut Mistakes, list: &str) -> Option<Vec<Address>> {
    // The parsers' own messages may repeat the URL, and with it the password.
    let right = "amqp://user:password@host:5672/vhost, or amqps:// for TLS, several separated by commas; special characters percent-encoded, %2f for the vhost /";
    let parts = Address::split(list);
    let addresses: Option<Vec<Address>> = parts.iter().map(|part| Address::parse(part)).collect();
    match addresses {
        Some(addresses) if !addresses.is_empty() => Some(addresses),
        _ => {
            m.add("--amqp-url", right);
            None
        }
    }
}

/// Reads the files once, so that a mistake in them shows at the start. Each connect reads them again.
fn tls(m: &mut Mistakes, args: &ServeArgs) -> TlsFiles {
    let file = |path: &Option<std::path::PathBuf>| match path {
        Some(path) if !path.as_os_str().is_empty() => Some(path.clone()),
        _ => None,
    };
    let authority = file(&args.amqp_ca_file);
    if let Some(path) = &authority {
        m.take("--amqp-ca-file", certificates(path));
    }
    let certificate = file(&args.amqp_client_cert_file);
    let key = file(&args.amqp_client_key_file);
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => {
            let chain = m.take("--amqp-client-cert-file", certificates(&certificate));
            let private = m.take("--amqp-client-key-file", private_key(&key));
            if let (Some(chain), Some(private)) = (chain, private) {
                m.take("--amqp-client-key-file", fits(chain, private));
            }
            Some((certificate, key))
        }
        (None, None) => None,
        (Some(_), None) => {
            m.add(
                "--amqp-client-key-file",
                "required with --amqp-client-cert-file",
            );
            None
        }
        (None, Some(_)) => {
            m.add(
                "--amqp-client-cert-file",
                "required with --amqp-client-key-file",
            );
            None
        }
    };
    TlsFiles {
        authority,
        identity,
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |why: String| {
        format!(
            "a PEM file with certificates, not {}: {why}",
            path.display()
        )
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong("it holds none".to_owned()));
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        format!(
            "a PEM file with an unencrypted private key, not {}: {error}",
            path.display()
        )
    })
}

fn fits(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<(), String> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    rustls::sign::CertifiedKey::from_der(chain, key, &provider)
        .map(drop)
        .map_err(|error| format!("the private key of --amqp-client-cert-file: {error}"))
}
