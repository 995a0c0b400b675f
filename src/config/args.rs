//! The options as typed on the command line or in the environment.

use std::path::PathBuf;

use clap::{Args, FromArgMatches};
use secrecy::SecretString;

/// The options for the data folder, which every command has.
#[derive(Args, Clone, Debug)]
pub struct DataArgs {
    /// Folder of the journal, the connections and the master key
    #[arg(
        long,
        global = true,
        env = "CARTWIRE_DATA_DIR",
        value_name = "FOLDER",
        default_value = "./data"
    )]
    pub data_dir: PathBuf,
    /// File with the master key, which encrypts secrets: 32 bytes in base64
    /// [default: a file in the data folder, created at the first start]
    #[arg(
        long,
        global = true,
        env = "CARTWIRE_MASTER_KEY_FILE",
        value_name = "FILE"
    )]
    pub master_key_file: Option<PathBuf>,
}

/// The options for requests to stores.
#[derive(Args, Clone, Debug, Default)]
pub struct StoreArgs {
    /// Allow requests to stores in private networks, for tests and for stores in your own network
    #[arg(
        long,
        env = "CARTWIRE_ALLOW_PRIVATE_STORES",
        action = clap::ArgAction::SetTrue,
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub allow_private_stores: bool,
    /// PEM file with certificate authorities of stores, in addition to the system's
    #[arg(long, env = "CARTWIRE_STORE_CA_FILE", value_name = "FILE")]
    pub store_ca_file: Option<PathBuf>,
}

