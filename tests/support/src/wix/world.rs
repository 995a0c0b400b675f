//! The data of the Wix double: an app and its installations, an account with its sites, and the objects at each path.
//!
//! The ids are those of the fixtures, so that an event of a fixture finds its entity here. This module stores no
//! requests or tokens.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::lists::page;

/// The id of the app in the fixtures.
pub const APP_ID: &str = "d2a57dc1-d883-4d21-bb99-51699df71cc7";
/// The app's secret.
pub const APP_SECRET: &str = "3e1c6f0a-0f3d-4a57-9d0f-7c9d1b5a2e44";
/// The installation of fixtures that name none.
pub const INSTANCE: &str = "7f0c2a4e-5b1d-4c3e-9a68-0d1e2f3a4b5c";
/// The account that owns the sites.
pub const ACCOUNT_ID: &str = "e268443e-43d9-4dab-bebe-f303bbe9642f";
/// An API key of the account.
pub const API_KEY: &str = "IST.eyJ0ZXN0IjoidHJ1ZSJ9.eyJrZXkiOiJvbmUifQ.c2lnbmF0dXJl";
/// The site with the shop.
pub const SITE_ID: &str = "64fc2d7e-1585-45ef-b1c3-6081185108c1";
/// Another site of the account.
pub const OTHER_SITE_ID: &str = "0c87cd5d-4059-4e86-8f6e-d185b1e4a1bd";

/// The body of a response that rejects credentials. The platform documents none, and several were observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalShape {
    /// `{"error": "invalid_client", "error_description": …}`.
    OAuth,
    /// `{"message": …, "details": {"applicationError": …}}`.
    Application,
    /// `{"message": "", "details": {}}`, with the same status for every error.
    Bare,
}

/// An installation of the app.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The site's name.
    pub site_name: String,
    /// Granted permissions.
    pub permissions: Vec<String>,
    /// Catalog version of the site's shop.
    pub catalog_version: String,
    /// `true` if the site is published.
    pub published: bool,
}

impl Default for Installation {
    fn default() -> Self {
        const GRANTED: [&str; 10] = [
            "WIX_DEVELOPERS.MANAGE_APP_INSTANCE",
            "SITE_SETTINGS.VIEW",
            "ECOM.READ_ORDERS",
            "ECOM.READ_FULFILLMENTS",
            "ECOM.READ_TRANSACTIONS",
            "ECOM.ABANDONED_CHECKOUT_READ",
            "WIX_STORES.READ_PRODUCTS",
            "WIX_STORES.READ_INVENTORY",
            "WIX_STORES.CATALOG_VERSION_READ",
            "CONTACTS.VIEW",
        ];
        Self {
            site_name: "Hafenladen".to_owned(),
            permissions: GRANTED.map(str::to_owned).to_vec(),
            catalog_version: "V1_CATALOG".to_owned(),
            published: true,
        }
    }
}

/// All data of the double.
#[derive(Clone, Debug)]
pub struct World {
    /// The app's id.
    pub app_id: String,
    /// The app's secret.
    pub app_secret: String,
    /// Installations by instance id.
    pub installations: BTreeMap<String, Installation>,
    /// Lifetime of issued tokens in seconds.
    pub token_seconds: u64,
    /// `true` if the token response is JSON text in a `body` member.
    pub wraps_tokens: bool,
    /// Body of responses that reject credentials.
    pub shape: RefusalShape,
    /// The account.
    pub account_id: String,
    /// The account's key.
    pub api_key: String,
    /// The account's sites: id and name.
    pub sites: Vec<(String, String)>,
    /// Number of sites in one page of the list.
    pub sites_a_page: usize,
    /// Path prefixes that are answered 403, as if the permission were missing.
    pub forbidden: Vec<String>,
    /// Response body by method and path, such as `GET /stores-reader/v1/products/ID`. Any other path is not found.
    pub answers: BTreeMap<String, Value>,
    /// Rows by the path of the query that returns them, such as `/ecom/v1/orders/search`.
    pub lists: BTreeMap<String, Vec<Value>>,
    /// Maximum number of rows in a page.
    pub rows_a_page: usize,
    /// Catalog version of the site with the API key.
    pub catalog_version: String,
}

