//! `connections check`: checks stores, prints findings with remedies, and repairs with `--fix` what it can.

use clap::Args;
use serde_json::{Value, json};

use super::exit::Exit;
use super::output::{Output, bar, note, trouble_first};
use super::stores::{self, StoreChecker, no_such};
use crate::config::{DataArgs, StoreArgs};
use crate::connections::Connection;
use crate::journal::Reader;
use crate::monitor::StoreLock;
use crate::outbound::Outbound;
use crate::platforms::api::CheckMode;

#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    /// Ids of the connections [default: all]
    ids: Vec<String>,
    /// All connections
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Repair webhooks at the store: register missing ones, enable disabled ones, correct URLs
    #[arg(long)]
    fix: bool,
    /// URL under which stores reach the gateway [default: the URL of the registered webhooks]
    #[arg(long, env = "CARTWIRE_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// List the connections without problems too
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    stores: StoreArgs,
}

pub(super) fn run(data: &DataArgs, args: &CheckArgs, output: Output) -> anyhow::Result<Exit> {
    let (public_url, outbound) = (
        stores::public_url(args.public_url.as_deref())?,
        Outbound::new(&args.stores.options()?)?,
    );
    let reader = super::data::open_data(data)?;
    let connections = chosen(&reader, &args.ids)?;
    if connections.is_empty() {
        output.value(&json!({"connections": []}), || {
            "there are no connections (connections add makes one)".to_owned()
        })?;
        return Ok(Exit::Success);
    }
    let (mut file, seal) = stores::unlocked(data)?;
    let checker = StoreChecker {
        outbound,
        seal,
        public_url,
    };
    let mode = if args.fix {
        CheckMode::Fix
    } else {
        CheckMode::Check
    };
    let _lock = args
        .fix
        .then(|| StoreLock::acquire(&data.data_dir))
        .transpose()?;
    let progress = bar(connections.len() as u64, "checking stores");
    let checked_stores =
        super::data::runtime()?.block_on(checker.check(&reader, connections, mode, |one| {
            progress.inc(1);
            stores::keep(&mut file, one)
        }))?;
    progress.finish_and_clear();
    if args.fix {
        // Deliveries are compared with the registered webhooks, so the gateway must know them.
        super::gateway::wait_until_applied(&data.data_dir)?;
    }
    print(&checked_stores, args, output)
}

fn print(
    checked_stores: &[stores::CheckedStore],
    args: &CheckArgs,
    output: Output,
) -> anyhow::Result<Exit> {
    let values: Vec<Value> = checked_stores
        .iter()
        .map(stores::CheckedStore::json)
        .collect();
    output.value(&json!({"connections": values}), || {
        let verbose = args.verbose || !args.ids.is_empty();
        trouble_first(
            checked_stores,
            stores::CheckedStore::is_in_trouble,
            stores::CheckedStore::text,
            verbose,
        )
    })?;
    let troubled = checked_stores
        .iter()
        .filter(|one| one.is_in_trouble())
        .count();
    if troubled > 0 && !output.json {
        note(&format!(
            "{troubled} of {} connections in trouble",
            checked_stores.len()
        ));
    }
    Ok(if troubled == 0 {
        Exit::Success
    } else {
        Exit::No
    })
}

/// The named connections; all of them if none is named.
fn chosen(reader: &Reader, ids: &[String]) -> anyhow::Result<Vec<Connection>> {
    if ids.is_empty() {
        return Ok(reader.connections()?);
    }
    let named = ids.iter().map(|text| {
        let id = stores::id(text)?;
        reader.connection(&id)?.ok_or_else(|| no_such(&id))
    });
    named.collect()
}
