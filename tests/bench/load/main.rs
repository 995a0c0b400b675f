//! Load, measured side by side: what the parts can do at best, what anyone would write, and the gateway, with the same
//! senders, payloads and broker, on one machine in one run.
//!
//! `tests/bench/run` builds and runs it and has the options. It prints a table and the targets; `--json FILE` writes all of
//! it. It asserts nothing about time: a target that is not met is printed, and exit 0. An answer other than the right one is
//! exit 1.
//!
//! The senders, the ceilings and the peers are processes of their own, so that what each costs is told apart. All share the
//! machine: nothing is pinned.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod broker;
mod ceilings;
mod journal;
mod measure;
mod ours;
mod peers;
mod plan;
mod process;
mod requests;
mod sender;
mod server;
mod table;

use std::process::ExitCode;

use clap::Parser;

/// Measures the gateway beside its ceilings and peers.
#[derive(Parser, Debug)]
pub(crate) struct Options {
    /// Length of each measurement
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Two seconds each, and nothing about growth
    #[arg(long)]
    quick: bool,
    /// Only rows whose names contain this (repeatable)
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// Publish for that long as well, and look at the memory meanwhile
    #[arg(long, value_name = "SECONDS")]
    sustained: Option<f64>,
    /// Write everything there as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
    /// List the rows and end
    #[arg(long)]
    list: bool,
    /// Cargo gives it to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1..).unwrap_or_default() {
        [role, what] if role == sender::ROLE => sender::run(what),
        [role, what] if role == ceilings::ROLE => ceilings::run(what),
        _ => return measure_all(),
    }
    ExitCode::SUCCESS
}

fn measure_all() -> ExitCode {
    let mut options = Options::parse();
    if options.quick {
        options.seconds = 2.0;
    }
    let cases = plan::cases(&options);
    if options.list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return ExitCode::SUCCESS;
    }
    let machine = process::machine();
    println!("{machine}\n");
    let run = plan::Run::new(options.seconds);
    let mut rows = Vec::new();
    for case in cases {
        eprintln!("{} ...", case.name);
        let row = measure::Row {
            name: case.name,
            ..(case.measure)(&run)
        };
        eprint!("{}", table::rows(std::slice::from_ref(&row)));
        rows.push(row);
    }
    let targets = table::reached(&rows);
    print!("{}\n{}", table::rows(&rows), table::targets(&targets));
    if let Some(path) = options.json {
        let all = serde_json::json!({"machine": machine, "rows": rows, "targets": targets, "seconds": options.seconds});
        std::fs::write(&path, format!("{all:#}\n")).expect("the results are written");
    }
    if rows.iter().all(|row| row.wrong() == 0) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
