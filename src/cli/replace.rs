//! `connections set-credentials` and `set-url`: replace what a connection needs to reach its store.
//!
//! The store is checked with the new values first. Deliveries, known states and the progress of reads stay.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::add::is_same_store;
use super::exit::{Exit, fail};
use super::output::Output;
use super::stores::{self, CheckedStore, StoreChecker, no_such};
use crate::config::{DataArgs, StoreArgs, read_secret};
use crate::connections::context::DELIVERY_URL;
use crate::connections::{Connection, SealedSecret};
use crate::delivery::ConnectionId;
use crate::journal::{Changed, ConnectionChange, Reader};
use crate::monitor::check;
use crate::outbound::Outbound;
use crate::platforms::api::{CheckMode, CheckReport};
use crate::platforms::{Field, FieldRole, PLATFORMS, connection_kind};

/// The setting with the store's URL.
const URL: &str = "url";

#[derive(Args, Debug)]
pub(super) struct SetUrl {
    /// Id of the connection
    id: String,
    /// The new URL of the store
    #[arg(value_name = "URL")]
    url: String,
    #[command(flatten)]
    replace: ReplaceArgs,
}

/// The arguments of `connections set-credentials`: a file for each credential that a kind of connection has.
#[derive(Debug)]
pub(super) struct SetCredentials {
    id: String,
    files: BTreeMap<&'static str, PathBuf>,
    replace: ReplaceArgs,
}

#[derive(Args, Debug)]
pub(super) struct ReplaceArgs {
    /// Replace without a check of the store
    #[arg(long)]
    no_check: bool,
    #[command(flatten)]
    stores: StoreArgs,
}

/// The credentials of all kinds of connections, each name once.
fn credentials() -> Vec<&'static Field> {
    let kinds = PLATFORMS
        .iter()
        .flat_map(|platform| platform.connection_kinds());
    let mut found: Vec<&'static Field> = Vec::new();
    for field in kinds.flat_map(|kind| kind.fields) {
        let is_new = found.iter().all(|known| known.name != field.name);
        if field.role == FieldRole::Credential && is_new {
            found.push(field);
        }
    }
    found
}

