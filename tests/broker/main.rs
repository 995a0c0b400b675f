//! The program with real RabbitMQ nodes: each test starts and ends its own, and no test is skipped where RabbitMQ is missing.

mod deliveries;
mod doctor;
mod outages;
mod session;
mod topology;
mod trouble;
