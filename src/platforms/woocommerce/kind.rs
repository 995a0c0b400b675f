//! The values that an operator enters to connect a WooCommerce store, and the check of their form.
//!
//! No request to the store is made.

use std::collections::HashSet;

use crate::platforms::kind::{ConnectionKind, Field, FieldRole};

/// The kinds of connection: a store.
pub(super) const KINDS: &[ConnectionKind] = &[ConnectionKind {
    name: "woocommerce",
    about: "A WooCommerce store",
    receives_webhooks: true,
    identified_by: &["rest_root", "url"],
    registers_webhooks: true,
    can_be_polled: true,
    fields: &[
        Field {
            name: "url",
            value: "URL",
            help: "The store's address, as in \"https://shop.example\"",
            required: true,
            role: FieldRole::Setting,
            check: store_url,
        },
        Field {
            name: "consumer-key",
            value: "KEY",
            help: "REST API key (ck_…) with read and write permission, to register webhooks and to read what they did not report. For --follow, read permission is enough",
            required: false,
            role: FieldRole::Credential,
            check: consumer_key,
        },
        Field {
            name: "consumer-secret",
            value: "SECRET",
            help: "The REST API key's secret (cs_…)",
            required: false,
            role: FieldRole::Credential,
            check: consumer_secret,
        },
        Field {
            name: "webhook-secret",
            value: "SECRET",
            help: "The webhooks' secret; without it one is made and shown once",
            required: false,
            role: FieldRole::GeneratedVerificationKey,
            check: webhook_secret,
        },
    ],
    next_step: "In the store, open WooCommerce > Settings > Advanced > Webhooks and add one webhook for each topic that you want \
                (Order, Product, Customer and Coupon, each created, updated, deleted and restored): Status \"Active\", Delivery URL \
                {url}, Secret the webhook secret, API version \"WP REST API Integration v3\". The URL must be reachable from the \
                internet on port 80, 443 or 8080.",
}];

/// Reduces a store's address to the part from which the address of its REST API is made.
fn store_url(typed: &str) -> Result<String, String> {
    let wrong = |what: &str| {
        format!("{what}; a store's URL looks like https://shop.example or https://example.com/shop")
    };
    let typed = typed.trim();
    let (scheme, rest) = typed.split_once("://").unwrap_or(("https", typed));
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "https" && scheme != "http" {
        return Err(wrong("a store is reached by https or http"));
    }
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(wrong(
            "a user name or password does not belong into the URL",
        ));
    }
    if !is_authority(authority) {
        return Err(wrong("there is no host in it"));
    }
    if path.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(wrong("there is white space in it"));
    }
    // What people copy is a page of the shop's administration or its REST API.
    let own = |segment: &&str| {
        !matches!(
            *segment,
            "wp-admin" | "wp-login.php" | "wp-json" | "index.php"
        )
    };
    let path: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .take_while(own)
        .collect();
    let slash = if path.is_empty() { "" } else { "/" };
    Ok(format!(
        "{scheme}://{}{slash}{}",
        authority.to_lowercase(),
        path.join("/")
    ))
}

/// Is this `host` or `host:port`?
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, port)) => (address, Some(port.strip_prefix(':').unwrap_or("?"))),
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let host_fits = if text.starts_with('[') {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        let label = |label: &str| {
            !label.is_empty()
                && label
                    .chars()
                    .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        };
        host.strip_suffix('.').unwrap_or(host).split('.').all(label)
    };
    host_fits
        && port.is_none_or(|port| {
            port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p != 0)
        })
}

fn consumer_key(typed: &str) -> Result<String, String> {
    rest_key(typed, "ck_", "a consumer key")
}

fn consumer_secret(typed: &str) -> Result<String, String> {
    rest_key(typed, "cs_", "a consumer secret")
}

/// Checks one half of a REST API key. The message never repeats what was typed.
fn rest_key(typed: &str, prefix: &str, what: &str) -> Result<String, String> {
    let key = typed.trim();
    let fits = key
        .strip_prefix(prefix)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric()));
    if fits {
        return Ok(key.to_owned());
    }
    let other = if prefix == "ck_" { "cs_" } else { "ck_" };
    if key.starts_with(other) {
        return Err(format!(
            "this begins with {other}, but {what} begins with {prefix}: the two halves were swapped"
        ));
    }
    Err(format!(
        "{what} begins with {prefix} and goes on with letters and digits; it is shown once when a key is added under \
         WooCommerce > Settings > Advanced > REST API"
    ))
}

