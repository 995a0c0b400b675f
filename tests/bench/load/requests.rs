//! The benchmark's requests: one template per platform and size. A number in the template makes each delivery unique.
//! The signatures of the deliveries are created before the measurement.
//!
//! Only the signatures are stored (32 or 256 bytes each). A request is a copy of the template with the number written
//! into it, which takes less than a microsecond. Signing a token takes hundreds of microseconds, so tokens' signatures
//! are cached in a file for later runs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cartwire::platforms::{Unsigned, platform};
use cartwire::replay::fixture;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The platform of the orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shop {
    WooCommerce,
    Wix,
}

impl Shop {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Shop::WooCommerce => "woocommerce",
            Shop::Wix => "wix",
        }
    }

    /// A key of the fixtures: `signing` or `verification`.
    pub(crate) fn key(self, name: &str) -> String {
        let platform = platform(self.name()).expect("the platform should exist");
        fixture::test_key(platform, name).expect("the fixtures should contain the key")
    }

    /// The platform's topic of an order event.
    pub(crate) fn topic(self) -> &'static str {
        match self {
            Shop::WooCommerce => "order.updated",
            Shop::Wix => "wix.ecom.v1.order_created",
        }
    }
}

/// The id of a connection.
pub(crate) fn connection(number: u32) -> String {
    format!("shop-{number:05}")
}

/// The id of a WooCommerce order that the senders send.
pub(crate) fn order_id(number: u64) -> String {
    (FIRST + number).to_string()
}

/// The placeholder for the number in a template.
const MARK: &str = "111111111111";
/// Number of digits of a WooCommerce order id. A Wix id ends with as many digits as the placeholder has.
const DIGITS: usize = 10;
/// The first number. It has no leading zero, because JSON does not allow one.
const FIRST: u64 = 1_000_000_000;
/// Number of digits of a connection's number in a template.
const CONNECTION_DIGITS: usize = 5;

/// An order's payload of about this many bytes, with the placeholder at each place of its number.
fn order(shop: Shop, bytes: usize) -> String {
    let case = match shop {
        Shop::WooCommerce => "woocommerce/order.created/v3",
        Shop::Wix => "wix/wix.ecom.v1.order_created/entity",
    };
    let payload =
        String::from_utf8(support::fixture_payload(case)).expect("the fixture should be text");
    match shop {
        Shop::WooCommerce => shop_order(&payload, bytes),
        Shop::Wix => {
            let mut order: Value =
                serde_json::from_str(&payload).expect("the fixture should be JSON");
            let (event, entity) = (order["id"].take(), order["entityId"].take());
            let marked = |id: &Value| {
                let id = id.as_str().expect("the id should be text");
                (
                    id.to_owned(),
                    format!("{}{MARK}", &id[..id.len() - MARK.len()]),
                )
            };
            let ((event, marked_event), (entity, marked_entity)) =
                (marked(&event), marked(&entity));
            payload
                .replace(&event, &marked_event)
                .replace(&entity, &marked_entity)
        }
    }
}

/// A short order has no addresses; a longer one has more lines.
fn shop_order(payload: &str, bytes: usize) -> String {
    let mut order: Value = serde_json::from_str(payload).expect("the fixture should be JSON");
    let mark = &MARK[..DIGITS];
    order["id"] = serde_json::from_str(mark).expect("the placeholder should be a number");
    order["number"] = json!(mark);
    if order.to_string().len() > bytes {
        for name in [
            "shipping",
            "shipping_lines",
            "_links",
            "billing",
            "payment_url",
            "meta_data",
            "coupon_lines",
        ] {
            order
                .as_object_mut()
                .expect("the order should be an object")
                .remove(name);
        }
    }
    let line = order["line_items"][0].clone();
    let fits = bytes.saturating_sub(order.to_string().len()) / (line.to_string().len() + 1);
    let lines = order["line_items"]
        .as_array_mut()
        .expect("line_items should be a list");
    lines.extend((0..fits).map(|n| {
        let mut line = line.clone();
        line["id"] = json!(1000 + n);
        line
    }));
    let missing = bytes.saturating_sub(order.to_string().len());
    order["customer_note"] = json!("x".repeat(missing));
    order.to_string()
}

/// A request into which the number and the signature are written.
#[derive(Clone)]
struct Template {
    shop: Shop,
    request: Vec<u8>,
    /// Position of the connection's digits in the path.
    connection: Range<usize>,
    /// Position of the delivery id, if the platform's deliveries have one beside the body.
    delivery: Option<Range<usize>>,
    signature: Range<usize>,
    /// Position of the signed bytes.
    signed: Range<usize>,
    /// The JSON that contains the number.
    json: Vec<u8>,
    marks: Vec<Range<usize>>,
    /// Position of the JSON in the request: as it is, or as base64.
    json_at: usize,
}

