//! The shop of `stores/woocommerce.rs` against WooCommerce's own descriptions of its API.

#[path = "stores/woocommerce.rs"]
mod woocommerce;

use woocommerce::{Options, Shop};

#[test]
fn a_shop_opens() {
    let shop = Shop::start(Options::default());
    assert!(shop.asked().is_empty());
}
