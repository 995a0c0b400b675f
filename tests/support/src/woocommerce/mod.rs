//! A WooCommerce shop on 127.0.0.1 for tests: a home page, WordPress's REST root, WooCommerce's v3 API and signed
//! webhook deliveries. Its responses, including the errors, follow those of real shops of versions 6.0 and 11.0.
//!
//! ```ignore
//! let shop = Shop::start(Options::default());          // WooCommerce 11.0.1 at shop.url, without a proxy and without TLS
//! let old = Shop::start(Options { version: "6.0.0", ..Options::default() });
//! // connect to shop.url with KEY and SECRET …
//! shop.webhooks();                                     // registered webhooks, with the secrets that REST never shows
//! shop.edit(3, |webhook| webhook.status = "disabled"); // a change in the shop's administration
//! shop.keep("products", json!({"id": 25, "status": "trash"}));
//! shop.fire("order.created", &json!({"id": 18}));      // a signed delivery to each active webhook: (id, status) of each
//! shop.fail(Fault::Html);                              // from now on: see Fault
//! shop.requests();                                      // all received requests, each with the result of the OAuth check
//! ```
//!
//! The shop runs on its own threads, so it works with and without a runtime, and ends on drop. Its own code checks the
//! requests' OAuth 1.0a signatures. As a real shop, it ignores Basic authentication over plain http. It has no TLS, no carts
//! and no permissions except the key's, and it sends deliveries only when a test calls `fire`.

mod http;
mod lists;
mod oauth;
mod options;
mod problem;
mod reply;
mod resources;
mod rest;
mod shop;
mod state;
mod webhooks;

pub use options::{Fault, KEY, ListFault, Options, Permalinks, Permission, SECRET};
pub use shop::Shop;
pub use state::{ShopRequest, Webhook};