/// The options of `serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Address of the webhook listener. WooCommerce delivers only to ports 80, 443 and 8080
    #[arg(
        long,
        env = "CARTWIRE_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: String,
    /// Address of the admin listener: health, metrics and API. An address other than loopback needs a token
    #[arg(
        long,
        env = "CARTWIRE_ADMIN_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8081"
    )]
    pub admin_listen: String,
    /// Token that admin requests must have: `Authorization: Bearer TOKEN`
    #[arg(
        long,
        env = "CARTWIRE_ADMIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub admin_token: Option<SecretString>,
    /// File with the admin token
    #[arg(long, env = "CARTWIRE_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// URL under which stores reach this gateway, for example `https://hooks.example.com`
    #[arg(long, env = "CARTWIRE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Seconds between two checks of a connection: credentials, webhooks, silence. 0 turns checks off
    #[arg(
        long,
        env = "CARTWIRE_CHECK_INTERVAL_SECONDS",
        value_name = "SECONDS",
        default_value = "600"
    )]
    pub check_interval_seconds: String,
    /// What to do about webhooks of the gateway that a store disabled, lost or changed: auto repairs them, manual reports them
    #[arg(
        long,
        env = "CARTWIRE_REPAIR",
        value_name = "MODE",
        default_value = "auto"
    )]
    pub repair: RepairMode,
    /// Seconds between two reads of a store for changes that its webhooks did not report. 0 reads on request only
    #[arg(
        long,
        env = "CARTWIRE_RECONCILE_INTERVAL_SECONDS",
        value_name = "SECONDS",
        default_value = "600"
    )]
    pub reconcile_interval_seconds: String,
    /// Seconds between two reads of a store that is followed by polling, unless its connection has a value of its own
    #[arg(
        long,
        env = "CARTWIRE_POLL_INTERVAL_SECONDS",
        value_name = "SECONDS",
        default_value = "60"
    )]
    pub poll_interval_seconds: String,
    /// Maximum seconds that a delivery without details waits for the store's API. 0 publishes it without details
    #[arg(
        long,
        env = "CARTWIRE_COMPLETE_WITHIN_SECONDS",
        value_name = "SECONDS",
        default_value = "900"
    )]
    pub complete_within_seconds: String,
    #[command(flatten)]
    pub stores: StoreArgs,
    /// URL of the broker: amqp://user:password@host:5672/vhost, or amqps:// for TLS. Repeat the option, or separate by
    /// commas, for the nodes of a cluster, which are tried in turn [default: none, events are read from the admin API]
    #[arg(
        long = "amqp-url",
        env = "CARTWIRE_AMQP_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub amqp_urls: Vec<SecretString>,
    /// File with the broker's URLs
    #[arg(long, env = "CARTWIRE_AMQP_URL_FILE", value_name = "FILE")]
    pub amqp_url_file: Option<PathBuf>,
    /// PEM file with certificate authorities for amqps://, in addition to the system's
    #[arg(long, env = "CARTWIRE_AMQP_CA_FILE", value_name = "FILE")]
    pub amqp_ca_file: Option<PathBuf>,
    /// PEM file with a client certificate and its chain for amqps://. It is also the login (SASL EXTERNAL) if the URL has no user
    #[arg(long, env = "CARTWIRE_AMQP_CLIENT_CERT_FILE", value_name = "FILE")]
    pub amqp_client_cert_file: Option<PathBuf>,
    /// PEM file with the private key of the client certificate
    #[arg(long, env = "CARTWIRE_AMQP_CLIENT_KEY_FILE", value_name = "FILE")]
    pub amqp_client_key_file: Option<PathBuf>,
    /// Topic exchange for events
    #[arg(
        long,
        env = "CARTWIRE_EXCHANGE",
        value_name = "NAME",
        default_value = "cartwire.events"
    )]
    pub exchange: String,
    /// What to do with the exchange and the queues at the broker: create them, check that they exist, or none
    #[arg(
        long,
        env = "CARTWIRE_TOPOLOGY",
        value_name = "create|check|none",
        default_value = "create"
    )]
    pub topology: String,
    /// Quorum queue and the pattern of its routing keys; repeatable [default: cartwire.events=#]
    #[arg(
        long = "queue",
        value_delimiter = ',',
        env = "CARTWIRE_QUEUE",
        value_name = "NAME=PATTERN"
    )]
    pub queues: Vec<String>,
    /// Maximum size of a webhook's body. Larger webhooks are answered 413
    #[arg(
        long,
        env = "CARTWIRE_MAX_BODY_BYTES",
        value_name = "BYTES",
        default_value = "8MiB"
    )]
    pub max_body_bytes: String,
    /// Maximum size of a published event, below the broker's own limit. A larger event is published without data.raw. It
    /// becomes a dead letter if it is too large even then
    #[arg(
        long,
        env = "CARTWIRE_MAX_EVENT_BYTES",
        value_name = "BYTES",
        default_value = "15MiB"
    )]
    pub max_event_bytes: String,
    /// Publish events whose content equals the last known state of the entity, instead of ignoring them
    #[arg(long, env = "CARTWIRE_PUBLISH_UNCHANGED")]
    pub publish_unchanged: bool,
    /// Publish updates that are older than the last known state of the entity, with the known state and `data.stale`
    #[arg(long, env = "CARTWIRE_PUBLISH_STALE")]
    pub publish_stale: bool,
    /// Publish the previous values of changed members as `data.previous`
    #[arg(long, env = "CARTWIRE_PUBLISH_PREVIOUS")]
    pub publish_previous: bool,
    /// Quantity at or below which a stock is low, for stores that send no threshold
    #[arg(long, env = "CARTWIRE_LOW_STOCK", value_name = "QUANTITY")]
    pub low_stock: Option<u32>,
    /// Maximum seconds for receiving a webhook's body. Slower webhooks are answered 408
    #[arg(
        long,
        env = "CARTWIRE_BODY_TIMEOUT_SECONDS",
        value_name = "SECONDS",
        default_value = "30"
    )]
    pub body_timeout_seconds: String,
    /// Days after which settled deliveries are removed
    #[arg(
        long,
        env = "CARTWIRE_RETAIN_DAYS",
        value_name = "DAYS",
        default_value = "30"
    )]
    pub retain_days: String,
    /// Size of the journal above which the oldest settled deliveries are removed
    #[arg(
        long,
        env = "CARTWIRE_RETAIN_SIZE",
        value_name = "BYTES",
        default_value = "8GiB"
    )]
    pub retain_size: String,
    /// Size of the journal above which webhooks are answered 503
    #[arg(
        long,
        env = "CARTWIRE_DISK_BUDGET",
        value_name = "BYTES",
        default_value = "16GiB"
    )]
    pub disk_budget: String,
    /// Free disk space below which webhooks are answered 503
    #[arg(
        long,
        env = "CARTWIRE_DISK_RESERVE",
        value_name = "BYTES",
        default_value = "256MiB"
    )]
    pub disk_reserve: String,
    /// PEM file with the certificate chain of the webhook listener
    #[arg(long, env = "CARTWIRE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate
    #[arg(long, env = "CARTWIRE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Maximum seconds of a shutdown for finishing requests and publishing events in flight
    #[arg(
        long,
        env = "CARTWIRE_SHUTDOWN_GRACE_SECONDS",
        value_name = "SECONDS",
        default_value = "10"
    )]
    pub shutdown_grace_seconds: String,
    /// Format of log lines: text for people, json for programs
    #[arg(
        long,
        env = "CARTWIRE_LOG_FORMAT",
        value_name = "text|json",
        default_value = "text"
    )]
    pub log_format: String,
    /// File with the log filter, in place of --log. SIGHUP reloads this file and the TLS certificate
    #[arg(long, env = "CARTWIRE_LOG_FILTER_FILE", value_name = "FILE")]
    pub log_filter_file: Option<PathBuf>,
    /// Log filter: error, warn, info, debug, or for example cartwire=debug,actix=warn
    #[arg(
        long,
        env = "CARTWIRE_LOG",
        value_name = "FILTER",
        default_value = "info"
    )]
    pub log: String,
}

/// What to do about webhooks of the gateway that a store disabled, lost or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RepairMode {
    /// Repair them.
    Auto,
    /// Report them.
    Manual,
}

impl ServeArgs {
    /// The defaults, without the environment's values: for a gateway inside another command.
    ///
    /// # Panics
    /// Never: every option has a default or is optional, and a test parses them.
    #[must_use]
    pub fn defaults() -> Self {
        let no_environment = |argument: clap::Arg| argument.env(None::<&'static str>);
        let command = Self::augment_args(clap::Command::new("serve")).mut_args(no_environment);
        let matches = command.get_matches_from(["serve"]);
        Self::from_arg_matches(&matches).expect("the defaults are complete")
    }
}
