//! The commands and the options that all of them have.

use clap::{Parser, Subcommand};

use super::output::Output;
use super::{
    connections, deliveries, demo, doctor, entities, events, exit, reconcile, replay, schema,
    scopes, serve,
};
use crate::config::{DataArgs, ServeArgs};

/// Receives webhooks of Wix and WooCommerce stores, and publishes them to RabbitMQ as events
#[derive(Parser, Debug)]
#[command(name = "cartwire", version, about, max_term_width = 120)]
pub struct Cli {
    #[command(flatten)]
    data: DataArgs,
    /// Print JSON in place of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Start a gateway in a temporary folder, send it example webhooks, and print its events
    Demo(demo::DemoArgs),
    /// Run the gateway
    Serve(Box<ServeArgs>),
    /// Add, check and change the connections to stores and apps
    #[command(subcommand)]
    Connections(connections::ConnectionsCommand),
    /// List, follow and export published events
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// List, show, redrive and export received deliveries
    #[command(subcommand)]
    Deliveries(deliveries::DeliveriesCommand),
    /// List, show and rebuild the last known states of orders, products and other entities
    #[command(subcommand)]
    Entities(entities::EntitiesCommand),
    /// Read stores for changes that their webhooks did not report, and publish these
    Reconcile(reconcile::ReconcileArgs),
    /// Publish the past of a store, with origin `poll`
    Backfill(reconcile::BackfillArgs),
    /// Report what webhooks reported on each day, and what was found by reading stores only
    Gaps(reconcile::GapsArgs),
    /// Send fixtures to a running gateway, signed with the keys of its connections
    Replay(replay::ReplayArgs),
    /// Check the whole installation with the options of `serve`, and say what to repair
    Doctor(Box<doctor::DoctorArgs>),
    /// List the permissions that Cartwire needs at the platforms
    Scopes(scopes::ScopesArgs),
    /// Print the machine-readable contracts
    #[command(subcommand)]
    Schema(schema::SchemaCommand),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// The failure of the command; [`exit::code`] gives its exit code.
    pub fn run(self) -> anyhow::Result<exit::Exit> {
        let output = Output { json: self.json };
        match self.command {
            Command::Demo(args) => demo::run(&args, output),
            Command::Serve(args) => serve::run(&self.data, &args),
            Command::Connections(command) => connections::run(&self.data, command, output),
            Command::Events(command) => events::run(&self.data, command, output),
            Command::Deliveries(command) => deliveries::run(&self.data, command, output),
            Command::Entities(command) => entities::run(&self.data, command, output),
            Command::Reconcile(args) => reconcile::run(&self.data, args, output),
            Command::Backfill(args) => reconcile::backfill(&self.data, args, output),
            Command::Gaps(args) => reconcile::gaps(&self.data, &args, output),
            Command::Replay(args) => replay::run(&self.data, &args, output),
            Command::Doctor(args) => doctor::run(&self.data, &args, output),
            Command::Scopes(args) => scopes::run(&self.data, &args, output),
            Command::Schema(command) => schema::run(&command),
        }
    }
}
