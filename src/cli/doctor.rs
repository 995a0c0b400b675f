//! `doctor`: checks the whole installation with the options of `serve`, and prints the remedies.

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::exit::Exit;
use super::output::{Output, bar};
use super::stores::StoreChecker;
use crate::config::{Broker, Config, ConfigErrors, DataArgs, ServeArgs};
use crate::connections::Seal;
use crate::database;
use crate::journal::{Budget, DataFile, GatewayTrouble, Reader};
use crate::monitor::doctor::{self, Grade, MAX_CHECKED_FILE_BYTES, Section};
use crate::outbound::Outbound;
use crate::platforms::address::is_private_url;
use crate::platforms::api::CheckMode;
use crate::publisher::inspect::{self, InspectionSeverity};
use crate::publisher::topology::TopologyMode;
use crate::report::ErrorChain;

/// Maximum number of connections without problems that are named. Of more, the number is printed.
const NAMED_CONNECTIONS: usize = 5;

/// `serve`'s options
#[derive(Args, Debug)]
pub(super) struct DoctorArgs {
    /// List the parts without problems too
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

pub(super) fn run(data: &DataArgs, args: &DoctorArgs, output: Output) -> anyhow::Result<Exit> {
    let mut sections = Vec::new();
    let config = match Config::new(data, &args.serve) {
        Ok(config) => {
            sections.push(configuration(
                &config,
                args.serve.stores.allow_private_stores,
            ));
            Some(config)
        }
        Err(wrong) => {
            sections.push(mistakes(&wrong));
            None
        }
    };
    look(data, config.as_ref(), &mut sections)?;
    doctor::put_trouble_first(&mut sections);
    let steps = doctor::remedies(&sections);
    output.value(
        &json!({"ok": steps.is_empty(), "sections": sections, "to_do": steps}),
        || text(&sections, &steps, args.verbose),
    )?;
    Ok(if steps.is_empty() {
        Exit::Success
    } else {
        Exit::No
    })
}

/// All parts except the configuration.
fn look(
    data: &DataArgs,
    config: Option<&Config>,
    sections: &mut Vec<Section>,
) -> anyhow::Result<()> {
    let runtime = super::data::runtime()?;
    look_at_data(data, config, sections)?;
    let is_served = database::is_served(&data.data_dir);
    let mut gateway = Section::new("gateway");
    if is_served {
        gateway.ok("a gateway serves this data folder");
    } else {
        gateway
            .warn("no gateway serves this data folder now: nothing is received (cartwire serve)");
    }
    sections.push(gateway);
    if let Some(broker) = config.and_then(|config| config.broker.clone()) {
        // Without data nothing is recorded.
        let reader = open(data).map(|(_, reader)| reader).ok();
        let noted = match &reader {
            Some(reader) if is_served => reader.broker_trouble()?,
            _ => None,
        };
        let mut section = runtime.block_on(look_at_broker(broker.clone(), is_served, noted));
        if let Some(reader) = &reader {
            forgotten_queues(&broker, reader, &mut section)?;
        }
        // The broker comes first, because nothing is published without it.
        sections.insert(0, section);
    }
    Ok(())
}

fn open(data: &DataArgs) -> anyhow::Result<(DataFile, Reader)> {
    Ok((
        DataFile::open(&data.data_dir)?,
        Reader::open(&data.data_dir)?,
    ))
}

fn mistakes(wrong: &ConfigErrors) -> Section {
    let mut section = Section::new("configuration");
    for mistake in &wrong.0 {
        section.trouble(
            format!("{} is wrong", mistake.option),
            format!("{}: {}", mistake.option, mistake.right),
        );
    }
    section
}

fn configuration(config: &Config, private: bool) -> Section {
    let mut section = Section::new("configuration");
    section.ok("the options are right");
    match &config.public_url {
        None => {
            section.warn("--public-url is missing: webhooks can neither be registered nor compared")
        }
        Some(url) if !private && leads_to_private(url) => section.trouble(
            format!("stores cannot reach {url}: it is an address of a private network"),
            "give --public-url the address under which the internet reaches this gateway or the proxy before it",
        ),
        Some(url) => section.ok(format!("stores deliver to {url}")),
    }
    if config.broker.is_none() {
        section.warn("there is no broker: events are read from the admin API only (--amqp-url)");
    }
    if config.check_interval.is_none() {
        section.warn("connections are not checked in the background (--check-interval-seconds)");
    }
    section
}

/// `true` if the public URL is in a private network, so that no store on the internet can reach it.
fn leads_to_private(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| is_private_url(&url))
}

