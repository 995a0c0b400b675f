//! Upper bounds for the gateway's parts on this machine: servers that do one step and store nothing, and loops without
//! HTTP.
//!
//! Each is a separate process of this program, started with a hidden argument. The servers are configured like the
//! gateway's public listener (`src/app.rs`): actix-web with its default number of workers.

use std::collections::VecDeque;
use std::process::Command;
use std::time::{Duration, Instant};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use cartwire::delivery::{ConnectionId, DeliveryKey, JournaledDelivery};
use cartwire::journal::entry::{Entry, EntryKind};
use cartwire::normalize::assemble_one;
use cartwire::publisher::message::{APP_ID, CONTENT_TYPE, Message};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, PublisherConfirm};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::process::Usage;
use super::requests::{Requests, Shop, connection};
use super::server::{Server, folder};
use support::consumer::EVENTS;
use support::free_port;

/// The hidden argument that starts this program as a ceiling.
pub(crate) const ROLE: &str = "--ceiling";
/// Number of channels of the publisher without a gateway.
const CHANNELS: usize = 4;
/// Number of deliveries in one SQLite transaction.
const GROUP: usize = 64;
/// Maximum number of unconfirmed messages of a channel.
const WINDOW: usize = 256;

/// A server without storage.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Ceiling {
    /// Reads the body and responds.
    Empty,
    /// Also checks WooCommerce's signature.
    Hmac,
    /// Also checks Wix's signature.
    Rs256,
}

/// A loop without HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Loop {
    /// Checks of a token's signature on this many threads.
    Rs256 { threads: usize, seconds: f64 },
    /// Commits of one group of deliveries each.
    Sqlite {
        shop: Shop,
        bytes: usize,
        seconds: f64,
    },
    /// Publishes persistent messages of the size of the gateway's events, with confirms.
    Lapin {
        shop: Shop,
        bytes: usize,
        seconds: f64,
        url: String,
    },
}

/// The result of a loop.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) many: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) resident: u64,
    pub(crate) written: u64,
}

#[derive(Serialize, Deserialize)]
enum Role {
    Serve(Ceiling, u16),
    Loop(Loop),
}

fn command(role: &Role) -> Command {
    let mut command =
        Command::new(std::env::current_exe().expect("the path of this program should be known"));
    command.args([ROLE, &serde_json::to_string(role).expect("JSON")]);
    command
}

/// Starts a ceiling server.
pub(crate) fn serve(ceiling: Ceiling) -> Server {
    let port = free_port();
    Server::start(command(&Role::Serve(ceiling, port)), port, folder())
}

/// Runs a loop in a separate process, and waits for its end.
pub(crate) fn run_loop(which: Loop) -> Done {
    let output = command(&Role::Loop(which))
        .output()
        .expect("the loop should start");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("the loop should print its result")
}

/// The main function of the separate process.
#[allow(clippy::print_stdout, reason = "the parent process reads the result")]
pub(crate) fn run(role: &str) {
    let which = match serde_json::from_str(role).expect("the role should be valid JSON") {
        Role::Serve(ceiling, port) => {
            actix_web::rt::System::new()
                .block_on(server(ceiling, port))
                .expect("the server should run");
            return;
        }
        Role::Loop(which) => which,
    };
    let (many, seconds, cpu) = match which {
        Loop::Rs256 { threads, seconds } => rs256(threads, Duration::from_secs_f64(seconds)),
        Loop::Sqlite {
            shop,
            bytes,
            seconds,
        } => sqlite(shop, bytes, Duration::from_secs_f64(seconds)),
        Loop::Lapin {
            shop,
            bytes,
            seconds,
            url,
        } => {
            let runtime = tokio::runtime::Runtime::new().expect("the runtime should start");
            runtime.block_on(lapin(shop, bytes, Duration::from_secs_f64(seconds), &url))
        }
    };
    let Usage {
        resident, written, ..
    } = Usage::own();
    let done = Done {
        many,
        seconds,
        cpu_seconds: cpu.as_secs_f64(),
        resident,
        written,
    };
    print!("{}", serde_json::to_string(&done).expect("JSON"));
}

