//! What keeps a store from delivering to our address: WordPress refuses ports and networks before it connects.
//!
//! Only the address is judged; no request is made.

use url::Url;

use super::talk::{is_private, origin};
use crate::platforms::api::{CheckReport, Severity};

/// The ports that WordPress delivers to.
const PORTS: [u16; 3] = [80, 443, 8080];

/// Adds what keeps a store from delivering to an address.
pub(super) fn judge(delivery_url: &str, store: &str, report: &mut CheckReport) {
    let Ok(address) = Url::parse(delivery_url) else {
        report.add(
            Severity::Broken,
            "delivery_url_invalid",
            format!("{delivery_url}, where the store is to deliver, is no address."),
            "Start Cartwire with --public-url, the address at which the internet reaches it, as in https://hooks.example.com.",
        );
        return;
    };
    let store = Url::parse(store).ok();
    // A store inside a network may have a filter that allows addresses of that network; one on the internet cannot.
    let private_severity = if store.as_ref().is_some_and(is_private) {
        Severity::Note
    } else {
        Severity::Broken
    };
    let is_neighbour = store
        .as_ref()
        .is_some_and(|store| store.host_str() == address.host_str());
    if is_private(&address) && !is_neighbour {
        report.add(
            private_severity,
            "delivery_url_private",
            format!(
                "The store is to deliver to {}, which is inside a private network: WordPress refuses that.",
                origin(&address)
            ),
            "Make Cartwire reachable from the internet and start it with that address as --public-url, then run `cartwire \
             connections check --fix`.",
        );
    }
    let is_store_itself = store.as_ref().is_some_and(|store| {
        store.host_str() == address.host_str()
            && store.port_or_known_default() == address.port_or_known_default()
    });
    let is_allowed_port = address
        .port_or_known_default()
        .is_some_and(|port| PORTS.contains(&port));
    if !is_allowed_port && !is_store_itself {
        report.add(
            Severity::Broken,
            "delivery_url_port",
            format!("The store is to deliver to {}, but WordPress delivers to ports 80, 443 and 8080 only.", origin(&address)),
            "Let a proxy hand port 443 on to Cartwire and start it with that address as --public-url, then run `cartwire \
             connections check --fix`.",
        );
    }
    if address.scheme() == "http" {
        report.add(
            Severity::Note,
            "delivery_url_http",
            format!("The store delivers to {} without TLS: everybody on the way can read orders.", origin(&address)),
            "Give Cartwire a certificate, or a proxy that has one, and start it with an https address as --public-url.",
        );
    }
}
