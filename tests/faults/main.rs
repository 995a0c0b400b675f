//! The fault suite: the real gateway and a real RabbitMQ run under load from both platforms, and faults occur at random
//! moments. Afterwards the suite compares the webhooks that were answered 200 with the events in the queue.
//!
//! The suite is a separate test program. Without arguments it runs each fault once and a few combinations; `cargo test`
//! does this. `tests/faults/run` accepts a duration, a seed and names. The exit code is 1 after a loss, a wrong order,
//! or a repetition that the fault does not permit.
//!
//! The suite cannot show a disk that reports a sync without syncing, nor a broker that loses confirmed messages.

#![allow(clippy::print_stdout, reason = "the program prints a table")]

mod attack;
mod attack_broker;
mod attack_cost;
mod attack_store;
mod broker;
mod disk;
mod fault;
mod gateway;
mod honest;
mod machine;
mod network;
mod proxy;
mod reading;
mod report;
mod scene;
mod senders;
mod shim;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use fault::{Fault, UNANSWERED};
use report::Row;
use support::Dice;
use support::node::RabbitNode;

/// Faults by place. A combination has at most one fault of each place, because two would undo each other.
const FAMILIES: [&[Fault]; 7] = [
    gateway::FAULTS,
    senders::FAULTS,
    network::FAULTS,
    disk::FAULTS,
    machine::FAULTS,
    broker::FAULTS,
    attack::FAULTS,
];
/// Faults that need the rest of the scene intact. They are never part of a combination.
const LONE_FAMILIES: [&[Fault]; 4] = [
    reading::FAULTS,
    attack_cost::FAULTS,
    attack_broker::FAULTS,
    attack_store::FAULTS,
];
/// The name of runs with several faults.
const TOGETHER: &str = "together";
/// Number of combinations in each round: short version, long version.
const COMBINATIONS: (usize, usize) = (2, 8);

/// The default seed of the short version.
const SHORT_SEED: u64 = 2026;

#[derive(Parser, Debug)]
#[command(
    name = "tests/faults/run",
    about = "Injures the gateway and what it stands on, and counts what arrives"
)]
struct Args {
    /// Run only faults whose name contains one of these
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Run only faults whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Duration of the long version, with longer faults, such as 90s, 30m or 2h
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// Seed of an earlier run, to repeat its choices
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Also write the result to this JSON file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Check the honest store's delays and the memory against their bounds
    #[arg(long)]
    bounds: bool,
    /// List the faults
    #[arg(long)]
    list: bool,
    /// Accepted because cargo test passes it to all tests
    #[arg(long, hide = true)]
    nocapture: bool,
    /// Accepted for the same reason; faults run in one thread
    #[arg(long, hide = true, value_name = "N")]
    test_threads: Option<usize>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.len() - text.len().min(1));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err("a number and s, m or h".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "a number and s, m or h".to_owned())?;
    Ok(Duration::from_secs(number * seconds))
}

impl Args {
    fn wants(&self, name: &str) -> bool {
        let mut wanted = self.names.iter().chain(&self.only).peekable();
        wanted.peek().is_none() || wanted.any(|part| name.contains(part.as_str()))
    }

    /// The runs of one round: each fault alone, then the combinations.
    fn round(&self, dice: &mut Dice) -> Vec<(&'static str, Vec<&'static Fault>)> {
        let long = self.duration.is_some();
        let named = |fault: &Fault| {
            self.names
                .iter()
                .chain(&self.only)
                .any(|name| name == fault.name)
        };
        let single = all_faults().filter(|fault| long || !fault.only_long || named(fault));
        let mut runs: Vec<_> = single.map(|fault| (fault.name, vec![fault])).collect();
        let combinations = if long { COMBINATIONS.1 } else { COMBINATIONS.0 };
        runs.extend((0..combinations).map(|_| (TOGETHER, together(dice, long))));
        runs.retain(|(name, _)| self.wants(name));
        // Shuffles the runs, so that a duration shorter than one round still covers a sample of all faults.
        if long {
            (1..runs.len())
                .rev()
                .for_each(|last| runs.swap(last, pick(dice, last + 1)));
        }
        runs
    }
}

fn all_faults() -> impl Iterator<Item = &'static Fault> {
    let families = FAMILIES.iter().chain(&LONE_FAMILIES);
    families.flat_map(|family| family.iter())
}

