//! One-legged OAuth 1.0a: signs a request with a key and a secret, without a token (RFC 5849).
//!
//! The parameters are sent in the `Authorization` header, or in the query for servers that drop that header. With the query
//! form the consumer key, the nonce and the signature may appear in access logs, but never the consumer secret. The time
//! and the nonce are arguments.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The bytes that are percent-encoded: all except letters, digits and `-._~`.
const ENCODED_BYTES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where the OAuth parameters are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In the `Authorization` header.
    Header,
    /// In the query.
    Query,
}

/// Credentials that sign requests.
#[derive(Clone, Debug)]
pub struct OAuth1 {
    pub placement: Placement,
    pub key: SecretString,
    pub secret: SecretString,
    /// The URL that the server signs, with the query, if it differs from the called URL. Behind a proxy that terminates TLS
    /// the server's own URL begins with `http`.
    pub address: Option<String>,
}

impl OAuth1 {
    /// The value of the `Authorization` header.
    #[must_use]
    pub fn header(&self, method: &str, url: &str, nonce: &str, now: Timestamp) -> String {
        let members: Vec<String> = self
            .members(method, url, nonce, now)
            .into_iter()
            .map(|(name, value)| format!("{name}=\"{}\"", encode(value.as_bytes())))
            .collect();
        format!("OAuth {}", members.join(", "))
    }

    /// The URL with the OAuth parameters in its query.
    #[must_use]
    pub fn signed_url(&self, method: &str, url: &str, nonce: &str, now: Timestamp) -> String {
        let members: Vec<String> = self
            .members(method, url, nonce, now)
            .into_iter()
            .map(|(name, value)| format!("{name}={}", encode(value.as_bytes())))
            .collect();
        let (address, query) = split(url);
        let separator = if query.is_empty() { "" } else { "&" };
        format!("{address}?{query}{separator}{}", members.join("&"))
    }

    /// The OAuth parameters, the signature last.
    fn members(
        &self,
        method: &str,
        url: &str,
        nonce: &str,
        now: Timestamp,
    ) -> Vec<(&'static str, String)> {
        let own = [
            ("oauth_consumer_key", self.key.expose_secret().to_owned()),
            ("oauth_nonce", nonce.to_owned()),
            ("oauth_signature_method", "HMAC-SHA256".to_owned()),
            ("oauth_timestamp", now.as_second().to_string()),
        ];
        // The server signs its own URL without normalizing it, so the URL is used unchanged.
        let address = self.address.clone().unwrap_or_else(|| plain_address(url));
        let (address, query) = split(&address);
        let mut members: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(encoded_pair)
            .collect();
        members.extend(
            own.iter()
                .map(|(name, value)| ((*name).to_owned(), encode(value.as_bytes()))),
        );
        members.sort();
        let members: Vec<String> = members
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let text = format!(
            "{}&{}&{}",
            method.to_ascii_uppercase(),
            encode(address.as_bytes()),
            encode(members.join("&").as_bytes())
        );
        let key = format!("{}&", encode(self.secret.expose_secret().as_bytes()));
        let signature = sign(key.as_bytes(), text.as_bytes());
        let mut members = Vec::from(own);
        members.push(("oauth_signature", signature));
        members
    }
}

/// HMAC-SHA-256 in Base64. Keys of every length are valid, so this never fails.
fn sign(key: &[u8], text: &[u8]) -> String {
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mac| STANDARD.encode(mac.chain_update(text).finalize().into_bytes()))
        .unwrap_or_default()
}

/// The URL without its query, and the query.
fn split(url: &str) -> (&str, &str) {
    let url = url.split('#').next().unwrap_or_default();
    url.split_once('?').unwrap_or((url, ""))
}

/// Scheme and host in lower case, without the default port (RFC 5849, section 3.4.1.2).
fn plain_address(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let authority = authority.to_ascii_lowercase();
    let port = if scheme == "https" { ":443" } else { ":80" };
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!(
        "{scheme}://{}{slash}{path}",
        authority.strip_suffix(port).unwrap_or(&authority)
    )
}

/// A query parameter, decoded and encoded again by the rules of the signature base string.
fn encoded_pair(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (encode(&decode(name)), encode(&decode(value)))
}

/// Percent-encodes all bytes except letters, digits and `-._~`, with upper-case digits (section 3.6).
fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, ENCODED_BYTES).to_string()
}