impl Template {
    fn new(shop: Shop, bytes: usize, at: Timestamp) -> Self {
        let options = BTreeMap::new();
        let payload = order(shop, bytes);
        let unsigned = Unsigned {
            topic: shop.topic(),
            payload: payload.as_bytes(),
            nonce: 0,
            options: &options,
        };
        let key = shop.key("signing");
        let signed = platform(shop.name())
            .expect("the platform should exist")
            .sign(&unsigned, &key, at)
            .expect("the order should be signed");
        let mut head = format!(
            "POST /webhooks/{}/{} HTTP/1.1\r\nhost: 127.0.0.1\r\n",
            shop.name(),
            connection(0)
        );
        for (name, value) in &signed.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", signed.body.len());
        let value = |name: &str| {
            let start = head.find(name).map(|at| at + name.len() + 2)?;
            Some(start..start + head[start..].find('\r')?)
        };
        let connection = head
            .find(" HTTP")
            .map(|end| end - CONNECTION_DIGITS..end)
            .expect("the path should contain the connection");
        let (delivery, signature) = (
            value("X-WC-Webhook-Delivery-ID"),
            value("X-WC-Webhook-Signature"),
        );
        let start = head.len();
        let request = [head.as_bytes(), &signed.body[..]].concat();
        let template = match shop {
            Shop::WooCommerce => Self {
                shop,
                connection,
                delivery,
                signature: signature.expect("the request should contain the signature"),
                signed: start..request.len(),
                marks: marks(&signed.body, DIGITS),
                json: signed.body.to_vec(),
                json_at: start,
                request,
            },
            Shop::Wix => {
                let token = std::str::from_utf8(&signed.body).expect("the token should be text");
                let dots: Vec<usize> = token.match_indices('.').map(|(at, _)| start + at).collect();
                let json = URL_SAFE_NO_PAD
                    .decode(&request[dots[0] + 1..dots[1]])
                    .expect("the token should contain claims");
                Self {
                    shop,
                    connection,
                    delivery: None,
                    signature: dots[1] + 1..request.len(),
                    signed: start..dots[1],
                    marks: marks(&json, MARK.len()),
                    json,
                    json_at: dots[0] + 1,
                    request,
                }
            }
        };
        template.check();
        template
    }

    /// Asserts that the benchmark signs as the platform's own code does.
    fn check(&self) {
        let mut copy = self.clone();
        let signature = Signer::new(self.shop).sign(&copy.request[copy.signed.clone()]);
        copy.write_signature(&signature);
        assert!(
            copy.request == self.request,
            "the template's signature should equal the platform's"
        );
        assert!(
            self.marks.len() >= 2,
            "the payload should contain the placeholder"
        );
    }

    /// Writes a delivery's number into the request. The signature is not updated.
    fn write_number(&mut self, number: u64) {
        for mark in &self.marks {
            digits(&mut self.json[mark.clone()], FIRST + number);
            match self.shop {
                Shop::WooCommerce => {
                    let at = self.json_at + mark.start..self.json_at + mark.end;
                    self.request[at].copy_from_slice(&self.json[mark.clone()]);
                }
                // Three bytes are four base64 characters, so whole groups of three bytes are encoded again.
                Shop::Wix => {
                    let (from, to) = (mark.start / 3, mark.end.div_ceil(3));
                    let bytes = &self.json[from * 3..(to * 3).min(self.json.len())];
                    let out = &mut self.request[self.json_at + from * 4..self.signed.end];
                    URL_SAFE_NO_PAD
                        .encode_slice(bytes, out)
                        .expect("the base64 text should fit");
                }
            }
        }
    }

    fn write_signature(&mut self, signature: &[u8]) {
        let out = &mut self.request[self.signature.clone()];
        let written = match self.shop {
            Shop::WooCommerce => STANDARD.encode_slice(signature, out),
            Shop::Wix => URL_SAFE_NO_PAD.encode_slice(signature, out),
        };
        assert_eq!(
            written.expect("the signature should fit"),
            self.signature.len(),
            "the signature should have the template's length"
        );
    }
}

fn marks(json: &[u8], digits: usize) -> Vec<Range<usize>> {
    let text = std::str::from_utf8(json).expect("the JSON should be text");
    text.match_indices(&MARK[..digits])
        .map(|(at, _)| at..at + digits)
        .collect()
}

