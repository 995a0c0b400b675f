//! The command line: one file per command. Each opens what it needs, does one thing, and prints it.

mod add;
mod check;
mod choose;
mod connections;
mod deliveries;
mod demo;
mod doctor;
mod events;
pub mod exit;
mod gateway;
mod kinds;
mod output;
mod remove;
mod replay;
mod schema;
mod scopes;
mod serve;
mod stores;

use clap::{Parser, Subcommand};

use crate::config::{DataArgs, ServeArgs};
use crate::journal::{DataFile, Reader};
use crate::sqlite::copy::is_read_only;
use output::Output;

/// Keeps Wix and WooCommerce webhooks, normalizes them, and publishes them to RabbitMQ under the broker's confirm
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
    /// Look at the whole installation, with the options that `serve` would have, and say what to do
    Doctor(Box<doctor::DoctorArgs>),
    /// The permissions that the features in use need at the platforms
    Scopes(scopes::ScopesArgs),
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
            Command::Doctor(args) => doctor::run(&self.data, &args, output),
            Command::Scopes(args) => scopes::run(&self.data, &args, output),
            Command::Schema(command) => schema::run(&command),
        }
    }
}

/// Opens the data of a folder for reading. A folder without data is often a mistyped one, so it is told and not made.
fn open_data(data: &DataArgs) -> anyhow::Result<Reader> {
    let is_folder = data.data_dir.is_dir() || !data.data_dir.exists();
    if is_folder && !data.data_dir.join(crate::sqlite::FILE).exists() {
        let folder = data.data_dir.display();
        let hint = format!(
            "there is no data in {folder}: is --data-dir right? `serve` and `connections add` make it"
        );
        output::note(&hint);
        return Ok(Reader::empty()?);
    }
    match Reader::open(&data.data_dir) {
        Ok(reader) if reader.is_current() => return Ok(reader),
        _ if is_read_only(&data.data_dir) => return Ok(Reader::open_copy(&data.data_dir)?),
        Ok(_) | Err(_) => {}
    }
    // Brings an older file to the current format.
    DataFile::open(&data.data_dir)?;
    Ok(Reader::open(&data.data_dir)?)
}

/// Says on standard error which rows could not be read and were set aside.
fn note_damaged(reader: &Reader) {
    for damaged in reader.take_damaged() {
        output::note(&format!(
            "the row {} of {} is damaged and was set aside: {}",
            damaged.row, damaged.table, damaged.error
        ));
    }
}

/// A runtime for a command that waits for something.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}
