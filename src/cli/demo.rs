//! `demo`: runs a gateway in this process and sends it the embedded fixtures over HTTP.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::events::summary;
use super::exit::{Exit, fail};
use super::output::{Output, note};
use crate::app::App;
use crate::config::{Config, DataArgs, ServeArgs};
use crate::connections::{Connection, Seal, SealedSecret};
use crate::delivery::{ConnectionId, DeliveryKey};
use crate::event::Event;
use crate::journal::entry::{DeliveryState, Position};
use crate::journal::{ConnectionChange, DataFile, DeliverySummary, EventFilter, Reader};
use crate::normalize::assemble_page;
use crate::platforms::{SignedRequest, Unsigned, WebhookPlatform, reported_problem};
use crate::replay::FixtureSender;
use crate::replay::fixture::{self, Expected, Fixture};

/// Maximum wait for the last event.
const LAST_EVENT_TIMEOUT: Duration = Duration::from_secs(60);
/// The connection's name in the fixtures' expected events.
const FIXTURE_CONNECTION: &str = "store";

#[derive(Args, Debug)]
pub(super) struct DemoArgs {
    /// Exit after the events of all fixtures
    #[arg(long)]
    once: bool,
    /// URL of a broker to publish the events to
    #[arg(long, value_name = "URL")]
    amqp_url: Option<SecretString>,
}

/// A fixture that was sent.
struct Sent {
    path: String,
    connection: ConnectionId,
    delivery: Option<DeliveryKey>,
    expected: Expected,
}

pub(super) fn run(args: &DemoArgs, output: Output) -> anyhow::Result<Exit> {
    let folder = TemporaryFolder::make()?;
    let data = DataArgs {
        data_dir: folder.0.clone(),
        master_key_file: None,
    };
    let serve = ServeArgs {
        listen: "127.0.0.1:0".to_owned(),
        admin_listen: "127.0.0.1:0".to_owned(),
        amqp_urls: args.amqp_url.clone().into_iter().collect(),
        ..ServeArgs::defaults()
    };
    let mut config = Config::new(&data, &serve)?;
    // The fixtures come from many stores, whose entities have the same ids.
    config.comparison = None;
    let fixtures = fixture::embedded()?;
    let connections = connect(&data, &fixtures)?;
    super::data::runtime()?.block_on(async {
        let app = App::build(config).await?;
        let (address, admin) = (app.address, app.admin_address);
        let (stop, stopped) = oneshot::channel::<()>();
        let gateway = tokio::spawn(app.run_until(async move { drop(stopped.await) }));
        note(&format!(
            "gateway: http://{address}   events and health: http://{admin}/api/events   data: {}",
            folder.0.display()
        ));
        let printer = Printer::new(&data, output)?;
        let result = show(
            &fixtures,
            &connections,
            &format!("http://{address}"),
            printer,
            args.once,
        )
        .await;
        let _ = stop.send(());
        gateway.await??;
        result
    })
}

