//! Tests of reading broker addresses.

use super::*;

#[test]
fn only_a_comma_before_the_next_address_separates() {
    assert_eq!(
        Address::split("amqp://u:a,b@one/%2f, amqps://two ,\namqp://three\n"),
        ["amqp://u:a,b@one/%2f", "amqps://two", "amqp://three"]
    );
    assert_eq!(Address::split(" "), [""; 0]);
}

#[test]
fn an_address_keeps_an_ipv6_host_and_says_no_password() {
    let address = Address::parse("amqp://user:geheim@[::1]:5673/%2f").expect("an address");
    assert_eq!(address.shown(), "[::1]:5673");
    assert_eq!(address.uri.authority.host, "::1");
    assert!(address.names_user);
    assert!(
        !Address::parse("amqps://host")
            .expect("an address")
            .names_user
    );
    for wrong in ["ampq://host", "amqp:", "host:5672", "amqp://"] {
        assert!(Address::parse(wrong).is_none(), "{wrong}");
    }
}
