//! `connections`: adds, checks and changes connections. A running `serve` applies every change within two seconds.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::json;

use super::add;
use super::change::change;
use super::exit::{Exit, fail};
use super::kinds::AddArgs;
use super::output::{Output, note, table};
use super::stores::{id, no_such};
use super::{check, remove, replace};
use crate::config::{DataArgs, read_secret};
use crate::connections::{Condition, Connection, Seal, SealedSecret, Status, generate_secret};
use crate::database;
use crate::delivery::ConnectionId;
use crate::journal::{Changed, ConnectionChange, DataFile, Reader};
use crate::platforms::{FieldRole, connection_kind};
use crate::reconcile::ReadProgress;

#[derive(Subcommand, Debug)]
pub(super) enum ConnectionsCommand {
    /// Add a store or an app
    #[command(subcommand)]
    Add(AddArgs),
    /// List all connections, those with problems first
    List,
    /// Show one connection
    Show(One),
    /// Check connections at their stores, and print each problem with its remedy
    Check(check::CheckArgs),
    /// Store a connection's deliveries without publishing them
    Pause(One),
    /// Publish the deliveries of a paused connection, oldest first
    Resume(One),
    /// Give a connection a new key or secret; the previous one stays valid for a grace time
    RotateSecret(Rotate),
    /// Replace the credentials for requests to a store, after a check; deliveries and states stay
    SetCredentials(replace::SetCredentials),
    /// Replace the URL of a store, after a check; deliveries and states stay
    SetUrl(replace::SetUrl),
    /// Remove a connection and the webhooks that Cartwire registered at its store; received deliveries stay
    Remove(remove::RemoveArgs),
}

#[derive(Args, Debug)]
pub(super) struct One {
    /// Id of the connection
    id: String,
}

#[derive(Args, Debug)]
pub(super) struct Rotate {
    /// Id of the connection
    id: String,
    /// File with the new key or secret [default: a secret is made, if the platform allows it]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Hours for which the previous key or secret stays valid
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(0..=8760))]
    grace_hours: u32,
}

pub(super) fn run(
    data: &DataArgs,
    command: ConnectionsCommand,
    output: Output,
) -> anyhow::Result<Exit> {
    match command {
        ConnectionsCommand::Add(args) => add::run(data, &args, output),
        ConnectionsCommand::List => list(data, output),
        ConnectionsCommand::Show(one) => show(data, &one.id()?, output),
        ConnectionsCommand::Pause(one) => {
            change(data, &one.id()?, ConnectionChange::Pause)?.print("is paused", output)
        }
        ConnectionsCommand::Resume(one) => resume(data, &one.id()?, output),
        ConnectionsCommand::RotateSecret(args) => rotate(data, &args, output),
        ConnectionsCommand::SetCredentials(args) => replace::set_credentials(data, &args, output),
        ConnectionsCommand::SetUrl(args) => replace::set_url(data, &args, output),
        ConnectionsCommand::Check(args) => check::run(data, &args, output),
        ConnectionsCommand::Remove(args) => remove::run(data, &args, output),
    }
}

impl One {
    fn id(&self) -> anyhow::Result<ConnectionId> {
        id(&self.id)
    }
}

/// Resumes a connection, and prints what ended: the pause, or a problem that the operator has solved.
fn resume(data: &DataArgs, id: &ConnectionId, output: Output) -> anyhow::Result<Exit> {
    let connection = super::data::open_data(data)?
        .connection(id)?
        .ok_or_else(|| no_such(id))?;
    let reason = connection.reason.as_deref().unwrap_or("unknown");
    let done = match connection.status {
        Status::Paused => match connection.condition() {
            Condition::Connected => "is not paused any more".to_owned(),
            condition @ (Condition::Degraded(_) | Condition::Disconnected(_)) => format!(
                "is not paused any more, and {} as before ({})",
                condition.status().as_str(),
                condition.reason().unwrap_or("unknown")
            ),
        },
        Status::Degraded => format!("is connected: the problem \"{reason}\" is cleared"),
        Status::Connected => "was neither paused nor degraded: nothing is changed".to_owned(),
        Status::Disconnected => format!("stays disconnected ({reason}): nothing is changed"),
    };
    change(data, id, ConnectionChange::Resume)?.print(&done, output)
}

fn list(data: &DataArgs, output: Output) -> anyhow::Result<Exit> {
    let reader = super::data::open_data(data)?;
    let mut connections = reader.connections()?;
    super::data::note_damaged(&reader);
    // Problems come first; a pause is not a problem.
    connections.sort_by_key(|connection| {
        let rank = match connection.status {
            Status::Disconnected => 0,
            Status::Degraded => 1,
            Status::Paused => 2,
            Status::Connected => 3,
        };
        (rank, connection.id.clone())
    });
    // The record of a gateway that does not run any more may be old.
    let broker = if database::is_served(&data.data_dir) {
        reader.broker_trouble()?
    } else {
        None
    };
    let listed = connections
        .into_iter()
        .map(|connection| Listed::of(connection, &reader))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let value = match &broker {
        None => json!({"connections": listed}),
        Some(broker) => json!({"broker": broker, "connections": listed}),
    };
    output.value(&value, || {
        let head = [
            "ID",
            "KIND",
            "STATUS",
            "REASON",
            "SINCE",
            "FOLLOWED BY",
            "BEHIND",
            "OF",
        ];
        let table = table(&head, &listed.iter().map(Listed::row).collect::<Vec<_>>());
        match &broker {
            None => table,
            Some(broker) => format!(
                "broker, since {:.0}: {}\n{table}",
                broker.since, broker.detail
            ),
        }
    })?;
    Ok(Exit::Success)
}

