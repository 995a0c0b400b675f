//! Tests of connection ids, delivery keys and headers.

use super::*;

#[test]
fn a_connection_id_fits_urls_and_routing_keys() {
    for good in [
        "shop-a",
        "a",
        "3bbcabc7-ebb7-4fc8-8829-13ea0e142123",
        "shop.example.com",
        "A_1",
    ] {
        assert!(ConnectionId::new(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        ".",
        "-a",
        "a/b",
        "a b",
        "ä",
        "a#",
        "a*",
        &"x".repeat(65),
    ] {
        assert!(ConnectionId::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_delivery_key_tells_apart_parts_that_concatenate_alike() {
    assert_ne!(
        DeliveryKey::of(&[b"ab", b"c"]),
        DeliveryKey::of(&[b"a", b"bc"])
    );
    let key = DeliveryKey::of(&[b"shop"]);
    assert_eq!(DeliveryKey::parse(&key.to_string()), Some(key));
    assert_eq!(DeliveryKey::parse("+0000000000000000000000000000000"), None);
}

#[test]
fn a_repeated_header_is_no_header() {
    let headers = Headers(vec![("x", b"1"), ("y", b"2"), ("x", b"1"), ("z", b"\xff")]);
    assert_eq!(headers.one("x"), Err(HeaderFault::Repeated));
    assert_eq!(headers.one("y"), Ok(Some("2")));
    assert_eq!(headers.one("z"), Err(HeaderFault::NotText));
    assert_eq!(headers.one("w"), Ok(None));
}
