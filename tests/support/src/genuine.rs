//! Creates verified deliveries without a gateway: signed with the fixtures' keys and verified as in the receiver.

use std::collections::BTreeMap;

use bytes::Bytes;
use cartwire::delivery::{ConnectionId, Headers, RawDelivery};
use cartwire::platforms::{Unsigned, Verified, VerifiedDelivery, WebhookPlatform};
use cartwire::replay::fixture;
use jiff::Timestamp;

/// A verified delivery of a platform with the receipt time `at`.
pub fn genuine(
    platform: &dyn WebhookPlatform,
    endpoint: &str,
    topic: &str,
    payload: &str,
    nonce: u64,
    at: Timestamp,
) -> VerifiedDelivery {
    let key =
        |name| fixture::test_key(platform, name).expect("the fixtures should contain the key");
    let options = BTreeMap::new();
    let unsigned = Unsigned {
        topic,
        payload: payload.as_bytes(),
        nonce,
        options: &options,
    };
    let request = platform
        .sign(&unsigned, &key("signing"), at)
        .expect("the delivery should be signed");
    let names: Vec<String> = request
        .headers
        .iter()
        .map(|(name, _)| name.to_lowercase())
        .collect();
    let headers = names
        .iter()
        .map(String::as_str)
        .zip(request.headers.iter().map(|(_, value)| value.as_bytes()));
    let endpoint = ConnectionId::new(endpoint).expect("the id should be valid");
    let body = Bytes::copy_from_slice(&request.body);
    let raw = RawDelivery {
        endpoint: &endpoint,
        headers: Headers(headers.collect()),
        body,
        received_at: at,
    };
    match platform.verify(
        &raw,
        &[platform
            .verification_key(&key("verification"))
            .expect("a key")],
        at,
    ) {
        Ok(Verified::Delivery(delivery)) => *delivery,
        other => panic!("no delivery: {other:?}"),
    }
}
