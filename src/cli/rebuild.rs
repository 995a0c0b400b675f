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
    if database::is_served(&data.data_dir) {
        let text = "a gateway serves this data folder and changes the states: stop it first";
        return Err(fail(Exit::Unavailable, text.to_owned()));
    }
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
    let mut file = DataFile::open(&data.data_dir)?;
    let progress = ProgressBar::new_spinner().with_message("making states again");
    let (mut deliveries, mut states) = (0, 0);
    for connection in connections {
        let options = ComparisonOptions {
            low_stock: arguments.low_stock.map(Number::from),
            ..ComparisonOptions::default()
        };
        let since = HashMap::from([(connection.id.to_string(), connection.created_at)]);
        let mut rebuild = StateRebuild::new(options, since);
        deliveries += apply_all(&reader, &connection.id, &mut rebuild, &progress)?;
        let made = rebuild.finish();
        for some in made.chunks(MAX_WRITTEN_STATES) {
            file.replace_entity_states(some)
                .context("cannot write the states")?;
            progress.tick();
        }
        states += made.len();
    }
    progress.finish_and_clear();
    output.value(&json!({"deliveries": deliveries, "states": states}), || {
        format!("{states} states were made again from {deliveries} deliveries; states without a stored delivery stay as they are")
    })?;
    Ok(Exit::Success)
}

/// Applies the deliveries of a connection, and returns their number.
fn apply_all(
    reader: &Reader,
    connection: &ConnectionId,
    rebuild: &mut StateRebuild,
    progress: &ProgressBar,
) -> anyhow::Result<usize> {
    let (mut after, mut count) = (0, 0);
    loop {
        let page = reader.compared_deliveries(connection, after, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(count);
        };
        after = last.position;
        count += page.len();
        for entry in page {
            rebuild.apply(entry);
        }
        progress.tick();
    }
}
