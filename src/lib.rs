//! Cartwire.
pub mod app;
pub mod cli;
pub mod config;
pub mod connections;
pub mod dashboard;
pub mod delivery;
pub mod event;
pub mod journal;
pub mod platforms;
pub mod publisher;
pub mod receiver;
pub mod relay;
pub mod replay;
pub mod report;
pub mod sqlite;
pub mod telemetry;