/// The fewest characters of a webhook's secret. A shorter one can be guessed from one signed delivery. WooCommerce itself
/// makes 50 characters; what merchants type by hand has eight or more nearly always.
const MIN_SECRET_CHARS: usize = 8;
/// The fewest different characters of a webhook's secret.
const MIN_DISTINCT_CHARS: usize = 4;

/// White space can be part of a secret, so nothing is tidied.
fn webhook_secret(typed: &str) -> Result<String, String> {
    let count = typed.chars().count();
    let distinct = typed.chars().collect::<HashSet<_>>().len();
    let right = "leave it out and cartwire makes one of 48 characters";
    if count == 0 {
        Err("the webhook's secret is empty".to_owned())
    } else if count < MIN_SECRET_CHARS {
        Err(format!(
            "a webhook's secret of {count} characters can be guessed: use {MIN_SECRET_CHARS} or more, or {right}"
        ))
    } else if distinct < MIN_DISTINCT_CHARS {
        Err(format!(
            "a webhook's secret of {distinct} different characters can be guessed: use others, or {right}"
        ))
    } else {
        Ok(typed.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_secret_that_can_be_guessed_is_refused() {
        for weak in ["", "x", "secret", "aaaaaaaaaaaaaaaa", "1212121212"] {
            assert!(webhook_secret(weak).is_err(), "{weak:?}");
        }
        for good in ["shop-2024", " pass word ", "dQw4w9WgXcQ"] {
            assert_eq!(webhook_secret(good).as_deref(), Ok(good));
        }
    }

    #[test]
    fn store_is_found_by_any_url_of_its_pages() {
        for (typed, tidy) in [
            ("https://shop.example", "https://shop.example"),
            (" https://Shop.Example/ \n", "https://shop.example"),
            ("shop.example", "https://shop.example"),
            ("shop.example:8443/", "https://shop.example:8443"),
            ("HTTP://shop.example/Store//", "http://shop.example/Store"),
            (
                "https://shop.example/a/wp-admin/admin.php?page=wc-settings",
                "https://shop.example/a",
            ),
            ("https://shop.example/wp-login.php", "https://shop.example"),
            (
                "https://shop.example/wp-json/wc/v3/",
                "https://shop.example",
            ),
            ("https://shop.example?x=1#y", "https://shop.example"),
            ("https://bücher.example", "https://bücher.example"),
            ("http://127.0.0.1:8711", "http://127.0.0.1:8711"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ] {
            assert_eq!(store_url(typed).as_deref(), Ok(tidy), "{typed}");
        }
        for bad in [
            "",
            " ",
            "https://",
            "ftp://shop.example",
            "https:///x",
            "https://u:p@shop.example",
            "https://shop example",
            "a b",
            "https://shop.example:0",
            "https://shop.example:99999",
            "https://shop.example:",
            "https://[::1",
            "https://..",
            "/shop",
            "https://shop.example/a b",
        ] {
            let error = store_url(bad).expect_err(bad);
            assert!(error.contains("https://shop.example"), "{error}");
        }
    }

    #[test]
    fn the_two_halves_of_a_rest_key_are_not_mistaken() {
        assert_eq!(consumer_key(" ck_0a1b\n").as_deref(), Ok("ck_0a1b"));
        assert_eq!(consumer_secret("cs_0a1b").as_deref(), Ok("cs_0a1b"));
        for bad in ["cs_0a1b", "0a1b", "ck_", "ck_0 1", ""] {
            let error = consumer_key(bad).expect_err(bad);
            assert!(bad.len() < 4 || !error.contains(bad), "{error}");
        }
        assert!(
            consumer_key("cs_0a1b")
                .expect_err("swapped")
                .contains("swapped")
        );
        assert!(
            consumer_secret("ck_0a1b")
                .expect_err("swapped")
                .contains("swapped")
        );
    }

    #[test]
    fn secrets_are_fields_that_are_sealed() {
        let secret: Vec<_> = KINDS[0]
            .fields
            .iter()
            .filter(|field| field.is_secret())
            .map(|field| field.name)
            .collect();
        assert_eq!(
            secret,
            ["consumer-key", "consumer-secret", "webhook-secret"]
        );
        assert!(KINDS[0].next_step.contains("{url}"));
    }
}