/// Measures the time and the resource usage of a loop.
struct Meter {
    started: Instant,
    before: Usage,
    end: Instant,
}

impl Meter {
    fn new(time: Duration) -> Self {
        let started = Instant::now();
        Self {
            started,
            before: Usage::own(),
            end: started + time,
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    fn read(&self, many: u64) -> (u64, f64, Duration) {
        (
            many,
            self.started.elapsed().as_secs_f64(),
            Usage::own().cpu - self.before.cpu,
        )
    }
}

async fn server(ceiling: Ceiling, port: u16) -> std::io::Result<()> {
    let hmac: Hmac<Sha256> = Hmac::new_from_slice(Shop::WooCommerce.key("signing").as_bytes())
        .expect("HMAC accepts any key length");
    let rsa = decoding_key();
    let serve = move || {
        let (hmac, rsa) = (hmac.clone(), rsa.clone());
        let handle = move |request: HttpRequest, body: Bytes| {
            let genuine = match ceiling {
                Ceiling::Empty => true,
                Ceiling::Hmac => has_hmac(&hmac, &request, &body),
                Ceiling::Rs256 => has_rs256(&rsa, &body),
            };
            let answer = if genuine {
                HttpResponse::Ok()
            } else {
                HttpResponse::Unauthorized()
            };
            std::future::ready({ answer }.json(serde_json::json!({"status": "accepted"})))
        };
        App::new()
            .app_data(web::PayloadConfig::new(8 << 20))
            .service(web::resource("/webhooks/{platform}/{connection}").to(handle))
    };
    HttpServer::new(serve)
        .client_request_timeout(Duration::from_secs(10))
        .bind(("127.0.0.1", port))?
        .run()
        .await
}

fn decoding_key() -> DecodingKey {
    DecodingKey::from_rsa_pem(Shop::Wix.key("verification").as_bytes())
        .expect("the key should be valid")
}

fn has_hmac(key: &Hmac<Sha256>, request: &HttpRequest, body: &[u8]) -> bool {
    let signature = request
        .headers()
        .get("x-wc-webhook-signature")
        .and_then(|value| STANDARD.decode(value).ok());
    signature.is_some_and(|tag| key.clone().chain_update(body).verify_slice(&tag).is_ok())
}

fn has_rs256(key: &DecodingKey, body: &[u8]) -> bool {
    let Some((signed, signature)) = std::str::from_utf8(body)
        .ok()
        .and_then(|token| token.rsplit_once('.'))
    else {
        return false;
    };
    jsonwebtoken::crypto::verify(signature, signed.as_bytes(), key, Algorithm::RS256)
        .unwrap_or(false)
}

fn rs256(threads: usize, time: Duration) -> (u64, f64, Duration) {
    let mut requests = Requests::prepare(Shop::Wix, 0, GROUP, 1, false);
    let tokens: Vec<Vec<u8>> = (0..requests.count())
        .map(|number| requests.body(number))
        .collect();
    let key = decoding_key();
    let meter = Meter::new(time);
    let count = || {
        let mut many = 0;
        while !meter.is_over() {
            assert!(
                tokens.iter().all(|token| has_rs256(&key, token)),
                "the signatures should be valid"
            );
            many += tokens.len() as u64;
        }
        many
    };
    let many = std::thread::scope(|scope| {
        let counts: Vec<_> = (0..threads).map(|_| scope.spawn(count)).collect();
        counts
            .into_iter()
            .map(|count| count.join().expect("the thread should not panic"))
            .sum()
    });
    meter.read(many)
}

/// Writes the rows that the journal stores for a delivery, one transaction per group, without queue, responses and
/// checkpoints.
fn sqlite(shop: Shop, bytes: usize, time: Duration) -> (u64, f64, Duration) {
    let folder = folder();
    let mut sqlite = super::journal::empty(folder.path());
    let mut requests = Requests::prepare(shop, bytes, 1, 1, false);
    let body = requests.body(0);
    let meter = Meter::new(time);
    let mut many = 0;
    while !meter.is_over() {
        let transaction = sqlite.transaction().expect("the transaction should begin");
        for _ in 0..GROUP {
            many += 1;
            super::journal::append(&transaction, shop, many, &body, &connection(0))
                .expect("the delivery should be written");
        }
        transaction.commit().expect("the transaction should commit");
    }
    meter.read(many)
}

async fn lapin(shop: Shop, bytes: usize, time: Duration, url: &str) -> (u64, f64, Duration) {
    let message = message(shop, bytes);
    let connection = Connection::connect(url, ConnectionProperties::default())
        .await
        .expect("the broker should accept the connection");
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        let channel = connection
            .create_channel()
            .await
            .expect("the channel should open");
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .expect("confirm mode should be enabled");
        channels.push(channel);
    }
    let meter = Meter::new(time);
    let end = meter.end;
    let publishing = channels
        .into_iter()
        .map(|channel| tokio::spawn(publish(channel, message.clone(), end)));
    let mut many = 0;
    for count in publishing.collect::<Vec<_>>() {
        many += count.await.expect("the publisher should not panic");
    }
    meter.read(many)
}

async fn publish(channel: Channel, message: Message, end: Instant) -> u64 {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let (mut many, mut waiting) = (0, VecDeque::<PublisherConfirm>::with_capacity(WINDOW));
    loop {
        let more = Instant::now() < end;
        if waiting.len() >= WINDOW || !more {
            let Some(confirm) = waiting.pop_front() else {
                return many;
            };
            assert!(
                confirm.await.expect("the broker should confirm").is_ack(),
                "the broker should accept the message"
            );
            many += 1;
        } else {
            let key = message.routing_key.as_str().into();
            let properties = properties(&message);
            let published = channel
                .basic_publish(EVENTS.into(), key, options, &message.body, properties)
                .await;
            waiting.push_back(published.expect("the message should be published"));
        }
    }
}

fn properties(message: &Message) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in &message.headers {
        headers.insert((*name).into(), AMQPValue::LongString(value.as_str().into()));
    }
    BasicProperties::default()
        .with_message_id(message.id.as_str().into())
        .with_type(message.event_type.as_str().into())
        .with_app_id(APP_ID.into())
        .with_timestamp(message.timestamp)
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(2)
        .with_headers(headers)
}

