//! Which network addresses are private, and which are public.
//!
//! An address is private if it has a meaning in a local network only. Some addresses are neither private nor public, for
//! example those that are reserved for documentation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// The last labels of host names that have a meaning in a local network only.
const PRIVATE_SUFFIXES: [&str; 5] = ["localhost", "local", "internal", "lan", "home.arpa"];

/// `true` if the URL's host is private, as far as its text shows. A host name is not resolved.
#[must_use]
pub fn is_private_url(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_private(address.into()),
        Some(Host::Ipv6(address)) => is_private(address.into()),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            let has_suffix = |suffix: &str| name.ends_with(&format!(".{suffix}"));
            !name.contains('.') || PRIVATE_SUFFIXES.into_iter().any(has_suffix)
        }
        None => false,
    }
}

/// `true` for an address that has a meaning in a local network only.
#[must_use]
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_private_v4(mapped),
            None => {
                address.is_loopback()
                    || address.is_unspecified()
                    || address.is_unique_local()
                    || address.is_unicast_link_local()
            }
        },
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    matches!(a, 0 | 10 | 127)
        // Shared by the customers of a provider (RFC 6598).
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
}

/// `true` for an address of the public internet, `false` for special-purpose addresses (RFC 6890 and its registries).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_reserved = a >= 224
        || (a == 192 && b == 0 && matches!(c, 0 | 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && matches!(b, 18 | 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113)
        // A public address by its number, but an internal service of Azure ("WireServer").
        || address == Ipv4Addr::new(168, 63, 129, 16);
    !is_reserved && !is_private_v4(address)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [.., high, low] = segments;
    let embedded = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        // Addresses that contain an IPv4 address: mapped, translated (NAT64), tunnelled (6to4).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            is_public_v4(embedded(high, low))
        }
        [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),
        // Reserved for protocols and documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rustfmt::skip]
    const PRIVATE: [&str; 16] = [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.8.8.8", "169.254.169.254", "172.16.0.1",
        "172.31.255.255", "192.168.1.1", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fc00::1",
        "fd00:ec2::254", "fe80::1",
    ];

    #[rustfmt::skip]
    const RESERVED: [&str; 24] = [
        "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "168.63.129.16", "192.88.99.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
        "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "fec0::1",
        "ff02::1", "3fff::1", "5f00::1", "::ffff:192.0.2.1",
    ];

    #[rustfmt::skip]
    const PUBLIC: [&str; 16] = [
        "1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1",
        "192.169.0.1", "198.20.0.1", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450::1",
        "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "2001:4860:4860::8888",
    ];

    #[test]
    fn an_address_is_private_public_or_neither() {
        let kinds = |text: &str| {
            let address: IpAddr = text.parse().expect("an address");
            (is_private(address), is_public(address))
        };
        for private in PRIVATE {
            assert_eq!(kinds(private), (true, false), "{private}");
        }
        for reserved in RESERVED {
            assert_eq!(kinds(reserved), (false, false), "{reserved}");
        }
        for public in PUBLIC {
            assert_eq!(kinds(public), (false, true), "{public}");
        }
    }

    #[test]
    fn a_private_url_is_known_by_its_host() {
        let is_private = |url: &str| is_private_url(&Url::parse(url).expect("a url"));
        for private in [
            "http://127.0.0.1:8080",
            "https://localhost",
            "http://192.168.1.5",
            "http://[::1]:8080",
            "http://nas.local",
            "http://gateway",
        ] {
            assert!(is_private(private), "{private}");
        }
        for public in [
            "https://hooks.example.com",
            "http://203.0.113.7:8080",
            "https://[2001:db8::1]",
        ] {
            assert!(!is_private(public), "{public}");
        }
    }
}
