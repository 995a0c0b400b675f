//! `replay`: sends fixtures to a running gateway, signed with the connections' own keys.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::exit::{Exit, fail};
use super::output::{Output, bar};
use crate::config::DataArgs;
use crate::connections::{Connection, Seal, Status};
use crate::delivery::ConnectionId;
use crate::journal::Reader;
use crate::platforms::{
    RegisteredWebhooks, SignedRequest, Unsigned, WebhookPlatform, registered_webhooks,
};
use crate::replay::FixtureSender;
use crate::replay::fixture::{self, Fixture};
use crate::report::ErrorChain;

/// The credential with a private signing key, for platforms whose verification key cannot sign. For tests only.
const SIGNING_KEY_FIELD: &str = "signing-key";

/// The option of a fixture that names the delivering webhook.
const WEBHOOK_ID: &str = "webhook_id";

#[derive(Args, Debug)]
pub(super) struct ReplayArgs {
    /// Folders or files with fixtures
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// URL of the gateway's public listener
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    to: String,
    /// Connection that receives the fixtures [default: the only one of the fixture's platform]
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
}

/// The connection and the key for a platform's fixtures.
struct Identity {
    id: ConnectionId,
    key: SecretString,
    webhooks: RegisteredWebhooks,
}

pub(super) fn run(data: &DataArgs, args: &ReplayArgs, output: Output) -> anyhow::Result<Exit> {
    let to = crate::config::web_address(&args.to)
        .map_err(|right| fail(Exit::Usage, format!("--to: {right}")))?;
    let mut fixtures = Vec::new();
    for path in &args.paths {
        fixtures.append(&mut fixture::read(path)?);
    }
    let reader = super::data::open_data(data)?;
    if reader.connections()?.is_empty() {
        return Err(fail(
            Exit::No,
            "there is no connection to send to: add one with `connections add`",
        ));
    }
    let seal = Seal::load_existing(&data.data_dir, data.master_key_file.as_deref())?;
    let mut identities = BTreeMap::new();
    for fixture in &fixtures {
        let platform = fixture.platform();
        if !identities.contains_key(platform.name()) {
            identities.insert(
                platform.name(),
                identity(&reader, &seal, platform, args.connection.as_deref())?,
            );
        }
    }
    super::data::runtime()?.block_on(async {
        let sender = FixtureSender::new(&to)?;
        let mut counts = BTreeMap::<String, u64>::new();
        let progress = bar(fixtures.len() as u64, "replaying");
        for (index, fixture) in (0_u64..).zip(&fixtures) {
            let platform = fixture.platform();
            let Some(identity) = identities.get(platform.name()) else {
                continue;
            };
            let request = signed(fixture, identity, nonce(index))?;
            let answer = sender.send(platform.name(), &identity.id, &request).await;
            // A single error, because an error in a context would hide the exit code.
            let answer = answer.map_err(|error| {
                fail(
                    Exit::Unavailable,
                    format!("{to} is not reachable: {}", ErrorChain(&error)),
                )
            })?;
            progress.inc(1);
            let word = answer
                .word()
                .map_or_else(|| answer.status.to_string(), str::to_owned);
            *counts.entry(word.clone()).or_default() += 1;
            let value =
                json!({"fixture": fixture.path(), "status": answer.status, "answer": answer.body});
            output.row(&value, || format!("{word:<10} {}", fixture.path()))?;
        }
        progress.finish_and_clear();
        let refused = counts.keys().any(|word| word.parse::<u16>().is_ok());
        Ok(if refused { Exit::No } else { Exit::Success })
    })
}

/// Different in every run, so that a replay is not a duplicate of an earlier one if the platform signs the nonce.
fn nonce(index: u64) -> u64 {
    Timestamp::now()
        .as_microsecond()
        .unsigned_abs()
        .wrapping_add(index)
}

