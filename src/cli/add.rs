//! `connections add KIND`: its subcommands and options are made from what the platforms describe.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, Subcommand};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::exit::{Exit, fail};
use super::output::{Output, note};
use crate::config::{DataArgs, read_secret};
use crate::connections::{Connection, Seal, SealedSecret, generate_secret};
use crate::delivery::ConnectionId;
use crate::journal::{Changed, ConnectionChange, DataFile};
use crate::platforms::{ConnectionKind, FieldRole, PLATFORMS, Platform};

/// What was typed after `connections add`.
#[derive(Debug)]
pub(super) struct AddArgs {
    kind: &'static str,
    id: String,
    public_url: Option<String>,
    values: BTreeMap<&'static str, String>,
    files: BTreeMap<&'static str, PathBuf>,
}

impl Subcommand for AddArgs {
    fn augment_subcommands(command: Command) -> Command {
        let kinds = PLATFORMS.iter().flat_map(|platform| platform.connection_kinds());
        kinds.fold(command.subcommand_required(true).arg_required_else_help(true), |command, kind| {
            command.subcommand(describe(kind))
        })
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        crate::platforms::connection_kind(name).is_some()
    }
}

fn describe(kind: &'static ConnectionKind) -> Command {
    let id = Arg::new("id").long("id").value_name("ID").required(true).help("What to call it: stands in URLs and routing keys");
    let public_url = Arg::new("public_url").long("public-url").env("CARTWIRE_PUBLIC_URL").value_name("URL");
    let mut command = Command::new(kind.name).about(kind.about).arg(id);
    if kind.receives_webhooks {
        command = command.arg(public_url.help("The address under which the store reaches the gateway"));
    }
    if kind.registers_webhooks {
        let register = Arg::new("no_register").long("no-register").action(ArgAction::SetTrue);
        command = command.arg(register.help("Do not register webhooks at the store"));
    }
    kind.fields.iter().fold(command, |command, field| {
        let arg = Arg::new(field.name).help(field.help).required(field.required);
        command.arg(if field.is_secret() {
            arg.long(format!("{}-file", field.name)).value_name("FILE").value_parser(clap::value_parser!(PathBuf))
        } else {
            arg.long(field.name).value_name(field.value)
        })
    })
}

impl FromArgMatches for AddArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (name, matches) = matches.subcommand().ok_or_else(missing)?;
        let (_, kind) = crate::platforms::connection_kind(name).ok_or_else(missing)?;
        let mut args = AddArgs {
            kind: kind.name,
            id: matches.get_one::<String>("id").cloned().unwrap_or_default(),
            public_url: kind.receives_webhooks.then(|| matches.get_one::<String>("public_url").cloned()).flatten(),
            values: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        for field in kind.fields {
            if field.is_secret() {
                args.files.extend(matches.get_one::<PathBuf>(field.name).map(|file| (field.name, file.clone())));
            } else {
                args.values.extend(matches.get_one::<String>(field.name).map(|value| (field.name, value.clone())));
            }
        }
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What is to be added, checked.
struct Checked {
    settings: BTreeMap<String, String>,
    secrets: Vec<(&'static str, SecretString)>,
    generated: Option<SecretString>,
}

/// Checks everything that was typed and tells all mistakes at once.
fn check(platform: &dyn Platform, kind: &ConnectionKind, args: &AddArgs) -> anyhow::Result<Checked> {
    let mut mistakes = Vec::new();
    let mut checked = Checked { settings: BTreeMap::new(), secrets: Vec::new(), generated: None };
    for field in kind.fields {
        let given = match (args.values.get(field.name), args.files.get(field.name)) {
            (Some(value), _) => Ok(Some(value.clone())),
            (None, Some(file)) => read_secret(file).map(|secret| Some(secret.expose_secret().to_owned())),
            (None, None) => Ok(None),
        };
        let option = if field.is_secret() { format!("--{}-file", field.name) } else { format!("--{}", field.name) };
        let value = match given.and_then(|given| given.map(|value| (field.check)(&value)).transpose()) {
            Ok(value) => value,
            Err(right) => {
                mistakes.push(format!("{option}: {right}"));
                continue;
            }
        };
        let value = match (value, field.role) {
            (Some(value), _) => SecretString::from(value),
            (None, FieldRole::GeneratedVerificationKey) => {
                let secret = generate_secret()?;
                checked.generated = Some(secret.clone());
                secret
            }
            (None, _) => continue,
        };
        if field.verifies()
            && let Err(wrong) = platform.verification_key(value.expose_secret())
        {
            mistakes.push(format!("{option}: {wrong}"));
        }
        if field.is_secret() {
            checked.secrets.push((field.name, value));
        } else {
            checked.settings.insert(field.name.replace('-', "_"), value.expose_secret().to_owned());
        }
    }
    if mistakes.is_empty() { Ok(checked) } else { Err(fail(Exit::Config, mistakes.join("\n"))) }
}

pub(super) fn run(data: &DataArgs, args: &AddArgs, output: Output) -> anyhow::Result<Exit> {
    let missing = || fail(Exit::Usage, format!("{} is no kind of connection", args.kind));
    let (platform, kind) = crate::platforms::connection_kind(args.kind).ok_or_else(missing)?;
    let id = ConnectionId::new(&args.id).map_err(|error| fail(Exit::Config, format!("--id: {error}")))?;
    let public_url = args.public_url.as_deref().map(crate::config::web_address).transpose();
    let public_url = public_url.map_err(|right| fail(Exit::Config, format!("--public-url: {right}")))?;
    let checked = check(platform, kind, args)?;
    crate::sqlite::make_folder(&data.data_dir)?;
    let seal = Seal::load(&data.data_dir, data.master_key_file.as_deref())?;
    let connection = Connection::new(id.clone(), platform.name(), kind.name, checked.settings, Timestamp::now());
    let secrets = checked.secrets.iter().map(|(name, secret)| SealedSecret::new(&seal, &id, name, secret));
    let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
    let mut file = DataFile::open(&data.data_dir)?;
    file.unlock(&seal)?;
    match file.change_connection(&ConnectionChange::Add(connection.clone(), secrets))? {
        Changed::Yes => {}
        Changed::Taken | Changed::No | Changed::NoSuchConnection => {
            return Err(fail(Exit::No, format!("there is a connection {id} already: remove it first, or choose another --id")));
        }
    }
    let path = format!("/webhooks/{}/{id}", platform.name());
    let url = kind.receives_webhooks.then(|| format!("{}{path}", public_url.as_deref().unwrap_or("https://YOUR-PUBLIC-ADDRESS")));
    let shown = checked.generated.as_ref().map(|secret| secret.expose_secret().to_owned());
    let value = json!({"connection": connection, "url": url, "secret": shown});
    output.value(&value, || {
        let mut text = format!("connection {id} is added");
        if let Some(url) = &url {
            text += &format!("\n  webhooks: {url}");
        }
        if let Some(secret) = &shown {
            text += &format!("\n  secret:   {secret}   (shown only now)");
        }
        text
    })?;
    if !output.json && !kind.next_step.is_empty() {
        note(&kind.next_step.replace("{url}", url.as_deref().unwrap_or_default()));
    }
    Ok(Exit::Success)
}