fn digits(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

/// The signing key of a store.
enum Signer {
    Hmac(Hmac<Sha256>),
    Rs256(EncodingKey),
}

impl Signer {
    fn new(shop: Shop) -> Self {
        let key = shop.key("signing");
        match shop {
            Shop::WooCommerce => Signer::Hmac(
                Hmac::new_from_slice(key.as_bytes()).expect("HMAC accepts any key length"),
            ),
            Shop::Wix => Signer::Rs256(
                EncodingKey::from_rsa_pem(key.as_bytes()).expect("the key should be valid"),
            ),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Signer::Hmac(keyed) => keyed
                .clone()
                .chain_update(message)
                .finalize()
                .into_bytes()
                .to_vec(),
            Signer::Rs256(key) => {
                let text = jsonwebtoken::crypto::sign(message, key, Algorithm::RS256)
                    .expect("the message should be signed");
                URL_SAFE_NO_PAD
                    .decode(text)
                    .expect("a signature should be base64")
            }
        }
    }
}

/// The prepared requests.
pub(crate) struct Requests {
    template: Template,
    signatures: Vec<u8>,
    /// Length of one signature in bytes.
    length: usize,
    connections: u64,
    forged: bool,
}

/// Maximum number of prepared signatures.
const MOST: usize = 1 << 18;
/// Maximum number of bytes that are signed in preparation.
const SIGNED_BYTES: usize = 1 << 30;

impl Requests {
    /// Prepares `count` signatures. The deliveries are distributed over this many connections.
    pub(crate) fn prepare(
        shop: Shop,
        bytes: usize,
        count: usize,
        connections: u32,
        forged: bool,
    ) -> Self {
        // A token contains its time. All tokens of a week have the same time, so that their signatures can be cached.
        const WEEK: i64 = 7 * 86_400;
        let at = Timestamp::from_second(Timestamp::now().as_second() / WEEK * WEEK)
            .expect("the time should be valid");
        let template = Template::new(shop, bytes, at);
        let count = count
            .min(MOST)
            .min(SIGNED_BYTES / template.signed.len())
            .max(1);
        let length = Signer::new(shop).sign(b"").len();
        let signatures = match shop {
            Shop::WooCommerce => sign(&template, 0..count),
            Shop::Wix => kept_signatures(&template, count, length),
        };
        Self {
            template,
            signatures,
            length,
            connections: u64::from(connections.max(1)),
            forged,
        }
    }

    /// Number of prepared signatures.
    pub(crate) fn count(&self) -> u64 {
        (self.signatures.len() / self.length) as u64
    }

    /// `true` if the same body can be sent again as a new delivery.
    pub(crate) fn is_endless(&self) -> bool {
        self.template.delivery.is_some()
    }

    /// Writes the request of a delivery to `out`.
    pub(crate) fn write(&mut self, number: u64, out: &mut Vec<u8>) {
        let count = self.count();
        let body = number % count;
        let template = &mut self.template;
        template.write_number(body);
        if let Some(delivery) = template.delivery.clone() {
            digits(&mut template.request[delivery], number);
        }
        digits(
            &mut template.request[template.connection.clone()],
            number % self.connections,
        );
        // The signature of the next delivery is well-formed but invalid for this one.
        let signature = if self.forged {
            (body + 1) % count
        } else {
            body
        } as usize
            * self.length;
        template.write_signature(&self.signatures[signature..signature + self.length]);
        out.clear();
        out.extend_from_slice(&template.request);
    }

    pub(crate) fn body(&mut self, number: u64) -> Vec<u8> {
        let mut request = Vec::new();
        self.write(number, &mut request);
        let start = request
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("the request should have a head")
            + 4;
        request.split_off(start)
    }
}

/// Creates signatures on all processors.
fn sign(template: &Template, numbers: Range<usize>) -> Vec<u8> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let each = numbers.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let part = |from: usize| {
            let (mut template, signer) = (template.clone(), Signer::new(template.shop));
            let to = (from + each).min(numbers.end);
            scope.spawn(move || {
                let one = |number: usize| {
                    template.write_number(number as u64);
                    signer.sign(&template.request[template.signed.clone()])
                };
                (from..to).flat_map(one).collect::<Vec<u8>>()
            })
        };
        let parts: Vec<_> = numbers.clone().step_by(each).map(part).collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().expect("the signer should not panic"))
            .collect()
    })
}

/// Reads the signatures of an earlier run from the cache file, and creates the missing ones.
fn kept_signatures(template: &Template, count: usize, length: usize) -> Vec<u8> {
    let name = Sha256::digest(&template.request)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("signatures-{name}"));
    let mut signatures = std::fs::read(&path).unwrap_or_default();
    signatures.truncate(signatures.len() / length * length);
    let there = signatures.len() / length;
    if there < count {
        signatures.extend(sign(template, there..count));
        std::fs::write(&path, &signatures).expect("the cache file should be written");
    }
    signatures.truncate(count * length);
    signatures
}