/// Percent-decodes a part of a query; `+` is a space.
fn decode(text: &str) -> Vec<u8> {
    percent_decode_str(&text.replace('+', " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(secret: &str, address: Option<&str>) -> OAuth1 {
        OAuth1 {
            placement: Placement::Header,
            key: format!("ck_{}", "a".repeat(40)).into(),
            secret: secret.into(),
            address: address.map(str::to_owned),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn signature(header: &str) -> &str {
        header
            .split("oauth_signature=\"")
            .nth(1)
            .and_then(|rest| rest.strip_suffix('"'))
            .expect("a signature")
    }

    const URL: &str = "https://shop.example/wp-json/wc/v3/orders";

    #[test]
    fn query_and_header_have_the_same_signature() {
        let signer = OAuth1 {
            placement: Placement::Query,
            key: format!("ck_{}", "a".repeat(40)).into(),
            secret: "cs_b".into(),
            address: None,
        };
        let now = Timestamp::from_second(1).expect("a time");
        for (url, start) in [
            (URL.to_owned(), format!("{URL}?oauth_consumer_key=ck_")),
            (
                format!("{URL}?a=b"),
                format!("{URL}?a=b&oauth_consumer_key=ck_"),
            ),
        ] {
            let in_query = signer.signed_url("GET", &url, "n", now);
            assert!(in_query.starts_with(&start), "{in_query}");
            let in_header = signer.header("GET", &url, "n", now);
            assert!(in_query.ends_with(&format!("oauth_signature={}", signature(&in_header))));
            assert!(!in_query.contains("cs_b"));
        }
    }

    fn signed(url: &str) -> String {
        signature(&signer("cs_b", None).header("GET", url, "n", at(1))).to_owned()
    }

    #[test]
    fn signatures_match_those_that_a_real_store_accepted() {
        let secret = format!("cs_{}", "a".repeat(40));
        let orders = "http://127.0.0.1:8711/wp-json/wc/v3/orders";
        for (query, nonce, taken) in [
            (
                "per_page=1",
                "a950b23f98d12ec4dbea2c1d403bd209",
                "juLDU0tJuX3J7ANkoQrZSZzu1Fo1qScjoXhWQb%2F1MP8%3D",
            ),
            (
                "status[0]=completed&per_page=1",
                "3336ecd1af802717a56fa532b0a4439a",
                "dLjA4EMIgqSODLzMrGmGzc46QDkkwffs1mX8YeZpoEU%3D",
            ),
        ] {
            let url = format!("{orders}?{query}");
            let header = signer(&secret, None).header("GET", &url, nonce, at(1_795_221_027));
            assert_eq!(signature(&header), taken, "{query}");
        }
    }

    #[test]
    fn the_header_contains_all_signed_parameters_except_the_query() {
        let header = signer("cs_b", None).header("GET", URL, "n/1", at(1_700_000_000));
        let members = "oauth_nonce=\"n%2F1\", oauth_signature_method=\"HMAC-SHA256\", oauth_timestamp=\"1700000000\"";
        assert!(
            header.starts_with("OAuth oauth_consumer_key=\"ck_aaa") && header.contains(members),
            "{header}"
        );
        assert!(!header.contains("cs_b"));
    }

    #[test]
    fn equivalent_urls_have_the_same_signature() {
        let same = signed(
            "https://shop.example/wp-json/wc/v3/orders?include%5B%5D=1&include[]=2&a=x%20y&a=B",
        );
        for url in [
            "HTTPS://Shop.Example:443/wp-json/wc/v3/orders?include%5B%5D=1&include[]=2&a=x%20y&a=B",
            "https://shop.example/wp-json/wc/v3/orders?a=B&a=x+y&include[]=2&include%5b%5d=1#f",
        ] {
            assert_eq!(signed(url), same, "{url}");
        }
        assert_eq!(
            signed("https://shop.example"),
            signed("https://shop.example/")
        );
        for other in [
            "https://shop.example:8443/",
            "http://shop.example/",
            "https://shop.example/?",
            "https://shop.example/?a",
        ] {
            assert_eq!(
                signed(other) == signed("https://shop.example/"),
                other.ends_with("/?"),
                "{other}"
            );
        }
    }

    #[test]
    fn the_base_string_matches_the_example_of_the_rfc() {
        // Section 3.4.1.3.1: names without values, doubled names, encoded and plain reserved characters.
        let url = "http://example.com/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b";
        let text = "GET&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26\
                    oauth_consumer_key%3Dck_";
        let text = format!(
            "{text}{}%26oauth_nonce%3Dn%26oauth_signature_method%3DHMAC-SHA256%26oauth_timestamp%3D1",
            "a".repeat(40)
        );
        assert_eq!(
            signed(url),
            encode(sign(b"cs_b&", text.as_bytes()).as_bytes())
        );
    }

    #[test]
    fn the_method_and_the_store_s_own_address_are_signed() {
        let own = "http://shop.example/wp-json/wc/v3/orders";
        assert_eq!(
            signature(&signer("cs_b", Some(own)).header("get", URL, "n", at(1))),
            signed(own)
        );
        assert_ne!(
            signature(&signer("cs_b", None).header("POST", URL, "n", at(1))),
            signed(URL)
        );
    }

    #[test]
    fn invalid_escapes_are_signed_unchanged() {
        assert_eq!(decode("%"), b"%");
        assert_eq!(decode("%4"), b"%4");
        assert_eq!(decode("%zz+%41"), b"%zz A");
        assert_eq!(decode("%é"), "%é".as_bytes());
    }
}
