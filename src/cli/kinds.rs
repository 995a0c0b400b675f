//! The options of `connections add KIND`, built from the platforms' descriptions, and the check of their values.
//!
//! The check makes no request to a store.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Subcommand};
use secrecy::{ExposeSecret, SecretString};

use super::exit::{Exit, fail};
use crate::config::{StoreArgs, read_secret};
use crate::connections::generate_secret;
use crate::platforms::{ConnectionKind, FieldRole, PLATFORMS, WebhookPlatform};

/// The arguments of `connections add`.
#[derive(Debug)]
pub(super) struct AddArgs {
    pub(super) kind: &'static str,
    pub(super) id: String,
    pub(super) public_url: Option<String>,
    pub(super) no_register: bool,
    pub(super) allow_duplicate: bool,
    pub(super) stores: StoreArgs,
    values: BTreeMap<&'static str, String>,
    files: BTreeMap<&'static str, PathBuf>,
}

impl Subcommand for AddArgs {
    fn augment_subcommands(command: Command) -> Command {
        let kinds = PLATFORMS
            .iter()
            .flat_map(|platform| platform.connection_kinds());
        kinds.fold(
            command
                .subcommand_required(true)
                .arg_required_else_help(true),
            |command, kind| command.subcommand(describe(kind)),
        )
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        crate::platforms::connection_kind(name).is_some()
    }
}

fn describe(kind: &'static ConnectionKind) -> Command {
    let id = Arg::new("id")
        .long("id")
        .value_name("ID")
        .required(true)
        .help("Name of the connection, part of URLs and routing keys");
    let public_url = Arg::new("public_url")
        .long("public-url")
        .env("CARTWIRE_PUBLIC_URL")
        .value_name("URL");
    let mut command = Command::new(kind.name).about(kind.about).arg(id);
    if kind.receives_webhooks {
        command = command.arg(public_url.help("URL under which the store reaches the gateway"));
    }
    if kind.registers_webhooks {
        let register = Arg::new("no_register")
            .long("no-register")
            .action(ArgAction::SetTrue);
        command =
            command.arg(register.help(
                "Skip the registration of webhooks, and add the store even if its checks fail",
            ));
    }
    let allow_duplicate = Arg::new("allow_duplicate")
        .long("allow-duplicate")
        .action(ArgAction::SetTrue)
        .help(
            "Add the store even if another connection has it; each event is then published twice",
        );
    command = command.arg(allow_duplicate);
    // The options' group has its own description, which would replace the description of this command.
    command = StoreArgs::augment_args(command)
        .about(kind.about)
        .long_about(None);
    kind.fields.iter().fold(command, |command, field| {
        let arg = Arg::new(field.name)
            .help(field.help)
            .required(field.required);
        command.arg(if field.is_secret() {
            arg.long(format!("{}-file", field.name))
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
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
            public_url: kind
                .receives_webhooks
                .then(|| matches.get_one::<String>("public_url").cloned())
                .flatten(),
            no_register: kind.registers_webhooks && matches.get_flag("no_register"),
            allow_duplicate: matches.get_flag("allow_duplicate"),
            stores: StoreArgs::from_arg_matches(matches)?,
            values: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        for field in kind.fields {
            if field.is_secret() {
                args.files.extend(
                    matches
                        .get_one::<PathBuf>(field.name)
                        .map(|file| (field.name, file.clone())),
                );
            } else {
                args.values.extend(
                    matches
                        .get_one::<String>(field.name)
                        .map(|value| (field.name, value.clone())),
                );
            }
        }
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The checked values of a new connection.
pub(super) struct Typed {
    pub(super) settings: BTreeMap<String, String>,
    pub(super) secrets: Vec<(&'static str, SecretString)>,
    pub(super) generated: Option<SecretString>,
}

/// Checks all arguments, and reports all mistakes together.
pub(super) fn check(
    platform: &dyn WebhookPlatform,
    kind: &ConnectionKind,
    args: &AddArgs,
) -> anyhow::Result<Typed> {
    let mut mistakes = Vec::new();
    let mut typed = Typed {
        settings: BTreeMap::new(),
        secrets: Vec::new(),
        generated: None,
    };
    for field in kind.fields {
        let given = match (args.values.get(field.name), args.files.get(field.name)) {
            (Some(value), _) => Ok(Some(value.clone())),
            (None, Some(file)) => {
                read_secret(file).map(|secret| Some(secret.expose_secret().to_owned()))
            }
            (None, None) => Ok(None),
        };
        let option = if field.is_secret() {
            format!("--{}-file", field.name)
        } else {
            format!("--{}", field.name)
        };
        let value =
            match given.and_then(|given| given.map(|value| (field.check)(&value)).transpose()) {
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
                typed.generated = Some(secret.clone());
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
            typed.secrets.push((field.name, value));
        } else {
            typed.settings.insert(
                field.name.replace('-', "_"),
                value.expose_secret().to_owned(),
            );
        }
    }
    if mistakes.is_empty() {
        Ok(typed)
    } else {
        Err(fail(Exit::Config, mistakes.join("\n")))
    }
}