impl Args for SetCredentials {
    fn augment_args(command: Command) -> Command {
        let about = command.get_about().cloned();
        let id = Arg::new("id")
            .value_name("ID")
            .required(true)
            .help("Id of the connection");
        let command = ReplaceArgs::augment_args(command.arg(id));
        let command = credentials().into_iter().fold(command, |command, field| {
            let arg = Arg::new(field.name)
                .long(format!("{}-file", field.name))
                .value_name("FILE")
                .help(field.help);
            command.arg(arg.value_parser(clap::value_parser!(PathBuf)))
        });
        match about {
            Some(about) => command.about(about),
            None => command,
        }
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SetCredentials {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let file = |field: &Field| matches.get_one::<PathBuf>(field.name).cloned();
        let files = credentials()
            .into_iter()
            .filter_map(|field| Some((field.name, file(field)?)));
        Ok(Self {
            id: matches.get_one::<String>("id").cloned().unwrap_or_default(),
            files: files.collect(),
            replace: ReplaceArgs::from_arg_matches(matches)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// New values of a connection.
struct Replacement {
    connection: Connection,
    settings: BTreeMap<String, String>,
    secrets: BTreeMap<&'static str, SecretString>,
    /// What is replaced, for the output.
    name: &'static str,
}

pub(super) fn set_url(data: &DataArgs, args: &SetUrl, output: Output) -> anyhow::Result<Exit> {
    let connection = connection(&super::data::open_data(data)?, &args.id)?;
    let kind = connection_kind(&connection.kind).map(|(_, kind)| kind);
    let field = kind.and_then(|kind| kind.fields.iter().find(|field| field.name == URL));
    let Some(field) = field else {
        let text = format!("connection {} has no URL of a store", connection.id);
        return Err(fail(Exit::Usage, text));
    };
    let url =
        (field.check)(&args.url).map_err(|right| fail(Exit::Config, format!("URL: {right}")))?;
    let moved = Connection {
        settings: BTreeMap::from([(URL.to_owned(), url.clone())]),
        ..connection.clone()
    };
    let others = super::data::open_data(data)?.connections()?;
    let is_same = |other: &&Connection| {
        other.id != connection.id && kind.is_some_and(|kind| is_same_store(kind, &moved, other))
    };
    if let Some(other) = others.iter().find(is_same) {
        let text = format!(
            "connection {} is this store already, and each event would come twice: remove one of them",
            other.id
        );
        return Err(fail(Exit::No, text));
    }
    let new = Replacement {
        connection,
        settings: BTreeMap::from([(URL.to_owned(), url)]),
        secrets: BTreeMap::new(),
        name: "URL",
    };
    new.run(data, &args.replace, output)
}

pub(super) fn set_credentials(
    data: &DataArgs,
    args: &SetCredentials,
    output: Output,
) -> anyhow::Result<Exit> {
    let connection = connection(&super::data::open_data(data)?, &args.id)?;
    let fields = connection_kind(&connection.kind).map_or(&[][..], |(_, kind)| kind.fields);
    let own: Vec<&Field> = fields
        .iter()
        .filter(|field| field.role == FieldRole::Credential)
        .collect();
    let options = || {
        let options = own.iter().map(|field| format!("--{}-file", field.name));
        options.collect::<Vec<_>>().join(", ")
    };
    if args.files.is_empty()
        || args
            .files
            .keys()
            .any(|name| own.iter().all(|own| own.name != *name))
    {
        let text = match own.is_empty() {
            true => format!("connection {} has no credentials", connection.id),
            false => format!(
                "give connection {} at least one of {}, and no other",
                connection.id,
                options()
            ),
        };
        return Err(fail(Exit::Usage, text));
    }
    let mut secrets = BTreeMap::new();
    for field in own {
        let Some(file) = args.files.get(field.name) else {
            continue;
        };
        let value = read_secret(file).and_then(|secret| (field.check)(secret.expose_secret()));
        let wrong = |right| fail(Exit::Config, format!("--{}-file: {right}", field.name));
        secrets.insert(field.name, SecretString::from(value.map_err(wrong)?));
    }
    let new = Replacement {
        connection,
        settings: BTreeMap::new(),
        secrets,
        name: "credentials",
    };
    new.run(data, &args.replace, output)
}

fn connection(reader: &Reader, id: &str) -> anyhow::Result<Connection> {
    let id = stores::id(id)?;
    reader.connection(&id)?.ok_or_else(|| no_such(&id))
}

impl Replacement {
    fn id(&self) -> &ConnectionId {
        &self.connection.id
    }

    fn run(self, data: &DataArgs, args: &ReplaceArgs, output: Output) -> anyhow::Result<Exit> {
        let (mut file, seal) = stores::unlocked(data)?;
        let checker = StoreChecker {
            outbound: Outbound::new(&args.stores.options()?)?,
            seal,
            public_url: None,
        };
        let runtime = super::data::runtime()?;
        let reader = super::data::open_data(data)?;
        if !args.no_check
            && let Some(report) = runtime.block_on(self.try_out(&reader, &checker))?
            && report.trouble().is_some()
        {
            let value =
                json!({"connection": self.id(), "changed": false, "findings": report.findings});
            output.value(&value, || {
                let reported = stores::reported(&report);
                format!(
                    "nothing is changed: the store does not work with the new {}{reported}",
                    self.name
                )
            })?;
            return Ok(Exit::No);
        }
        let sealed = self
            .secrets
            .iter()
            .map(|(name, secret)| SealedSecret::new(&checker.seal, self.id(), name, secret));
        let change = ConnectionChange::Replace {
            id: self.id().clone(),
            settings: self.settings.clone(),
            secrets: sealed.collect::<Result<_, _>>()?,
        };
        if file.change_connection(&change)? == Changed::NoSuchConnection {
            return Err(no_such(self.id()));
        }
        super::gateway::wait_until_applied(&data.data_dir)?;
        let stored = connection(&reader, self.id().as_str())?;
        let checked_stores = runtime.block_on(checker.check(
            &reader,
            vec![stored],
            CheckMode::Check,
            |one| stores::keep(&mut file, one),
        ))?;
        let check = checked_stores.first();
        let value = json!({"connection": self.id(), "changed": true, "check": check.map(CheckedStore::json)});
        output.value(&value, || {
            let check = check.map(CheckedStore::text).unwrap_or_default();
            format!("connection {} has new {}\n{check}", self.id(), self.name)
        })?;
        let is_well = check.is_none_or(|check| !check.is_in_trouble());
        Ok(if is_well { Exit::Success } else { Exit::No })
    }

    /// Checks the store with the new values; `None` if the connection cannot be checked. The webhooks are not compared.
    async fn try_out(
        &self,
        reader: &Reader,
        checker: &StoreChecker,
    ) -> anyhow::Result<Option<CheckReport>> {
        let Some(mut context) = checker.context(reader, &self.connection)? else {
            return Ok(None);
        };
        context.settings.extend(self.settings.clone());
        context.settings.remove(DELIVERY_URL);
        context.delivery_url = None;
        for (name, secret) in &self.secrets {
            context.secrets.insert((*name).to_owned(), secret.clone());
        }
        let outcome = check::run(
            &checker.outbound,
            &self.connection,
            &context,
            CheckMode::Check,
        );
        Ok(outcome.await.report)
    }
}
