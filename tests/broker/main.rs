//! The program with real RabbitMQ nodes. Each test starts and stops its own node. If RabbitMQ is not installed, the
//! tests fail instead of being skipped.

mod backfill;
mod deliveries;
mod doctor;
mod outages;
mod session;
mod topology;
mod trouble;