impl Default for World {
    fn default() -> Self {
        let reported: Value = serde_json::from_str(include_str!("answers.json"))
            .expect("answers.json should be JSON");
        let answers = reported
            .as_object()
            .expect("answers.json should be an object")
            .iter()
            .map(|(path, body)| (path.clone(), body.clone()))
            .collect();
        let pair = |id: &str, name: &str| (id.to_owned(), name.to_owned());
        Self {
            app_id: APP_ID.to_owned(),
            app_secret: APP_SECRET.to_owned(),
            installations: [(INSTANCE.to_owned(), Installation::default())].into(),
            token_seconds: 14_400,
            wraps_tokens: false,
            shape: RefusalShape::OAuth,
            account_id: ACCOUNT_ID.to_owned(),
            api_key: API_KEY.to_owned(),
            sites: vec![
                pair(OTHER_SITE_ID, "Probeseite"),
                pair(SITE_ID, "Hafenladen"),
            ],
            sites_a_page: 1,
            forbidden: Vec::new(),
            answers,
            lists: BTreeMap::new(),
            rows_a_page: 100,
            catalog_version: "V1_CATALOG".to_owned(),
        }
    }
}

fn is_list(path: &str) -> bool {
    let is_site = path.starts_with("/site-list/");
    !is_site && (path.ends_with("/query") || path.ends_with("/search"))
}

impl World {
    /// The error response of a token request; `None` if a token is issued.
    pub fn token_refusal(
        &self,
        grant: &str,
        client: &str,
        secret: &str,
        instance: &str,
    ) -> Option<(u16, Value)> {
        if grant != "client_credentials" {
            return Some(self.refusal(
                400,
                "unsupported_grant_type",
                "the grant type is not supported",
            ));
        }
        if client != self.app_id || secret != self.app_secret {
            return Some(self.refusal(
                401,
                "invalid_client",
                "client authentication failed: wrong client_id or client_secret",
            ));
        }
        if !self.installations.contains_key(instance) {
            return Some(self.refusal(404, "not_found", "the app instance was not found"));
        }
        None
    }

    fn refusal(&self, status: u16, code: &str, text: &str) -> (u16, Value) {
        match self.shape {
            RefusalShape::OAuth => (status, json!({"error": code, "error_description": text})),
            RefusalShape::Application => {
                let code = code.to_uppercase();
                (
                    status,
                    json!({"message": text, "details": {"applicationError": {"code": code, "description": text}}}),
                )
            }
            RefusalShape::Bare => (403, json!({"message": "", "details": {}})),
        }
    }