fn master_key(data: &DataArgs, file: &DataFile) -> (Section, Option<Seal>) {
    let mut section = Section::new("master key");
    let found = Seal::load_existing(&data.data_dir, data.master_key_file.as_deref());
    let opened = found.map_err(anyhow::Error::from).and_then(|seal| {
        file.unlock(&seal)?;
        Ok(seal)
    });
    match opened {
        Ok(seal) => {
            section.ok("it opens the secrets");
            (section, Some(seal))
        }
        Err(error) => {
            let remedy = "give --master-key-file the key that the secrets were sealed with, from a backup where it is lost";
            section.trouble(
                format!("the secrets do not open: {}", ErrorChain(&*error)),
                remedy,
            );
            (section, None)
        }
    }
}

async fn connections(
    reader: &Reader,
    config: &Config,
    seal: Seal,
    clocks: &mut Vec<SignedDuration>,
) -> anyhow::Result<Vec<Section>> {
    let all = reader.connections()?;
    let mut damaged = Section::new("damaged rows");
    for row in reader.take_damaged() {
        let what = format!(
            "row {} of {} cannot be read: {}",
            row.row, row.table, row.error
        );
        damaged.trouble(
            what,
            "restore the data folder from a backup, or remove the connection and add it again",
        );
    }
    if all.is_empty() {
        let mut section = Section::new("connections");
        section.warn("there are none (cartwire connections add)");
        return Ok(vec![section]);
    }
    let progress = bar(all.len() as u64, "checking stores");
    let checker = StoreChecker {
        outbound: Outbound::new(&config.stores)?,
        seal,
        public_url: config.public_url.clone(),
    };
    let checked_stores = checker
        .check(reader, all, CheckMode::Check, |_| {
            progress.inc(1);
            Ok(())
        })
        .await?;
    progress.finish_and_clear();
    clocks.extend(
        checked_stores
            .iter()
            .filter_map(|one| one.outcome.clock_lead),
    );
    let sections = checked_stores
        .iter()
        .map(|one| doctor::connection(&one.connection, &one.findings(), &one.outcome));
    let damaged = (!damaged.lines.is_empty()).then_some(damaged);
    Ok(damaged.into_iter().chain(sections).collect())
}

/// The data folder, the journal, the master key, the clock and the connections.
fn look_at_data(
    data: &DataArgs,
    config: Option<&Config>,
    sections: &mut Vec<Section>,
) -> anyhow::Result<()> {
    let budget = config.map_or_else(Budget::default, |config| config.budget.clone());
    let now = Timestamp::now();
    let runtime = super::data::runtime()?;
    if !data.data_dir.join(database::DATA_FILE).exists() {
        let mut section = Section::new("data folder");
        let folder = data.data_dir.display();
        section.trouble(
            format!("there is no data in {folder}"),
            "see that --data-dir is right; `cartwire serve` and `cartwire connections add` make the data",
        );
        sections.push(section);
    } else {
        match open(data) {
            Ok((file, reader)) => {
                let found = reader.inspect(MAX_CHECKED_FILE_BYTES)?;
                sections.push(doctor::data_folder(
                    &data.data_dir,
                    Some(found.used),
                    &budget,
                ));
                sections.push(doctor::journal(
                    &found,
                    config.is_some_and(|config| config.broker.is_some()),
                    now,
                ));
                let (key, seal) = master_key(data, &file);
                sections.push(key);
                let mut clocks = Vec::new();
                let connections = match (config, seal) {
                    (Some(config), Some(seal)) => {
                        runtime.block_on(connections(&reader, config, seal, &mut clocks))?
                    }
                    _ => Vec::new(),
                };
                sections.push(doctor::clock(found.newest, &clocks, now));
                sections.extend(connections);
            }
            Err(error) => {
                sections.push(doctor::data_folder(&data.data_dir, None, &budget));
                let mut section = Section::new("journal");
                section.trouble(
                    format!("it cannot be opened: {}", ErrorChain(&*error)),
                    "see that this user may read and write the data folder, and that no newer cartwire wrote it",
                );
                sections.push(section);
            }
        }
    }
    Ok(())
}

