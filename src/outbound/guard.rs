//! The address guard: a store's URL is untrusted and must not lead into the gateway's private network.
//!
//! The guard checks the addresses that are connected to: the address in the URL, and the addresses of a host name when the
//! client resolves it. A name therefore cannot change its address between the check and the call.

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

use crate::platforms::address::is_public;
use crate::platforms::api::CallFailure;

/// The rule for the addresses that may be called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    /// `true` if private addresses may be called too.
    pub(super) allow_private: bool,
}

/// The host name has no public address; with one of its addresses.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not a public address")]
pub(super) struct PrivateAddress(pub(super) IpAddr);

/// The host name has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name has no address")]
pub(super) struct NoAddress(#[source] Option<std::io::Error>);

impl Guard {
    /// Checks the address in a URL. Host names are checked when they are resolved.
    pub(super) fn check(self, url: &Url) -> Result<(), CallFailure> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(CallFailure::AddressInvalid),
        };
        if self.allows(address) {
            Ok(())
        } else {
            Err(CallFailure::AddressRefused(address.to_string()))
        }
    }

    fn allows(self, address: IpAddr) -> bool {
        self.allow_private || is_public(address)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0))
                .await
                .map_err(|error| NoAddress(Some(error)))?;
            let (allowed, refused): (Vec<SocketAddr>, Vec<SocketAddr>) =
                found.partition(|found| guard.allows(found.ip()));
            match (allowed.is_empty(), refused.first()) {
                (false, _) => Ok(Box::new(allowed.into_iter()) as Addrs),
                (true, Some(refused)) => Err(PrivateAddress(refused.ip()).into()),
                (true, None) => Err(NoAddress(None).into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_in_every_notation() {
        let guard = Guard {
            allow_private: false,
        };
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::1]:8080/",
            "http://[::ffff:169.254.169.254]/",
            "https://0/",
            "http://127.1/x",
        ] {
            let refused = guard.check(&Url::parse(url).expect("the URL should be valid"));
            assert!(
                matches!(refused, Err(CallFailure::AddressRefused(_))),
                "{url}"
            );
            assert!(
                Guard {
                    allow_private: true
                }
                .check(&Url::parse(url).expect("the URL should be valid"))
                .is_ok()
            );
        }
        assert!(
            guard
                .check(&Url::parse("https://shop.example/").expect("the URL should be valid"))
                .is_ok()
        );
        assert!(
            guard
                .check(&Url::parse("https://8.8.8.8/").expect("the URL should be valid"))
                .is_ok()
        );
    }
}