/// The message of an order's event, as the gateway publishes it.
fn message(shop: Shop, bytes: usize) -> Message {
    let mut requests = Requests::prepare(shop, bytes, 1, 1, false);
    let body = requests.body(0);
    let body = match shop {
        Shop::WooCommerce => body,
        // The journal stores only the token's claims.
        Shop::Wix => {
            let token = String::from_utf8(body).expect("a token should be text");
            let claims = token
                .split('.')
                .nth(1)
                .expect("a token should contain claims");
            URL_SAFE_NO_PAD
                .decode(claims)
                .expect("claims should be base64")
        }
    };
    let id = ConnectionId::new(&connection(0)).expect("the connection id should be valid");
    let delivery = JournaledDelivery {
        platform: shop.name().to_owned(),
        endpoint: id.clone(),
        connection: id,
        topic: shop.topic().to_owned(),
        headers: Vec::new(),
        body: body.into(),
        received_at: Timestamp::now(),
        enriched: None,
    };
    let key = DeliveryKey::of(&[b"ceiling"]);
    let entry = Entry {
        position: 1,
        key,
        kind: EntryKind::Delivery,
        redriven: false,
        attempts: 0,
        delivery,
        record: None,
    };
    Message::render(&assemble_one(&entry, 0).expect("the event should be assembled"))
        .expect("the message should be rendered")
}