async fn look_at_broker(broker: Broker, is_served: bool, noted: Option<GatewayTrouble>) -> Section {
    let mut section = Section::new("broker");
    match inspect::look(&broker.endpoints, &broker.topology, is_served).await {
        Err(error) => section.trouble(
            format!("it is not reached: {error}"),
            "see that it runs, and that --amqp-url has its address, user, password and virtual host",
        ),
        Ok(findings) => {
            section.ok("it is reached");
            for finding in findings {
                match finding.severity {
                    InspectionSeverity::Ok => section.ok(finding.what),
                    InspectionSeverity::Warning => section.warn(finding.what),
                    InspectionSeverity::Trouble => section.trouble(finding.what, finding.remedy),
                }
            }
        }
    }
    if let Some(noted) = noted {
        section.trouble(
            format!(
                "the gateway noted since {:.0}: {}",
                noted.since, noted.detail
            ),
            noted.detail,
        );
    }
    section
}

/// Queues that an earlier configuration bound still receive events.
fn forgotten_queues(broker: &Broker, reader: &Reader, section: &mut Section) -> anyhow::Result<()> {
    if broker.topology.mode != TopologyMode::Create {
        return Ok(());
    }
    for binding in reader.declared_bindings()? {
        let is_configured = broker
            .topology
            .queues
            .iter()
            .any(|queue| queue.name == binding.queue);
        if !is_configured && binding.exchange == broker.topology.exchange {
            section.warn(format!(
                "the queue {} was bound by an earlier --queue and may still receive events: delete it, or name it in --queue",
                binding.queue
            ));
        }
    }
    Ok(())
}

fn text(sections: &[Section], steps: &[String], verbose: bool) -> String {
    let mut lines = Vec::new();
    let mut well = Vec::new();
    for section in sections {
        if !verbose && section.worst() == Grade::Ok {
            well.push(section.name.as_str());
            continue;
        }
        lines.push(section.name.clone());
        for line in &section.lines {
            let mark = match line.grade {
                Grade::Ok if verbose => "ok     ",
                Grade::Ok => continue,
                Grade::Warning => "warning",
                Grade::Trouble => "TROUBLE",
            };
            lines.push(format!("  {mark}  {}", line.text));
        }
    }
    if !well.is_empty() {
        let (connections, others): (Vec<&str>, Vec<&str>) = well
            .iter()
            .partition(|name| name.starts_with("connection "));
        let mut parts: Vec<String> = others.iter().map(|name| (*name).to_owned()).collect();
        if connections.len() > NAMED_CONNECTIONS {
            parts.push(format!("{} connections", connections.len()));
        } else {
            parts.extend(connections.iter().map(|name| (*name).to_owned()));
        }
        lines.push(format!("well: {} (--verbose says what)", parts.join(", ")));
    }
    lines.push(String::new());
    if steps.is_empty() {
        lines.push("nothing to do".to_owned());
    } else {
        lines.push("to do:".to_owned());
        lines.extend(
            (1..)
                .zip(steps)
                .map(|(number, remedy)| format!("  {number}. {remedy}")),
        );
    }
    lines.join("\n")
}