    /// The response to a request with a valid token, or with a key and a site or account.
    pub fn answer(
        &self,
        method: &str,
        path: &str,
        query: &str,
        body: &Value,
        headers: &BTreeMap<String, String>,
        given: &BTreeMap<String, String>,
    ) -> (u16, Value) {
        let header = |name: &str| headers.get(name).map(String::as_str);
        let credential = header("authorization")
            .unwrap_or_default()
            .trim_start_matches("Bearer ");
        let wants_account = path.starts_with("/site-list/");
        let installation = given
            .get(credential)
            .and_then(|instance| self.installations.get_key_value(instance));
        if installation.is_none() {
            if credential != self.api_key {
                return self.refusal(401, "unauthenticated", "the request is not authenticated");
            }
            let (site, account) = (header("wix-site-id"), header("wix-account-id"));
            match (site, account) {
                (Some(site), None) if !wants_account => {
                    if !self.sites.iter().any(|(id, _)| id == site) {
                        return self.refusal(
                            403,
                            "permission_denied",
                            "No Metasite Context in identity.",
                        );
                    }
                }
                (None, Some(account)) if wants_account => {
                    if account != self.account_id {
                        return self.refusal(
                            403,
                            "permission_denied",
                            "the key does not belong to this account",
                        );
                    }
                }
                _ => {
                    return self.refusal(
                        400,
                        "bad_request",
                        "pass either wix-site-id or wix-account-id",
                    );
                }
            }
        }
        if self
            .forbidden
            .iter()
            .any(|prefix| path.starts_with(prefix.as_str()))
        {
            return self.refusal(
                403,
                "permission_denied",
                "the permission for this call is missing",
            );
        }
        match (path, installation) {
            ("/apps/v1/instance", Some((id, installation))) => {
                (200, self.instance(id, installation))
            }
            ("/stores/v3/provision/version", Some((_, installation))) => {
                (200, json!({"catalogVersion": installation.catalog_version}))
            }
            ("/stores/v3/provision/version", None) => {
                (200, json!({"catalogVersion": self.catalog_version}))
            }
            ("/site-list/v2/sites/query", None) => (
                200,
                self.sites_page(&body["query"]["cursorPaging"]["cursor"]),
            ),
            _ if query.contains("NO_SUCH_FIELD") => {
                self.refusal(400, "invalid_argument", "fields: unknown value")
            }
            _ if is_list(path) => {
                let none = Vec::new();
                let rows = self.lists.get(path).unwrap_or(&none);
                match page(rows, path, body, self.rows_a_page) {
                    Some(page) => (200, page),
                    None => self.refusal(400, "invalid_argument", "the query is invalid"),
                }
            }
            _ => match self.answers.get(&format!("{method} {path}")) {
                Some(body) => (200, body.clone()),
                None => self.refusal(404, "not_found", "there is no such entity"),
            },
        }
    }

    fn instance(&self, id: &str, installation: &Installation) -> Value {
        let mut site = json!({
            "siteDisplayName": installation.site_name, "locale": "de", "paymentCurrency": "EUR", "siteId": SITE_ID,
            "multilingual": {"isMultiLingual": false, "supportedLanguages": []},
            "ownerEmail": "ida@hafen.example", "ownerInfo": {"email": "ida@hafen.example", "emailStatus": "VERIFIED_OPT_IN"},
        });
        if installation.published {
            site["url"] = json!("https://www.hafen.example");
        }
        json!({
            "instance": {
                "instanceId": id, "appName": "Kielwasser", "appVersion": "1.4.0", "isFree": false,
                "billing": {"packageName": "gold", "billingCycle": "MONTHLY", "expirationDate": "2026-12-01T00:00:00Z"},
                "permissions": installation.permissions,
            },
            "site": site,
        })
    }

    /// One page of the sites. As on the platform, the cursor is an object.
    fn sites_page(&self, cursor: &Value) -> Value {
        let from = cursor["id"]
            .as_str()
            .and_then(|id| self.sites.iter().position(|(site, _)| site == id))
            .map_or(0, |at| at + 1);
        let page: Vec<_> = self
            .sites
            .iter()
            .skip(from)
            .take(self.sites_a_page.max(1))
            .collect();
        let sites: Vec<Value> = page
            .iter()
            .map(|(id, name)| {
                json!({
                    "id": id, "name": name.to_lowercase(), "displayName": name, "published": true, "namespace": "WIX",
                    "viewUrl": format!("https://www.{}.example", name.to_lowercase()), "ownerAccountId": self.account_id,
                })
            })
            .collect();
        let last = page.last().filter(|_| from + page.len() < self.sites.len());
        let paging = last.map_or_else(
            || json!({}),
            |(id, name)| json!({"cursor": {"id": id, "siteDisplayName": name}}),
        );
        json!({"sites": sites, "cursorPaging": paging})
    }
}
