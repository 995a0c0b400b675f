//! Reasons why a store cannot deliver to a URL: WordPress refuses some ports and networks before it connects.
//!
//! Judges the URL only; sends no request.

use url::Url;

use super::outcome::{add, finding};
use super::urls::origin;
use crate::platforms::address::is_private_url;
use crate::platforms::api::{CheckReport, Finding, FindingCode, Severity};

/// The ports that WordPress allows for webhooks.
const PORTS: [u16; 3] = [80, 443, 8080];

/// Adds a finding for each reason why the store cannot deliver to the URL. `false` if it cannot.
pub(super) fn judge(delivery_url: &str, store: &str, report: &mut CheckReport) -> bool {
    let findings = findings(delivery_url, store);
    let is_deliverable = findings
        .iter()
        .all(|finding| finding.severity == Severity::Note);
    for finding in findings {
        add(report, finding);
    }
    is_deliverable
}

fn findings(delivery_url: &str, store: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let Ok(address) = Url::parse(delivery_url) else {
        return vec![finding(
            Severity::Broken,
            FindingCode::DeliveryUrlInvalid,
            format!("The delivery URL {delivery_url} is invalid."),
            "Start Cartwire with --public-url, its address on the internet, as in https://hooks.example.com.",
        )];
    };
    let store = Url::parse(store).ok();
    // A store inside a network may have a filter that allows addresses of that network; one on the internet cannot.
    let private_severity = if store.as_ref().is_some_and(is_private_url) {
        Severity::Note
    } else {
        Severity::Broken
    };
    let is_neighbour = store
        .as_ref()
        .is_some_and(|store| store.host_str() == address.host_str());
    if is_private_url(&address) && !is_neighbour {
        found.push(finding(
            private_severity,
            FindingCode::DeliveryUrlPrivate,
            format!(
                "The delivery URL {} is inside a private network, and WordPress does not deliver there.",
                origin(&address)
            ),
            "Make Cartwire reachable from the internet and start it with that address as --public-url, then run `cartwire \
             connections check --fix`.",
        ));
    }
    let is_store_itself = store.as_ref().is_some_and(|store| {
        store.host_str() == address.host_str()
            && store.port_or_known_default() == address.port_or_known_default()
    });
    let is_allowed_port = address
        .port_or_known_default()
        .is_some_and(|port| PORTS.contains(&port));
    if !is_allowed_port && !is_store_itself {
        found.push(finding(
            Severity::Broken,
            FindingCode::DeliveryUrlPort,
            format!("The delivery URL {} has another port than 80, 443 and 8080, the only ports that WordPress delivers to.", origin(&address)),
            "Let a proxy forward port 443 to Cartwire and start Cartwire with that address as --public-url. Then run `cartwire \
             connections check --fix`.",
        ));
    }
    if address.scheme() == "http" {
        found.push(finding(
            Severity::Note,
            FindingCode::DeliveryUrlHttp,
            format!("The delivery URL {} has no TLS, so orders can be read on the way.", origin(&address)),
            "Give Cartwire a certificate, or a proxy that has one, and start it with an https address as --public-url.",
        ));
    }
    found
}
