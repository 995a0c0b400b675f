//! A response of the shop.

use serde_json::Value;

/// A response of the shop.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
    /// Id and URL of created webhooks that must receive a ping.
    pub(super) pings: Vec<(u64, String)>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("Content-Type", "application/json; charset=UTF-8".to_owned())];
        Self {
            status,
            headers,
            body: body.to_string(),
            pings: Vec::new(),
        }
    }

    pub(super) fn html(status: u16, body: &str) -> Self {
        let headers = vec![("Content-Type", "text/html; charset=UTF-8".to_owned())];
        let body = format!(
            "<!DOCTYPE html>\n<html><head><title>Shop</title></head><body>{body}</body></html>"
        );
        Self {
            status,
            headers,
            body,
            pings: Vec::new(),
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
