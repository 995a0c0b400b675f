//! `connections remove`: removes the gateway's webhooks at the store, then the connection. Webhooks of others stay.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::change::change;
use super::exit::Exit;
use super::output::{Output, note};
use super::stores::{self, StoreChecker, no_such};
use crate::config::{DataArgs, StoreArgs};
use crate::delivery::ConnectionId;
use crate::journal::ConnectionChange;
use crate::monitor::{StoreLock, check};
use crate::outbound::Outbound;
use crate::platforms::api::{CheckMode, CheckReport, Severity};

/// Maximum number of an app's installations that are named.
const MAX_INSTALLATIONS: u32 = 1_000_000;

#[derive(Args, Debug)]
pub(super) struct RemoveArgs {
    /// Id of the connection
    id: String,
    /// Leave the webhooks at the store; their deliveries are then answered 404
    #[arg(long)]
    keep_webhooks: bool,
    /// Remove an app with all its installations
    #[arg(long)]
    with_installations: bool,
    #[command(flatten)]
    stores: StoreArgs,
}

pub(super) fn run(data: &DataArgs, args: &RemoveArgs, output: Output) -> anyhow::Result<Exit> {
    let id = stores::id(&args.id)?;
    let reader = super::data::open_data(data)?;
    let connection = reader.connection(&id)?.ok_or_else(|| no_such(&id))?;
    let registers = connection
        .described_kind()
        .is_some_and(|kind| kind.registers_webhooks);
    let installations = reader.installations(&id, MAX_INSTALLATIONS)?;
    if !installations.is_empty() && !args.with_installations {
        return refuse_app(&id, &installations, output);
    }
    // Without credentials no secret is decrypted and no request is made.
    let has_credentials = !reader.secrets(&id, Timestamp::now())?.is_empty();
    let _lock = StoreLock::acquire(&data.data_dir)?;
    if registers && has_credentials && !args.keep_webhooks {
        let outbound = Outbound::new(&args.stores.options()?)?;
        let (_, seal) = stores::unlocked(data)?;
        let checker = StoreChecker {
            outbound,
            seal,
            public_url: None,
        };
        let context = reader
            .connection_context(&checker.seal, &id, None)?
            .ok_or_else(|| no_such(&id))?;
        let outcome = super::data::runtime()?.block_on(check::run(
            &checker.outbound,
            &connection,
            &context,
            CheckMode::Remove,
        ));
        let report = outcome.report.unwrap_or_default();
        if let Some(trouble) = report.trouble() {
            let exit = if trouble.severity == Severity::Unavailable {
                Exit::Unavailable
            } else {
                Exit::No
            };
            refuse(&id.to_string(), &report, output)?;
            return Ok(exit);
        }
        if !output.json && !report.done.is_empty() {
            note(stores::reported(&report).trim_start_matches('\n'));
        }
    }
    if registers && (args.keep_webhooks || !has_credentials) && !output.json {
        note(
            "webhooks that deliver to this connection stay at the store and stay active: their deliveries are answered 404 until \
             the store disables them; delete them there",
        );
    }
    let done = if installations.is_empty() {
        "is removed".to_owned()
    } else {
        format!("is removed with {} installations", installations.len())
    };
    change(data, &id, ConnectionChange::Remove)?.print(&done, output)
}

/// The installations of an app are removed with it, so they are named first.
fn refuse_app(
    id: &ConnectionId,
    installations: &[ConnectionId],
    output: Output,
) -> anyhow::Result<Exit> {
    const SHOWN: usize = 10;
    let hint = format!(
        "`cartwire connections remove {id} --with-installations` removes the app with all of them"
    );
    let value = json!({
        "connection": id, "changed": false, "installations": installations, "hint": hint,
    });
    output.value(&value, || {
        let mut text = format!(
            "connection {id} stays: it is an app with {} installations, which would be removed too:",
            installations.len()
        );
        for installation in installations.iter().take(SHOWN) {
            text += &format!("\n  {installation}");
        }
        if installations.len() > SHOWN {
            text += &format!("\n  and {} more", installations.len() - SHOWN);
        }
        format!("{text}\n{hint}")
    })?;
    Ok(Exit::No)
}

fn refuse(id: &str, report: &CheckReport, output: Output) -> anyhow::Result<()> {
    let hint = format!(
        "its webhooks cannot be removed at the store, so nothing is removed here; `cartwire connections remove {id} \
                        --keep-webhooks` removes it here only"
    );
    let value = json!({"connection": id, "changed": false, "findings": report.findings, "done": report.done, "hint": hint});
    output.value(&value, || {
        format!("connection {id} stays{}\n{hint}", stores::reported(report))
    })
}