/// Three faults of different places.
fn together(dice: &mut Dice, long: bool) -> Vec<&'static Fault> {
    let mut families: Vec<_> = FAMILIES.to_vec();
    let mut chosen = Vec::new();
    for _ in 0..3 {
        let family = families.swap_remove(pick(dice, families.len()));
        let family: Vec<&Fault> = family
            .iter()
            .filter(|fault| fault.nodes == 1 && (long || !fault.only_long))
            .collect();
        chosen.push(family[pick(dice, family.len())]);
    }
    chosen
}

fn pick(dice: &mut Dice, many: usize) -> usize {
    usize::try_from(dice.below(many as u64)).unwrap_or_default()
}

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() -> ExitCode {
    let args = Args::parse();
    if args.list {
        for fault in all_faults().filter(|fault| args.wants(fault.name)) {
            println!("{:23}  {}", fault.name, fault.says);
        }
        println!("{TOGETHER:23}  Three of them at once, of different places.");
        return ExitCode::SUCCESS;
    }
    let begun = Instant::now();
    // The short version always uses the same seed, so that the test is reproducible. The long version uses a new one.
    let fresh = || {
        args.duration
            .and_then(|_| u64::try_from(jiff::Timestamp::now().as_millisecond()).ok())
    };
    let seed = args.seed.or_else(fresh).unwrap_or(SHORT_SEED);
    println!("seed: --seed {seed}");
    let mut rows = suite(&args, seed, begun).await;
    if args.bounds {
        rows.iter_mut().for_each(Row::hold_bounds);
    }
    println!("{}", report::table(&rows));
    if let Some(path) = &args.json {
        let text = format!("{:#}\n", report::json(seed, begun.elapsed(), &rows));
        std::fs::write(path, text).expect("the result file should be writable");
    }
    println!("{} s, seed: --seed {seed}", begun.elapsed().as_secs());
    if rows.iter().all(|row| row.wrong.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn suite(args: &Args, seed: u64, begun: Instant) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut nodes = Vec::new();
    for round in 0.. {
        let mut dice = Dice::with_seed(seed.wrapping_add(round));
        for (name, faults) in args.round(&mut dice) {
            if args
                .duration
                .is_some_and(|duration| begun.elapsed() >= duration)
            {
                return rows;
            }
            // Each run has its own dice, so that a fault makes the same choices alone as in the full suite.
            let own = name
                .bytes()
                .chain(round.to_le_bytes())
                .fold(seed, |sum, byte| {
                    sum.wrapping_mul(31).wrapping_add(byte.into())
                });
            let names: Vec<&str> = faults.iter().map(|fault| fault.name).collect();
            let took = Instant::now();
            let index = rows
                .iter()
                .position(|row| row.is_of(name))
                .unwrap_or_else(|| {
                    rows.push(Row::of(name));
                    rows.len() - 1
                });
            nodes = run(
                &mut rows[index],
                nodes,
                faults,
                Dice::with_seed(own),
                args.duration.is_some(),
            )
            .await;
            eprintln!(
                "{:>6} ms  {}",
                took.elapsed().as_millis(),
                names.join(" + ")
            );
        }
        if args.duration.is_none() {
            break;
        }
    }
    rows
}

/// One run of one or several faults. After a failed run, the broker is not reused.
async fn run(
    row: &mut Row,
    nodes: Vec<RabbitNode>,
    faults: Vec<&'static Fault>,
    dice: Dice,
    long: bool,
) -> Vec<RabbitNode> {
    let wanted = faults.iter().map(|fault| fault.nodes).max().unwrap_or(1);
    let may_repeat = faults.iter().any(|fault| fault.may_repeat);
    let may_be_unanswered = faults
        .iter()
        .any(|fault| fault.turned_away.contains(&UNANSWERED));
    let names: Vec<&str> = faults.iter().map(|fault| fault.name).collect();
    let names = names.join(" + ");
    // The run is a separate task, so that a panic ends only this run.
    let task = tokio::spawn(async move {
        let nodes = match (nodes.len(), wanted) {
            (there, wanted) if there == wanted => nodes,
            (_, 1) => vec![RabbitNode::started_with_old_queue().await],
            (_, many) => RabbitNode::cluster_with_old_queue(many).await,
        };
        fault::run(nodes, faults, dice, long).await
    });
    match task.await {
        Ok((nodes, counted)) => {
            row.add(&names, &counted, may_repeat, may_be_unanswered);
            nodes
        }
        Err(error) => {
            let why = match error.try_into_panic() {
                Ok(panic) => panic
                    .downcast::<String>()
                    .map_or_else(|_| "a panic".to_owned(), |text| *text),
                Err(error) => error.to_string(),
            };
            row.add_failure(&names, &why);
            Vec::new()
        }
    }
}
