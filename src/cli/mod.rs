//! The command line: one file per command.

mod add;
mod change;
mod check;
mod choose;
mod command;
mod connections;
mod data;
mod deliveries;
mod demo;
mod doctor;
mod entities;
mod events;
pub mod exit;
mod gateway;
mod kinds;
mod output;
mod past_time;
mod rebuild;
mod reconcile;
mod remove;
mod replace;
mod replay;
mod schema;
mod scopes;
mod serve;
mod stores;

pub use command::Cli;