fn signed(fixture: &Fixture, identity: &Identity, nonce: u64) -> anyhow::Result<SignedRequest> {
    match fixture {
        Fixture::Recorded(recorded) => Ok(SignedRequest {
            headers: recorded.headers.clone(),
            body: recorded.body.clone(),
        }),
        Fixture::Case(case) => {
            let options = with_webhook(&case.options, &case.topic, &identity.webhooks);
            let unsigned = Unsigned {
                topic: &case.topic,
                payload: &case.payload,
                nonce,
                options: &options,
            };
            let signed =
                case.platform
                    .sign(&unsigned, identity.key.expose_secret(), Timestamp::now());
            signed.map_err(|error| {
                let hint =
                    format!("connection {} cannot sign: {error}; add the connection with --{SIGNING_KEY_FIELD}-file", identity.id);
                fail(Exit::Config, hint)
            })
        }
    }
}

/// The options with the id of the webhook that the store registered for the topic: a delivery of another webhook would be a
/// topic mismatch. A fixture that names a webhook keeps it.
fn with_webhook(
    options: &BTreeMap<String, String>,
    topic: &str,
    webhooks: &RegisteredWebhooks,
) -> BTreeMap<String, String> {
    let mut options = options.clone();
    if let Some(id) = webhooks.id_of(topic) {
        options
            .entry(WEBHOOK_ID.to_owned())
            .or_insert_with(|| id.to_owned());
    }
    options
}

fn identity(
    reader: &Reader,
    seal: &Seal,
    platform: &dyn WebhookPlatform,
    named: Option<&str>,
) -> anyhow::Result<Identity> {
    let receives = |connection: &Connection| {
        connection
            .described_kind()
            .is_some_and(|kind| kind.receives_webhooks)
    };
    let mut fitting: Vec<Connection> = reader.connections()?;
    fitting.retain(|c| {
        c.platform == platform.name() && receives(c) && named.is_none_or(|id| c.id.as_str() == id)
    });
    let connection = match &fitting[..] {
        [connection] if connection.status != Status::Disconnected => connection,
        [_] => return Err(fail(Exit::No, "the connection is disconnected")),
        [] => {
            return Err(fail(
                Exit::No,
                format!(
                    "no connection of {} receives webhooks: add one with `connections add`",
                    platform.name()
                ),
            ));
        }
        _ => {
            return Err(fail(
                Exit::Usage,
                format!(
                    "{} connections of {}: choose one with --connection",
                    fitting.len(),
                    platform.name()
                ),
            ));
        }
    };
    let secrets = reader.secrets(&connection.id, Timestamp::now())?;
    let verifies = |name: &str| {
        connection.described_kind().is_some_and(|kind| {
            kind.fields
                .iter()
                .any(|field| field.verifies() && field.name == name)
        })
    };
    let secret = secrets
        .iter()
        .find(|s| s.name == SIGNING_KEY_FIELD)
        .or_else(|| secrets.iter().find(|s| verifies(&s.name)));
    let secret =
        secret.ok_or_else(|| fail(Exit::No, format!("connection {} has no key", connection.id)))?;
    Ok(Identity {
        id: connection.id.clone(),
        key: secret.open(seal, &connection.id)?,
        webhooks: registered_webhooks(platform, &connection.settings),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixture_is_sent_as_the_webhook_registered_for_its_topic() {
        let mut webhooks = RegisteredWebhooks::default();
        webhooks.add("17", "order.updated");
        let none = BTreeMap::new();
        let named = BTreeMap::from([(WEBHOOK_ID.to_owned(), "3".to_owned())]);
        let id = |options: &BTreeMap<String, String>, topic: &str| {
            with_webhook(options, topic, &webhooks)
                .get(WEBHOOK_ID)
                .cloned()
        };
        assert_eq!(id(&none, "order.updated").as_deref(), Some("17"));
        assert_eq!(id(&named, "order.updated").as_deref(), Some("3"));
        assert_eq!(id(&none, "order.deleted"), None);
    }
}
