//! The sorts of connection: an app, whose webhooks bring every site that installs it, and a site that is asked by API key.
//!
//! Only what an operator types is checked here; whether the platform accepts it is found out by asking.

use super::key::{public_key, tried_private_key};
use crate::platforms::{ConnectionKind, Field, FieldRole};

pub(super) const KINDS: &[ConnectionKind] = &[
    ConnectionKind {
        name: "wix-app",
        about: "A Wix app; every site that installs it appears as a connection of its own",
        receives_webhooks: true,
        registers_webhooks: false,
        fields: &[
            Field {
                name: "app-id",
                value: "UUID",
                help: "the app's id, from its dashboard under \"View ID & keys\"",
                required: true,
                role: FieldRole::Setting,
                check: uuid,
            },
            Field {
                name: "public-key",
                value: "PEM",
                help: "the app's public key, from its dashboard under Webhooks, \"Get Public Key\"",
                required: true,
                role: FieldRole::VerificationKey,
                check: |text| public_key(text).map(|key| key.pem).map_err(|error| error.to_string()),
            },
            Field {
                name: "app-secret",
                value: "SECRET",
                help: "the app's secret key: with it, the store can be asked for what a webhook leaves out",
                required: false,
                role: FieldRole::Credential,
                check: secret,
            },
            Field {
                name: "signing-key",
                value: "PEM",
                help: "for tests only: the private key that belongs to the public one, so that `replay` can sign",
                required: false,
                role: FieldRole::Credential,
                check: |text| tried_private_key(text).map_err(|error| error.to_string()),
            },
        ],
        next_step: "In the app's dashboard, under Webhooks, subscribe to the events you want with the callback URL {url}",
    },
    ConnectionKind {
        name: "wix-site",
        about: "A Wix site by API key; kept, but not asked yet",
        receives_webhooks: false,
        registers_webhooks: false,
        fields: &[
            Field {
                name: "site-id",
                value: "UUID_OR_URL",
                help: "the site's id, or the address of its dashboard: https://manage.wix.com/dashboard/SITE_ID/home",
                required: true,
                role: FieldRole::Setting,
                check: site_id,
            },
            Field {
                name: "account-id",
                value: "UUID",
                help: "the account's id, shown where API keys are made: https://manage.wix.com/account/api-keys",
                required: true,
                role: FieldRole::Setting,
                check: uuid,
            },
            Field {
                name: "api-key",
                value: "KEY",
                help: "an API key of the account that owns the site",
                required: true,
                role: FieldRole::Credential,
                check: secret,
            },
        ],
        next_step: "The credentials are kept sealed. This version does not ask sites yet, so no events come of this connection so far",
    },
];

fn uuid(text: &str) -> Result<String, String> {
    let text = text.trim().trim_matches(['{', '}', '"', '\'']).trim();
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let fits = groups == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    if fits { Ok(text.to_ascii_lowercase()) } else { Err("this is no UUID like 5bc2062d-010b-448c-a62a-d6bb269c5a4c".to_owned()) }
}

fn site_id(text: &str) -> Result<String, String> {
    let text = text.trim();
    let id = match text.split_once("/dashboard/") {
        Some((_, rest)) => rest.split(['/', '?', '#']).next().unwrap_or_default(),
        None => text,
    };
    uuid(id).map_err(|_| {
        "this is neither a site's UUID nor the address of its dashboard like https://manage.wix.com/dashboard/SITE_ID/home"
            .to_owned()
    })
}

fn secret(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        Err("it is empty".to_owned())
    } else if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        Err("it contains white space: was more than the key copied?".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_named_by_its_id_or_its_dashboard() {
        let id = "64fc2d7e-1585-45ef-b1c3-6081185108c1";
        for given in [
            id.to_owned(),
            format!("  {}\n", id.to_uppercase()),
            format!("https://manage.wix.com/dashboard/{id}/home"),
            format!(" manage.wix.com/dashboard/{id}?ref=x "),
        ] {
            assert_eq!(site_id(&given).as_deref(), Ok(id), "{given}");
        }
        for bad in ["", "https://www.example.com", "https://manage.wix.com/dashboard/home", "64fc2d7e158545efb1c36081185108c1"] {
            assert!(site_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_trimmed_and_in_one_piece() {
        assert_eq!(secret(" abc\n").as_deref(), Ok("abc"));
        assert!(secret(" \n").is_err() && secret("a b").is_err());
    }
}
