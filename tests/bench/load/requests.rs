//! The requests that are sent: one template for each platform and size, in which a number makes each delivery another one,
//! and the signatures of those deliveries, made before the clock starts.
//!
//! Only the signatures are kept (32 or 256 bytes each): the rest of a request is a copy of the template with the number
//! written into it, which costs less than a microsecond. Signing a token costs hundreds, so that those are kept in a file
//! from run to run.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cartwire::platforms::{Unsigned, platform};
use cartwire::replay::fixture::{self, Fixture};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Whose orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shop {
    WooCommerce,
    Wix,
}

impl Shop {
    /// The platform's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Shop::WooCommerce => "woocommerce",
            Shop::Wix => "wix",
        }
    }

    /// A key of the fixtures: `signing` or `verification`.
    pub(crate) fn key(self, name: &str) -> String {
        let platform = platform(self.name()).expect("a platform");
        fixture::test_key(platform, name).expect("a key of the fixtures")
    }

    /// What the platform calls an order's event.
    pub(crate) fn topic(self) -> &'static str {
        match self {
            Shop::WooCommerce => "order.updated",
            Shop::Wix => "wix.ecom.v1.order_created",
        }
    }
}

/// The name of one of many connections.
pub(crate) fn connection(number: u32) -> String {
    format!("shop-{number:05}")
}

/// In a template, digits like this are the number's.
const MARK: &str = "111111111111";
/// An order's number at WooCommerce has this many digits; the ids at Wix end in as many as the mark has.
const DIGITS: usize = 10;
/// The first number: none begins with a zero, which JSON would refuse.
const FIRST: u64 = 1_000_000_000;
/// In a template, where the connection's number stands.
const CONNECTION_DIGITS: usize = 5;

