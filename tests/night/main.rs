//! A night of operation: many shops and sites send webhooks, some connections have problems, the broker is down for a
//! while, and a queue is deleted. In the morning the program checks what the operator sees. The problems must be listed
//! first with the right cause, and healthy connections must not be listed as problems.
//!
//! `cargo test` runs a short night. `tests/night/run` runs 300 shops, 100 sites and 50 deliveries a second for ten
//! minutes. The exit code is 1 if a delivery that was answered 200 is missing, or if a problem is not shown as
//! expected.

#![allow(clippy::print_stdout, reason = "the program prints a report")]

mod morning;
mod stores;
mod troubles;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use stores::Stores;
use support::eventually;
use support::node::RabbitNode;
use support::process::ProcessGateway;
use troubles::Troubles;

#[derive(Parser, Debug)]
#[command(
    name = "tests/night/run",
    about = "Runs a night of operation and checks what the operator sees"
)]
struct Args {
    /// Number of WooCommerce shops
    #[arg(long, default_value_t = 20)]
    shops: usize,
    /// Number of Wix sites
    #[arg(long, default_value_t = 8)]
    sites: usize,
    /// Deliveries per second
    #[arg(long, default_value_t = 40)]
    rate: u32,
    /// Length of the night in seconds
    #[arg(long, default_value_t = 12)]
    seconds: u64,
    /// Accepted because cargo test passes it to all tests
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
    #[arg(hide = true)]
    names: Vec<String>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() -> ExitCode {
    let args = Args::parse();
    let begun = Instant::now();
    let mut node = RabbitNode::started().await;
    let mut gateway = ProcessGateway::new(&[
        "--amqp-url",
        &node.url(),
        "--check-interval-seconds",
        "5",
        "--allow-private-stores",
        // The disabled webhook must remain a listed problem.
        "--repair",
        "manual",
    ]);
    let troubles = Troubles::new();
    let stores = Stores::add(&gateway, args.shops, args.sites);
    // The shops are connected before the start. A running gateway would wait for their pings, but no host has the
    // public URL.
    troubles.connect(&gateway);
    gateway.start().await;
    println!(
        "{} s: {} shops and {} sites are connected",
        begun.elapsed().as_secs(),
        args.shops,
        args.sites
    );

    let traffic = stores.open(&gateway, args.rate);
    let third = Duration::from_secs(args.seconds).div_f64(3.0);
    tokio::time::sleep(third).await;
    troubles.begin(&gateway).await;
    tokio::time::sleep(third).await;
    node.kill();
    tokio::time::sleep(third / 4).await;
    node.start().await;
    let consumer = support::consumer::Consumer::connect(&node.url()).await;
    let before = consumer.drain(support::consumer::EVENTS).await;
    consumer.delete_queue(support::consumer::EVENTS).await;
    tokio::time::sleep(third).await;
    let answered = traffic.close().await;
    gateway.settled().await;
    eventually("the queue exists again", || async {
        let consumer = support::consumer::Consumer::connect(&node.url()).await;
        consumer
            .has_queue(support::consumer::EVENTS)
            .await
            .then_some(())
    })
    .await;
    let consumer = support::consumer::Consumer::connect(&node.url()).await;
    let after = consumer.drain(support::consumer::EVENTS).await;

    let mut wrong = morning::missing(&answered, &before, &after);
    wrong.extend(morning::look(&gateway, &troubles).await);
    println!(
        "{} s: {} deliveries were answered 200",
        begun.elapsed().as_secs(),
        answered.len()
    );
    wrong.iter().for_each(|wrong| println!("WRONG {wrong}"));
    if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
