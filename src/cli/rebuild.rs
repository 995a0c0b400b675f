//! `entities rebuild`: makes the known states again from the stored deliveries.

use std::collections::HashMap;

use anyhow::Context as _;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Number, json};

use super::exit::{Exit, fail};
use super::output::Output;
use crate::config::DataArgs;
use crate::connections::Connection;
use crate::database;
use crate::delivery::ConnectionId;
use crate::journal::{DataFile, Reader};
use crate::relay::{ComparisonOptions, StateRebuild};
use crate::report::ErrorChain;

/// Number of deliveries that are read at once.
const PAGE: u32 = 200;
/// Number of states that are written in one transaction.
const MAX_WRITTEN_STATES: usize = 1000;

#[derive(Args, Debug)]
pub(super) struct RebuildEntities {
    /// Only entities of this connection
    #[arg(long, value_name = "ID", value_parser = super::entities::connection)]
    connection: Option<ConnectionId>,
    /// The value of `serve --low-stock`, if it was given
    #[arg(long, value_name = "QUANTITY")]
    low_stock: Option<u32>,
}

pub(super) fn run(
    data: &DataArgs,
    arguments: RebuildEntities,
    output: Output,
) -> anyhow::Result<Exit> {
    let reader = super::data::open_data(data)?;
    let connections: Vec<Connection> = reader
        .connections()?
        .into_iter()
        .filter(|known| {
            arguments
                .connection
                .as_ref()
                .is_none_or(|id| *id == known.id)
        })
        .collect();
    if let (Some(id), []) = (&arguments.connection, &*connections) {
        return Err(fail(Exit::No, format!("there is no connection {id}")));
    }
    if connections.is_empty() {
        return report(0, 0, output);
    }
    // No gateway may start meanwhile, because it would compare events with states that are half replaced.
    let _lock = database::lock(&data.data_dir)
        .map_err(|error| fail(Exit::Unavailable, ErrorChain(&error).to_string()))?;
    let mut file = DataFile::open_locked(&data.data_dir)?;
    let progress = ProgressBar::new_spinner().with_message("making states again");
    let (mut deliveries, mut states) = (0, 0);
    for connection in connections {
        let options = ComparisonOptions {
            low_stock: arguments.low_stock.map(Number::from),
            ..ComparisonOptions::default()
        };
        let since = HashMap::from([(connection.id.to_string(), connection.created_at)]);
        let mut rebuild = StateRebuild::new(options, since);
        deliveries += apply_all(&reader, &connection, &mut rebuild, &progress)?;
        for some in rebuild.finish().chunks(MAX_WRITTEN_STATES) {
            states += file
                .replace_entity_states(some)
                .context("cannot write the states")?;
            progress.tick();
        }
    }
    progress.finish_and_clear();
    report(deliveries, states, output)
}

fn report(deliveries: usize, states: usize, output: Output) -> anyhow::Result<Exit> {
    output.value(&json!({"deliveries": deliveries, "states": states}), || {
        format!("{states} states were made again from {deliveries} deliveries; the other states stay as they are")
    })?;
    Ok(Exit::Success)
}

/// Applies the deliveries of a connection, and returns their number. Those from before it was added belong to a removed
/// connection of the same name.
fn apply_all(
    reader: &Reader,
    connection: &Connection,
    rebuild: &mut StateRebuild,
    progress: &ProgressBar,
) -> anyhow::Result<usize> {
    let (mut after, mut count) = (0, 0);
    loop {
        let page = reader.compared_deliveries(&connection.id, after, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(count);
        };
        after = last.position;
        for entry in page {
            if entry.delivery.received_at >= connection.created_at {
                count += 1;
                rebuild.apply(entry);
            }
        }
        progress.tick();
    }
}