async fn show(
    fixtures: &[Fixture],
    connections: &BTreeMap<(&'static str, Option<String>), ConnectionId>,
    base: &str,
    mut printer: Printer,
    once: bool,
) -> anyhow::Result<Exit> {
    let sender = FixtureSender::new(base)?;
    let mut sent = Vec::new();
    for (index, fixture) in (0_u64..).zip(fixtures) {
        let connection = &connections[&identity(fixture)];
        let (request, expected) = request(fixture, index)?;
        let answer = sender
            .send(fixture.platform().name(), connection, &request)
            .await?;
        let kept = matches!(answer.word(), Some("accepted" | "duplicate" | "ping"));
        if !kept {
            note(&format!(
                "{}: unexpected response {} {}",
                fixture.path(),
                answer.status,
                answer.body
            ));
            return Ok(Exit::No);
        }
        let delivery = answer.delivery().and_then(DeliveryKey::parse);
        sent.push(Sent {
            path: fixture.path().to_owned(),
            connection: connection.clone(),
            delivery,
            expected,
        });
        printer.print()?;
    }
    let wrong = printer.wait_for(&sent).await?;
    for line in &wrong {
        note(line);
    }
    note(&format!(
        "{} of {} fixtures gave the expected result; {} events",
        sent.len() - wrong.len(),
        sent.len(),
        printer.printed
    ));
    if once || !wrong.is_empty() {
        return Ok(if wrong.is_empty() {
            Exit::Success
        } else {
            Exit::No
        });
    }
    note("the gateway runs until you press Ctrl-C");
    let mut poll = tokio::time::interval(Duration::from_millis(300));
    loop {
        tokio::select! {
            _ = poll.tick() => printer.print()?,
            result = tokio::signal::ctrl_c() => {
                result?;
                return Ok(Exit::Success);
            }
        }
    }
}

/// The sender of a fixture: the platform, and the key of a recorded delivery.
fn identity(fixture: &Fixture) -> (&'static str, Option<String>) {
    match fixture {
        Fixture::Case(case) => (case.platform.name(), None),
        Fixture::Recorded(recorded) => (recorded.platform.name(), recorded.key.clone()),
    }
}

fn request(fixture: &Fixture, index: u64) -> anyhow::Result<(SignedRequest, Expected)> {
    let unknown = Expected {
        outcome: String::new(),
        reason: None,
        events: Vec::new(),
    };
    match fixture {
        Fixture::Recorded(recorded) => {
            let request = SignedRequest {
                headers: recorded.headers.clone(),
                body: recorded.body.clone(),
            };
            Ok((request, recorded.expected.clone().unwrap_or(unknown)))
        }
        Fixture::Case(case) => {
            let key = test_key(case.platform, "signing")?;
            let unsigned = Unsigned {
                topic: &case.topic,
                payload: &case.payload,
                nonce: index,
                options: &case.options,
            };
            let signed = case.platform.sign(&unsigned, &key, Timestamp::now());
            Ok((signed?, case.expected.clone().unwrap_or(unknown)))
        }
    }
}

fn test_key(platform: &dyn WebhookPlatform, name: &str) -> anyhow::Result<String> {
    fixture::test_key(platform, name).ok_or_else(|| {
        fail(
            Exit::Io,
            format!(
                "the embedded fixtures have no {name} key for {}",
                platform.name()
            ),
        )
    })
}

/// Adds a connection for each sender of the fixtures.
fn connect(
    data: &DataArgs,
    fixtures: &[Fixture],
) -> anyhow::Result<BTreeMap<(&'static str, Option<String>), ConnectionId>> {
    crate::database::make_folder(&data.data_dir)?;
    let seal = Seal::load(&data.data_dir, None)?;
    let mut file = DataFile::open(&data.data_dir)?;
    let mut connections = BTreeMap::new();
    for fixture in fixtures {
        let sender = identity(fixture);
        if connections.contains_key(&sender) {
            continue;
        }
        let platform = fixture.platform();
        let kind = platform
            .connection_kinds()
            .iter()
            .find(|kind| kind.receives_webhooks);
        let field = kind.and_then(|kind| {
            kind.fields
                .iter()
                .find(|field| field.verifies())
                .map(|field| (kind, field))
        });
        let (kind, field) = field.ok_or_else(|| {
            fail(
                Exit::Io,
                format!("{} receives no webhooks", platform.name()),
            )
        })?;
        let id = ConnectionId::new(&format!(
            "demo-{}-{}",
            platform.name(),
            connections.len() + 1
        ))?;
        let key = SecretString::from(match &sender.1 {
            Some(key) => key.clone(),
            None => test_key(platform, "verification")?,
        });
        let connection = Connection::new(id.clone(), platform.name(), kind.name, Timestamp::now());
        let secret = SealedSecret::new(&seal, &id, field.name, &key)?;
        file.change_connection(&ConnectionChange::Add(connection, vec![secret]))?;
        connections.insert(sender, id);
    }
    Ok(connections)
}

/// Prints the events of the event log, and compares them with the expected ones.
struct Printer {
    reader: Reader,
    output: Output,
    after: Position,
    printed: usize,
    found: BTreeMap<DeliveryKey, Vec<Value>>,
}

impl Printer {
    fn new(data: &DataArgs, output: Output) -> anyhow::Result<Self> {
        let reader = Reader::open(&data.data_dir)?;
        Ok(Self {
            reader,
            output,
            after: 0,
            printed: 0,
            found: BTreeMap::new(),
        })
    }

    fn print(&mut self) -> anyhow::Result<()> {
        loop {
            let page = self.reader.log(self.after, 100, &EventFilter::default())?;
            if page.next == self.after {
                return Ok(());
            }
            self.after = page.next;
            for (_, event) in assemble_page(&page) {
                self.output.row(&event, || summary(&event))?;
                self.printed += 1;
                self.found
                    .entry(event.id.delivery)
                    .or_default()
                    .push(comparable(&event)?);
            }
        }
    }

    /// Waits until all deliveries are settled. Returns a message for each unexpected result.
    async fn wait_for(&mut self, sent: &[Sent]) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + LAST_EVENT_TIMEOUT;
        while self.reader.backlog()?.0 > 0 && Instant::now() < deadline {
            self.print()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.print()?;
        let mut wrong = Vec::new();
        // A recorded duplicate is the same delivery as another fixture.
        let mut seen = HashSet::new();
        for one in sent {
            let Some(delivery) = one.delivery else {
                continue;
            };
            let Some((summary, _)) = self.reader.delivery(delivery)? else {
                continue;
            };
            let outcome = match summary.state {
                DeliveryState::Ignored => "ignored",
                DeliveryState::DeadLettered => "unreadable",
                DeliveryState::Logged | DeliveryState::Published => "events",
                DeliveryState::Unrouted => "unrouted",
                DeliveryState::Unsubscribed => "unsubscribed",
                DeliveryState::Pending => "pending",
            };
            let mut found = self.found.get(&delivery).cloned().unwrap_or_default();
            found.sort_by_key(Value::to_string);
            let mut expected: Vec<Value> = one
                .expected
                .events
                .iter()
                .map(|event| with_connection(event, &one.connection))
                .collect();
            for event in expected.iter_mut().filter_map(Value::as_object_mut) {
                event.remove("time");
            }
            expected.sort_by_key(Value::to_string);
            if is_announced_once(&summary, &expected) {
                continue;
            }
            if seen.insert(delivery) && (outcome != one.expected.outcome || found != expected) {
                wrong.push(format!(
                    "{}: {outcome} instead of {}, {} events instead of {}",
                    one.path,
                    one.expected.outcome,
                    found.len(),
                    expected.len()
                ));
            }
        }
        Ok(wrong)
    }
}

/// `true` if the delivery contains only a signed error. The first such delivery degrades the connection, and a separate journal
/// entry announces this.
fn is_announced_once(summary: &DeliverySummary, expected: &[Value]) -> bool {
    let is_reported_problem = summary
        .reason
        .as_deref()
        .is_some_and(|reason| reported_problem(&summary.platform, reason).is_some());
    summary.state == DeliveryState::Ignored
        && is_reported_problem
        && expected
            .iter()
            .all(|event| event["type"] == "cartwire.connection.degraded")
}

/// An event in the form of the `expected` files, without the time: some platforms' tokens contain the time of signing.
fn comparable(event: &Event) -> anyhow::Result<Value> {
    let whole = serde_json::to_value(event)?;
    let mut data = whole["data"].clone();
    if let Some(data) = data.as_object_mut() {
        data.remove("raw");
    }
    Ok(
        json!({"type": whole["type"], "subject": whole["subject"], "authority": whole["authority"], "data": data}),
    )
}

/// Replaces the fixtures' connection in an expected event by the demo's connection.
fn with_connection(event: &Value, connection: &ConnectionId) -> Value {
    match event {
        Value::String(text) if text == FIXTURE_CONNECTION => connection.as_str().into(),
        Value::String(text) => match text.rsplit_once('/') {
            Some((entity, name)) if name == FIXTURE_CONNECTION => {
                format!("{entity}/{connection}").into()
            }
            _ => event.clone(),
        },
        Value::Array(items) => items
            .iter()
            .map(|item| with_connection(item, connection))
            .collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), with_connection(value, connection)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => event.clone(),
    }
}

/// A folder that is deleted when the demo ends.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn make() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("cartwire-demo-{}", std::process::id()));
        crate::database::make_folder(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
