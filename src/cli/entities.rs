//! `entities`: lists the last known states of orders, products and other entities from the data folder.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::Value;

use super::exit::{Exit, fail};
use super::output::{Output, json};
use super::rebuild::RebuildEntities;
use crate::config::DataArgs;
use crate::delivery::ConnectionId;
use crate::entities::{ENTITIES, EntityKey, entity_name};
use crate::journal::{EntityFilter, KnownEntity, Reader};

#[derive(Subcommand, Debug)]
pub(super) enum EntitiesCommand {
    /// List known entities, without a request to a store
    List(ListEntities),
    /// Print one known entity and its newest events
    Show(ShowEntity),
    /// Make the known states again from the stored deliveries, while no gateway runs
    Rebuild(RebuildEntities),
}

#[derive(Args, Debug)]
pub(super) struct ListEntities {
    /// Kind of entity: order, product, inventory, customer, …
    #[arg(value_name = "ENTITY", value_parser = kept_entity)]
    entity: &'static str,
    /// Entities of this connection
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// Entities with this status, for example open
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Entities that their store changed at or after this time
    #[arg(long, value_name = "INSTANT", value_parser = super::choose::instant)]
    updated_since: Option<Timestamp>,
    /// Products and stock items whose stock is low or out
    #[arg(long)]
    low_stock: bool,
    /// Continue after this cursor of an earlier page
    #[arg(long, value_name = "CURSOR", default_value_t = 0)]
    after: i64,
    /// Maximum number of rows
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

#[derive(Args, Debug)]
pub(super) struct ShowEntity {
    /// Kind of entity: order, product, inventory, customer, …
    #[arg(value_name = "ENTITY", value_parser = kept_entity)]
    entity: &'static str,
    /// Connection of the store
    #[arg(value_name = "CONNECTION", value_parser = connection)]
    connection: ConnectionId,
    /// Id of the entity at the store
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn connection(text: &str) -> Result<ConnectionId, String> {
    ConnectionId::new(text).map_err(|error| error.to_string())
}

fn kept_entity(text: &str) -> Result<&'static str, String> {
    entity_name(text).ok_or_else(|| format!("one of {}", ENTITIES.join(", ")))
}

pub(super) fn run(
    data: &DataArgs,
    command: EntitiesCommand,
    output: Output,
) -> anyhow::Result<Exit> {
    let reader = || super::data::open_data(data);
    match command {
        EntitiesCommand::List(arguments) => list(&reader()?, arguments, output)?,
        EntitiesCommand::Show(arguments) => show(&reader()?, &arguments)?,
        EntitiesCommand::Rebuild(arguments) => {
            return super::rebuild::run(data, arguments, output);
        }
    }
    Ok(Exit::Success)
}

/// Lists pages until the limit is reached.
fn list(reader: &Reader, arguments: ListEntities, output: Output) -> anyhow::Result<()> {
    let mut filter = EntityFilter {
        entity: arguments.entity.to_owned(),
        connection: arguments.connection,
        status: arguments.status,
        updated_since: arguments.updated_since,
        low_stock: arguments.low_stock,
        after: arguments.after,
        limit: arguments.limit,
    };
    while filter.limit > 0 {
        let page = reader.entities(&filter)?;
        for entity in &page.entities {
            output.row(entity, || summary(entity))?;
        }
        filter.limit -= page.entities.len();
        match page.next {
            Some(next) => filter.after = next,
            None => break,
        }
    }
    Ok(())
}

fn show(reader: &Reader, arguments: &ShowEntity) -> anyhow::Result<()> {
    let ShowEntity {
        entity,
        connection,
        id,
    } = arguments;
    let key = EntityKey {
        connection: connection.clone(),
        entity,
        id: id.clone(),
    };
    let Some(history) = reader.entity_history(&key)? else {
        let text = format!("no {entity} {id} of the connection {connection} is known");
        return Err(fail(Exit::No, text));
    };
    json(&history)
}

/// An entity as one line of text.
fn summary(known: &KnownEntity) -> String {
    let text = |name: &str| known.data.get(name).and_then(Value::as_str).unwrap_or("-");
    let time = known.updated_at.unwrap_or(known.seen_at);
    let status = if known.deleted {
        "deleted"
    } else {
        text("status")
    };
    let name = known
        .data
        .get("number")
        .or_else(|| known.data.get("name"))
        .or_else(|| known.data.get("code"))
        .or_else(|| known.data.get("email"))
        .and_then(Value::as_str)
        .unwrap_or("-");
    format!(
        "{time:.0}  {:<20} {:<12} {status:<12} {name}",
        known.connection, known.id
    )
}
