//! The command line: one file per command. Each opens what it needs, does one thing, and prints it.

mod add;
mod connections;
mod deliveries;
mod demo;
mod events;
pub mod exit;
mod output;
mod replay;
mod schema;
mod serve;

use clap::{Parser, Subcommand};

use crate::config::{DataArgs, ServeArgs};
use output::Output;

/// Keeps Wix and WooCommerce webhooks, normalises them, and publishes them to RabbitMQ under the broker's confirm
#[derive(Parser, Debug)]
#[command(name = "cartwire", version, about, max_term_width = 120)]
pub struct Cli {
    #[command(flatten)]
    data: DataArgs,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show the main job: a gateway in a temporary folder gets the fixtures over HTTP; its events are printed
    Demo(demo::DemoArgs),
    /// Run the gateway
    Serve(Box<ServeArgs>),
    /// Stores and apps that may send webhooks
    #[command(subcommand)]
    Connections(connections::ConnectionsCommand),
    /// What was published
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// What was received, and what became of it
    #[command(subcommand)]
    Deliveries(deliveries::DeliveriesCommand),
    /// Send fixtures to a running gateway, signed by the connections' own keys
    Replay(replay::ReplayArgs),
    /// The machine-readable contracts
    #[command(subcommand)]
    Schema(schema::SchemaCommand),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong; [`exit::code`] knows the exit code for it.
    pub fn run(self) -> anyhow::Result<exit::Exit> {
        let output = Output { json: self.json };
        match self.command {
            Command::Demo(args) => demo::run(&args, output),
            Command::Serve(args) => serve::run(&self.data, &args),
            Command::Connections(command) => connections::run(&self.data, command, output),
            Command::Events(command) => events::run(&self.data, command, output),
            Command::Deliveries(command) => deliveries::run(&self.data, command, output),
            Command::Replay(args) => replay::run(&self.data, &args, output),
            Command::Schema(command) => schema::run(&command),
        }
    }
}

/// A runtime for a command that waits for something.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