/// A connection in the list.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    connection: Connection,
    #[serde(flatten)]
    progress: ReadProgress,
}

impl Listed {
    fn of(connection: Connection, reader: &Reader) -> anyhow::Result<Self> {
        let reads = reader.store_reads(&connection.id)?;
        Ok(Self {
            progress: ReadProgress::of(&connection, &reads, Timestamp::now()),
            connection,
        })
    }

    fn row(&self) -> Vec<String> {
        let Self {
            connection,
            progress,
        } = self;
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            connection.id.to_string(),
            connection.kind.clone(),
            connection.status.as_str().to_owned(),
            or_dash(connection.reason.clone()),
            format!("{:.0}", connection.changed_at),
            progress.followed_by.to_owned(),
            or_dash(progress.behind_seconds.map(age)),
            or_dash(connection.parent.as_ref().map(ToString::to_string)),
        ]
    }
}

/// An age in its largest unit, such as `45s`, `12m`, `3h` or `2d`.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn show(data: &DataArgs, id: &ConnectionId, output: Output) -> anyhow::Result<Exit> {
    let reader = super::data::open_data(data)?;
    let connection = reader.connection(id)?.ok_or_else(|| no_such(id))?;
    let secrets = reader.secrets(id, Timestamp::now())?;
    let secrets: Vec<_> = secrets
        .iter()
        .map(|s| json!({"name": s.name, "valid_until": s.valid_until}))
        .collect();
    let endpoint = connection
        .described_kind()
        .filter(|kind| kind.receives_webhooks)
        .map(|_| connection.webhook_path());
    let reads = reader.store_reads(id)?;
    let connection = Listed::of(connection, &reader)?;
    let value =
        json!({"connection": connection, "endpoint": endpoint, "secrets": secrets, "reads": reads});
    output.value(&value, || {
        serde_json::to_string_pretty(&value).unwrap_or_default()
    })?;
    Ok(Exit::Success)
}

fn rotate(data: &DataArgs, args: &Rotate, output: Output) -> anyhow::Result<Exit> {
    let id = id(&args.id)?;
    let connection = super::data::open_data(data)?
        .connection(&id)?
        .ok_or_else(|| no_such(&id))?;
    let described = connection_kind(&connection.kind);
    let field = described.and_then(|(platform, kind)| {
        kind.fields
            .iter()
            .find(|field| field.verifies())
            .map(|field| (platform, field))
    });
    let Some((platform, field)) = field else {
        return Err(fail(
            Exit::No,
            format!("connection {id} has no key of its own that verifies webhooks"),
        ));
    };
    let (secret, generated) = match (&args.secret_file, field.role) {
        (Some(path), _) => (
            read_secret(path)
                .map_err(|right| fail(Exit::Config, format!("--secret-file: {right}")))?,
            false,
        ),
        (None, FieldRole::GeneratedVerificationKey) => (generate_secret()?, true),
        (None, _) => {
            return Err(fail(
                Exit::Usage,
                "--secret-file is needed: the platform makes this key, not we",
            ));
        }
    };
    let wrong = |error: String| fail(Exit::Config, format!("--secret-file: {error}"));
    let secret = (field.check)(secret.expose_secret()).map_err(wrong)?.into();
    platform
        .verification_key(ExposeSecret::<str>::expose_secret(&secret))
        .map_err(|error| wrong(error.to_string()))?;
    let seal = Seal::load_existing(&data.data_dir, data.master_key_file.as_deref())?;
    let mut file = DataFile::open(&data.data_dir)?;
    file.unlock(&seal)?;
    let sealed = SealedSecret::new(&seal, &id, field.name, &secret)?;
    let grace = SignedDuration::from_hours(i64::from(args.grace_hours));
    if file.change_connection(&ConnectionChange::Rotate(id.clone(), sealed, grace))?
        == Changed::NoSuchConnection
    {
        return Err(no_such(&id));
    }
    let shown = generated.then(|| secret.expose_secret().to_owned());
    output.value(
        &json!({"connection": id, "secret": shown, "previous_valid_hours": args.grace_hours}),
        || {
            let mut text = format!(
                "connection {id} has a new secret; the one before stays valid for {} hours",
                args.grace_hours
            );
            if let Some(secret) = &shown {
                text += &format!("\n  secret: {secret}   (shown only now)");
            }
            text
        },
    )?;
    if generated && !output.json {
        note(&format!(
            "the store does not know it yet: run cartwire connections check {id} --fix, or give it to the store's webhooks by hand; \
             once the one before has expired, what is signed with it is turned away"
        ));
    }
    Ok(Exit::Success)
}