/// An order as a payload, of about that many bytes: the mark stands where its number belongs.
fn order(shop: Shop, bytes: usize) -> String {
    let case = match shop {
        Shop::WooCommerce => "woocommerce/order.created/v3",
        Shop::Wix => "wix/wix.ecom.v1.order_created/entity",
    };
    let fixtures = support::fixtures();
    let payload = fixtures.iter().find_map(|fixture| match fixture {
        Fixture::Case(found) if found.path == case => Some(found.payload.clone()),
        _ => None,
    });
    let payload = String::from_utf8(payload.expect("the fixture is there")).expect("text");
    match shop {
        Shop::WooCommerce => shop_order(&payload, bytes),
        Shop::Wix => {
            let mut order: Value = serde_json::from_str(&payload).expect("JSON");
            let (event, entity) = (order["id"].take(), order["entityId"].take());
            let marked = |id: &Value| {
                let id = id.as_str().expect("an id");
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

/// More lines make an order longer; without its addresses it is short.
fn shop_order(payload: &str, bytes: usize) -> String {
    let mut order: Value = serde_json::from_str(payload).expect("JSON");
    let mark = &MARK[..DIGITS];
    order["id"] = serde_json::from_str(mark).expect("a number");
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
            order.as_object_mut().expect("an object").remove(name);
        }
    }
    let line = order["line_items"][0].clone();
    let fits = bytes.saturating_sub(order.to_string().len()) / (line.to_string().len() + 1);
    let lines = order["line_items"].as_array_mut().expect("a list");
    lines.extend((0..fits).map(|n| {
        let mut line = line.clone();
        line["id"] = json!(1000 + n);
        line
    }));
    let missing = bytes.saturating_sub(order.to_string().len());
    order["customer_note"] = json!("x".repeat(missing));
    order.to_string()
}

/// A request in which the number and the signature are still to be written.
#[derive(Clone)]
struct Template {
    shop: Shop,
    request: Vec<u8>,
    /// The connection's digits in the path.
    connection: Range<usize>,
    /// What tells deliveries of one body apart, where the platform has such a thing.
    delivery: Option<Range<usize>>,
    signature: Range<usize>,
    /// What is signed.
    signed: Range<usize>,
    /// The JSON in which the number stands, ...
    json: Vec<u8>,
    marks: Vec<Range<usize>>,
    /// ... and where it stands in the request: as it is, or as base64.
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
            .expect("a platform")
            .sign(&unsigned, &key, at)
            .expect("it can be signed");
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
            .expect("a path");
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
                signature: signature.expect("a signature"),
                signed: start..request.len(),
                marks: marks(&signed.body, DIGITS),
                json: signed.body.to_vec(),
                json_at: start,
                request,
            },
            Shop::Wix => {
                let token = std::str::from_utf8(&signed.body).expect("text");
                let dots: Vec<usize> = token.match_indices('.').map(|(at, _)| start + at).collect();
                let json = URL_SAFE_NO_PAD
                    .decode(&request[dots[0] + 1..dots[1]])
                    .expect("claims");
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

    /// Our signature of what the platform has signed is the platform's.
    fn check(&self) {
        let mut copy = self.clone();
        let signature = Signer::new(self.shop).sign(&copy.request[copy.signed.clone()]);
        copy.write_signature(&signature);
        assert!(
            copy.request == self.request,
            "the template is signed otherwise than the platform does"
        );
        assert!(self.marks.len() >= 2, "the number stands in the payload");
    }

    /// Makes it the delivery of that number, still with another one's signature.
    fn write_number(&mut self, number: u64) {
        for mark in &self.marks {
            digits(&mut self.json[mark.clone()], FIRST + number);
            match self.shop {
                Shop::WooCommerce => {
                    let at = self.json_at + mark.start..self.json_at + mark.end;
                    self.request[at].copy_from_slice(&self.json[mark.clone()]);
                }
                // Three bytes are four characters: whole groups of three are encoded again.
                Shop::Wix => {
                    let (from, to) = (mark.start / 3, mark.end.div_ceil(3));
                    let bytes = &self.json[from * 3..(to * 3).min(self.json.len())];
                    let out = &mut self.request[self.json_at + from * 4..self.signed.end];
                    URL_SAFE_NO_PAD.encode_slice(bytes, out).expect("it fits");
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
            written.expect("it fits"),
            self.signature.len(),
            "a signature's length"
        );
    }
}

fn marks(json: &[u8], digits: usize) -> Vec<Range<usize>> {
    let text = std::str::from_utf8(json).expect("text");
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

/// A store's own key.
enum Signer {
    Hmac(Hmac<Sha256>),
    Rs256(EncodingKey),
}

impl Signer {
    fn new(shop: Shop) -> Self {
        let key = shop.key("signing");
        match shop {
            Shop::WooCommerce => Signer::Hmac(Hmac::new_from_slice(key.as_bytes()).expect("a key")),
            Shop::Wix => Signer::Rs256(EncodingKey::from_rsa_pem(key.as_bytes()).expect("a key")),
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
                let text =
                    jsonwebtoken::crypto::sign(message, key, Algorithm::RS256).expect("signed");
                URL_SAFE_NO_PAD.decode(text).expect("base64")
            }
        }
    }
}

/// Signed requests, one after another.
pub(crate) struct Requests {
    template: Template,
    signatures: Vec<u8>,
    /// Of one signature.
    length: usize,
    connections: u64,
    forged: bool,
}

/// How many deliveries get a signature of their own at most.
const MOST: usize = 1 << 18;
/// At most this many bytes are signed in preparation.
const SIGNED_BYTES: usize = 1 << 30;

impl Requests {
    /// Prepares `count` deliveries, spread over so many connections.
    pub(crate) fn prepare(
        shop: Shop,
        bytes: usize,
        count: usize,
        connections: u32,
        forged: bool,
    ) -> Self {
        // Tokens carry their time: those of one week are the same, so that they can be kept.
        const WEEK: i64 = 7 * 86_400;
        let at =
            Timestamp::from_second(Timestamp::now().as_second() / WEEK * WEEK).expect("a time");
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

    /// How many have a signature of their own.
    pub(crate) fn count(&self) -> u64 {
        (self.signatures.len() / self.length) as u64
    }

    /// Can a body be sent again as another delivery?
    pub(crate) fn is_endless(&self) -> bool {
        self.template.delivery.is_some()
    }

    /// Puts the request of a delivery there.
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
        // The neighbour's signature is well made and wrong.
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

    /// The body of a delivery.
    pub(crate) fn body(&mut self, number: u64) -> Vec<u8> {
        let mut request = Vec::new();
        self.write(number, &mut request);
        let start = request
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("a head")
            + 4;
        request.split_off(start)
    }
}

/// Signs on all processors.
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
            .flat_map(|part| part.join().expect("a signer"))
            .collect()
    })
}

/// Signatures from the file of an earlier run, and those that it lacks.
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
        std::fs::write(&path, &signatures).expect("the signatures are kept");
    }
    signatures.truncate(count * length);
    signatures
}
