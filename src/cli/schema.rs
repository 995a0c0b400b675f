//! `schema`: prints the JSON Schema of the events.

use clap::Subcommand;

use super::exit::Exit;
use super::output::json;
use crate::event::json_schema;

#[derive(Subcommand, Debug)]
pub(super) enum SchemaCommand {
    /// JSON Schema 2020-12 of an event
    Event,
}

pub(super) fn run(command: &SchemaCommand) -> anyhow::Result<Exit> {
    match command {
        SchemaCommand::Event => json(&json_schema())?,
    }
    Ok(Exit::Success)
}
