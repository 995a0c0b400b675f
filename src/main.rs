//! The `cartwire` program: parse, run, print the error chain once, exit code.

use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::Duration;

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
            print(format!("cartwire: {}", ErrorChain(&*error)));
            code(&error).into()
        }
    }
}

/// Prints to standard error, but does not wait for a reader that hangs.
fn print(text: String) {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let (printed, is_printed) = channel();
    std::thread::spawn(move || {
        eprintln!("{text}");
        let _ = printed.send(());
    });
    let _ = is_printed.recv_timeout(TIMEOUT);
}
