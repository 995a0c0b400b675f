//! The kinds of connection: an app, which sends the webhooks of every site that installs the app, and a site with an API key.
//!
//! This module checks only the form of the values that an operator enters. `api::check` tries them at the platform.

use url::Url;

use super::key::{public_key, tried_private_key};
use crate::platforms::kind::{ConnectionKind, Field, FieldRole};

pub(super) const KINDS: &[ConnectionKind] = &[
    ConnectionKind {
        name: "wix-app",
        about: "A Wix app; every site that installs it appears as a connection of its own",
        receives_webhooks: true,
        identified_by: &["app_id"],
        registers_webhooks: false,
        can_be_polled: false,
        fields: &[
            Field {
                name: "app-id",
                value: "UUID",
                help: "The app's id, from its dashboard under \"View ID & keys\"",
                required: true,
                role: FieldRole::Setting,
                check: uuid,
            },
            Field {
                name: "public-key",
                value: "PEM",
                help: "The app's public key, from its dashboard under Webhooks, \"Get Public Key\"",
                required: true,
                role: FieldRole::VerificationKey,
                check: |text| {
                    public_key(text)
                        .map(|key| key.pem)
                        .map_err(|error| error.to_string())
                },
            },
            Field {
                name: "app-secret",
                value: "SECRET",
                help: "The app's secret key, to fetch the details that a webhook leaves out",
                required: false,
                role: FieldRole::Credential,
                check: secret,
            },
            Field {
                name: "signing-key",
                value: "PEM",
                help: "For tests only: the private key of the key pair, with which `replay` signs",
                required: false,
                role: FieldRole::Credential,
                check: |text| tried_private_key(text).map_err(|error| error.to_string()),
            },
            API_BASE,
        ],
        next_step: "In the app's dashboard, under Webhooks, subscribe to the events you want with the callback URL {url}",
    },
    ConnectionKind {
        name: "wix-site",
        about: "A Wix site by API key, followed by polling",
        receives_webhooks: false,
        identified_by: &["site_id"],
        registers_webhooks: false,
        can_be_polled: true,
        fields: &[
            Field {
                name: "site-id",
                value: "UUID_OR_URL",
                help: "The site's id, or the address of its dashboard: https://manage.wix.com/dashboard/SITE_ID/home",
                required: true,
                role: FieldRole::Setting,
                check: site_id,
            },
            Field {
                name: "account-id",
                value: "UUID",
                help: "The account's id, as shown at https://manage.wix.com/account/api-keys",
                required: true,
                role: FieldRole::Setting,
                check: account_id,
            },
            Field {
                name: "api-key",
                value: "KEY",
                help: "An API key of the account that owns the site",
                required: true,
                role: FieldRole::Credential,
                check: api_key,
            },
            API_BASE,
        ],
        next_step: "",
    },
];

const API_BASE: Field = Field {
    name: "api-base",
    value: "URL",
    help: "Base URL of the platform's API, for tests",
    required: false,
    role: FieldRole::Setting,
    check: api_base,
};

fn api_base(text: &str) -> Result<String, String> {
    let invalid = || "not an address such as http://127.0.0.1:8000".to_owned();
    let url = Url::parse(text.trim()).map_err(|_| invalid())?;
    let fits = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some()
        && url.username().is_empty();
    if !fits || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn uuid(text: &str) -> Result<String, String> {
    let text = text.trim().trim_matches(['{', '}', '"', '\'']).trim();
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let fits =
        groups == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    if fits {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("not a UUID like 5bc2062d-010b-448c-a62a-d6bb269c5a4c".to_owned())
    }
}

fn site_id(text: &str) -> Result<String, String> {
    let text = text.trim();
    let id = match text.split_once("/dashboard/") {
        Some((_, rest)) => rest.split(['/', '?', '#']).next().unwrap_or_default(),
        None => text,
    };
    uuid(id).map_err(|_| {
        "neither a site's UUID nor the address of its dashboard like https://manage.wix.com/dashboard/SITE_ID/home"
            .to_owned()
    })
}

fn account_id(text: &str) -> Result<String, String> {
    if text.contains("/dashboard/") {
        return Err("this is the address of a site's dashboard, which contains the site's id; the account's id is shown at \
                    https://manage.wix.com/account/api-keys"
            .to_owned());
    }
    uuid(text)
}

fn api_key(text: &str) -> Result<String, String> {
    let key = secret(text)?;
    if uuid(&key).is_ok() {
        return Err(
            "this is an id of an account or a site; an API key is much longer, and is shown once when it \
                    is created at https://manage.wix.com/account/api-keys"
                .to_owned(),
        );
    }
    if key.contains("://") {
        return Err(
            "this is an address; create an API key at https://manage.wix.com/account/api-keys"
                .to_owned(),
        );
    }
    Ok(key)
}

fn secret(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        Err("the value is empty".to_owned())
    } else if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        Err("the value contains white space; copy only the key".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn site_id_is_read_from_a_uuid_or_a_dashboard_url() {
        let id = "64fc2d7e-1585-45ef-b1c3-6081185108c1";
        for given in [
            id.to_owned(),
            format!("  {}\n", id.to_uppercase()),
            format!("https://manage.wix.com/dashboard/{id}/home"),
            format!(" manage.wix.com/dashboard/{id}?ref=x "),
        ] {
            assert_eq!(site_id(&given).as_deref(), Ok(id), "{given}");
        }
        for bad in [
            "",
            "https://www.example.com",
            "https://manage.wix.com/dashboard/home",
            "64fc2d7e158545efb1c36081185108c1",
        ] {
            assert!(site_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secret_is_trimmed_and_rejected_with_inner_white_space() {
        assert_eq!(secret(" abc\n").as_deref(), Ok("abc"));
        assert!(secret(" \n").is_err() && secret("a b").is_err());
    }

    #[test]
    fn swapped_ids_and_keys_are_rejected_with_an_explanation() {
        let id = "64fc2d7e-1585-45ef-b1c3-6081185108c1";
        assert!(api_key(id).is_err_and(|error| error.contains("this is an id")));
        assert!(
            api_key("https://manage.wix.com/account/api-keys")
                .is_err_and(|error| error.contains("an address"))
        );
        assert_eq!(api_key(" IST.a.b-c-d-e\n").as_deref(), Ok("IST.a.b-c-d-e"));
        let dashboard = format!("https://manage.wix.com/dashboard/{id}/home");
        assert!(account_id(&dashboard).is_err_and(|error| error.contains("dashboard")));
        assert_eq!(account_id(id).as_deref(), Ok(id));
    }

    #[test]
    fn api_base_is_a_url_without_credentials_query_and_fragment() {
        assert_eq!(
            api_base(" http://127.0.0.1:8000/ ").as_deref(),
            Ok("http://127.0.0.1:8000")
        );
        assert_eq!(
            api_base("https://api.example/wix/").as_deref(),
            Ok("https://api.example/wix")
        );
        for bad in [
            "",
            "127.0.0.1:8000",
            "ftp://a.example",
            "http://u@a.example",
            "http://a.example?x",
            "http://a.example/#x",
        ] {
            assert!(api_base(bad).is_err(), "{bad}");
        }
    }
}
