//! A WooCommerce shop on 127.0.0.1 for tests: a home page, WordPress's REST root, WooCommerce's v3, and webhooks that are
//! signed and sent. It answers as shops of 6.0 and 11.0 were seen to answer, right and wrong.
//!
//! ```ignore
//! let shop = Shop::start(Options::default());          // WooCommerce 11.0.1 at shop.url, without a proxy and without TLS
//! let old = Shop::start(Options { version: "6.0.0", ..Options::default() });
//! // connect to shop.url with KEY and SECRET …
//! shop.webhooks();                                     // what is registered, with the secrets that REST never shows
//! shop.edit(3, |webhook| webhook.status = "disabled"); // what happens in its administration
//! shop.keep("products", json!({"id": 25, "status": "trash"}));
//! shop.fire("order.created", &json!({"id": 18}));      // a signed delivery to each active webhook: (id, status) of each
//! shop.fail(Fault::Html);                              // from now on: see Fault
//! shop.asked();                                        // every request so far, and whether its signature was right
//! ```
//!
//! It speaks HTTP/1.1 on threads of its own, so it serves tests with and without a runtime, and ends when it is dropped.
//! Requests are proved by OAuth 1.0a, which is checked here by code of its own; as on a real shop, Basic over plain http is
//! passed over in silence. What it does not do: TLS, carts, permissions beyond the key's, and delivering without being told.

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

pub use options::{Fault, KEY, Options, Permalinks, Permission, SECRET};
pub use shop::Shop;
pub use state::{ShopRequest, Webhook};
