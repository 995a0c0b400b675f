//! `connections remove`: our webhooks at the store first, then the connection. Others' webhooks are left alone.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::connections;
use super::exit::Exit;
use super::output::{Output, note};
use super::stores::{self, Asker, no_such};
use crate::config::{DataArgs, StoreArgs};
use crate::journal::ConnectionChange;
use crate::monitor::check;
use crate::monitor::hold::Hold;
use crate::outbound::subject;
use crate::platforms::api::{Examination, Intent, Weight};

#[derive(Args, Debug)]
pub(super) struct RemoveArgs {
    /// The connection
    id: String,
    /// Leave our webhooks at the store, whose deliveries are then answered 404
    #[arg(long)]
    keep_webhooks: bool,
    #[command(flatten)]
    stores: StoreArgs,
}

pub(super) fn run(data: &DataArgs, args: &RemoveArgs, output: Output) -> anyhow::Result<Exit> {
    let id = stores::id(&args.id)?;
    let reader = super::open_data(data)?;
    let connection = reader.connection(&id)?.ok_or_else(|| no_such(&id))?;
    let registers = connection
        .described_kind()
        .is_some_and(|kind| kind.registers_webhooks);
    // Without credentials nothing is opened and nobody is asked.
    let has_credentials = !reader.secrets(&id, Timestamp::now())?.is_empty();
    let _hold = Hold::take(&data.data_dir)?;
    if registers && has_credentials && !args.keep_webhooks {
        let outbound = args.stores.outbound()?;
        let (_, seal) = stores::unlocked(data)?;
        let asker = Asker {
            outbound,
            seal,
            public_url: None,
        };
        let subject = subject(&reader, &asker.seal, &id, None)?.ok_or_else(|| no_such(&id))?;
        let look = super::runtime()?.block_on(check::look(
            &asker.outbound,
            &connection,
            &subject,
            Intent::Remove,
        ));
        let examination = look.examination.unwrap_or_default();
        if let Some(trouble) = examination.trouble() {
            let exit = if trouble.weight == Weight::Unavailable {
                Exit::Unavailable
            } else {
                Exit::No
            };
            refuse(&id.to_string(), &examination, output)?;
            return Ok(exit);
        }
        if !output.json && !examination.done.is_empty() {
            note(stores::told(&examination).trim_start_matches('\n'));
        }
    }
    connections::change(data, &id, ConnectionChange::Remove, "is removed", output)
}

fn refuse(id: &str, examination: &Examination, output: Output) -> anyhow::Result<()> {
    let hint = format!(
        "its webhooks cannot be removed at the store, so nothing is removed here; `cartwire connections remove {id} \
                        --keep-webhooks` removes it here only"
    );
    let value = json!({"connection": id, "changed": false, "findings": examination.findings, "done": examination.done, "hint": hint});
    output.value(&value, || {
        format!("connection {id} stays{}\n{hint}", stores::told(examination))
    })
}
