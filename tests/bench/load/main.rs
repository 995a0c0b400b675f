//! Load benchmarks: the ceilings of the gateway's parts, simple alternatives (peers), and the gateway. All use the same
//! senders, payloads and broker, on one machine in one run.
//!
//! `tests/bench/run` builds and runs the program and documents the options. The program prints a table and the targets;
//! `--json FILE` writes all results. A missed target is printed and does not change the exit code. The exit code is 1
//! if a response has an unexpected status.
//!
//! The senders, ceilings and peers are separate processes, so that their costs are measured separately. All share the
//! machine, and no process is pinned to a processor.

#![allow(clippy::print_stdout, reason = "the program prints the results")]

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

/// Measures the gateway, its ceilings and its peers.
#[derive(Parser, Debug)]
pub(crate) struct Options {
    /// Length of each measurement in seconds
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Measure two seconds each, and skip the growth rows
    #[arg(long)]
    quick: bool,
    /// Run only rows whose names contain this (repeatable)
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// Also publish for this many seconds, and sample the memory
    #[arg(long, value_name = "SECONDS")]
    sustained: Option<f64>,
    /// Write all results to this JSON file
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
    /// List the rows
    #[arg(long)]
    list: bool,
    /// Accepted because cargo passes it to every benchmark
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
        std::fs::write(&path, format!("{all:#}\n")).expect("the results should be written");
    }
    if rows.iter().all(|row| row.wrong() == 0) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
