//! The `cartwire` program: parse, run, print the error chain once, exit code.

use std::process::ExitCode;

use cartwire::cli::Cli;
use cartwire::cli::exit::{Exit, code};
use cartwire::report::ErrorChain;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Success.into()
            };
        }
    };
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("cartwire: {}", ErrorChain(&*error));
            code(&error).into()
        }
    }
}
