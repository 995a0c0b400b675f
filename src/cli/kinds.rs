//! The options of `connections add KIND`, built from the platforms' descriptions, and the check of their values.
//!
//! The check makes no request to a store.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Subcommand};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::exit::{Exit, fail};
use super::past_time::begin;
use crate::config::{StoreArgs, read_secret};
use crate::connections::generate_secret;
use crate::connections::polling::{POLL_FROM, POLL_INTERVAL_SECONDS};
use crate::platforms::{
    ConnectionKind, FOLLOWED_BY, FieldRole, PLATFORMS, POLLING, WebhookPlatform,
};

/// The arguments of `connections add`.
#[derive(Debug)]
pub(super) struct AddArgs {
    pub(super) kind: &'static str,
    pub(super) id: String,
    pub(super) public_url: Option<String>,
    pub(super) no_register: bool,
    pub(super) allow_duplicate: bool,
    pub(super) polling: PollingArgs,
    pub(super) stores: StoreArgs,
    values: BTreeMap<&'static str, String>,
    files: BTreeMap<&'static str, PathBuf>,
}

/// How a store is followed by polling.
#[derive(Debug, Default)]
pub(super) struct PollingArgs {
    /// `true` if the store is polled although its platform has webhooks.
    pub(super) follow: bool,
    from: Option<Timestamp>,
    interval_seconds: Option<u64>,
}

impl PollingArgs {
    fn add_to(command: Command, kind: &ConnectionKind) -> Command {
        let mut from = Arg::new("from")
            .long("from")
            .value_name("TIME")
            .value_parser(begin)
            .help("Publish what changes after this time: now, all, or a date such as 2026-11-21 [default: now]");
        let mut interval = Arg::new("poll_interval_seconds")
            .long("poll-interval-seconds")
            .value_name("SECONDS")
            .value_parser(clap::value_parser!(u64).range(1..=86_400))
            .help("Seconds between two reads of the store's orders [default: that of `serve`]");
        let mut command = command;
        if kind.receives_webhooks {
            let follow = Arg::new("follow").long("follow").action(ArgAction::SetTrue);
            command = command.arg(follow.help(
                "Follow the store by reading it, without webhooks: for a key without write permission, or without a public URL",
            ));
            (from, interval) = (from.requires("follow"), interval.requires("follow"));
        }
        command.arg(from).arg(interval)
    }

    fn of(matches: &ArgMatches, kind: &ConnectionKind) -> Self {
        if !kind.can_be_polled {
            return Self::default();
        }
        Self {
            follow: kind.receives_webhooks && matches.get_flag("follow"),
            from: matches.get_one("from").copied(),
            interval_seconds: matches.get_one("poll_interval_seconds").copied(),
        }
    }

    fn settings(&self) -> impl Iterator<Item = (String, String)> {
        let follow = self.follow.then(|| (FOLLOWED_BY, POLLING.to_owned()));
        let from = self.from.map(|from| (POLL_FROM, from.to_string()));
        let interval = self.interval_seconds;
        let interval = interval.map(|seconds| (POLL_INTERVAL_SECONDS, seconds.to_string()));
        let settings = [follow, from, interval].into_iter().flatten();
        settings.map(|(name, value)| (name.to_owned(), value))
    }
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
    if kind.can_be_polled {
        command = PollingArgs::add_to(command, kind);
    }
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
            polling: PollingArgs::of(matches, kind),
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
        settings: args.polling.settings().collect(),
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
            (None, FieldRole::GeneratedVerificationKey) if !args.polling.follow => {
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
