//! `serve`'s options: as typed, then as meant.
//!
//! [`ServeArgs`] takes text and never fails on it; [`Config`] cannot be wrong. What lies between tells all mistakes at once,
//! each with the option's name and what is right: `mistakes` gathers them, `text` reads values.

mod broker;
mod certificate;
mod mistakes;
mod text;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

pub use broker::Broker;
use broker::broker;
pub use certificate::Certificate;
use mistakes::Mistakes;
pub use mistakes::{ConfigErrors, Mistake, read_secret};
pub use text::read_filter;
pub(crate) use text::web_address;
use text::{address, number, size, tls};

use crate::event::SizeLimit;
use crate::journal::Budget;
use crate::outbound::{Options, Outbound};
use crate::report::ErrorChain;
use crate::telemetry::LogFormat;

/// Where the data is: every command needs it.
#[derive(Args, Clone, Debug)]
pub struct DataArgs {
    /// The folder of the journal, the connections and the master key
    #[arg(
        long,
        env = "CARTWIRE_DATA_DIR",
        value_name = "FOLDER",
        default_value = "./data",
        global = true
    )]
    pub data_dir: PathBuf,
    /// The file of the key that seals secrets: 32 bytes as base64 [default: made in the data folder]
    #[arg(
        long,
        env = "CARTWIRE_MASTER_KEY_FILE",
        value_name = "FILE",
        global = true
    )]
    pub master_key_file: Option<PathBuf>,
}

/// How stores are called: whatever asks one needs it.
#[derive(Args, Clone, Debug, Default)]
pub struct StoreArgs {
    /// Call stores in private networks as well: for tests, and for a shop in one's own network
    #[arg(
        long,
        env = "CARTWIRE_ALLOW_PRIVATE_STORES",
        action = clap::ArgAction::SetTrue,
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub allow_private_stores: bool,
    /// A certificate authority that stores may have besides the system's, PEM
    #[arg(long, env = "CARTWIRE_STORE_CA_FILE", value_name = "FILE")]
    pub store_ca_file: Option<PathBuf>,
}

impl StoreArgs {
    /// What calls stores so.
    ///
    /// # Errors
    /// [`ConfigErrors`] where the authority's file is none.
    pub fn outbound(&self) -> Result<Outbound, ConfigErrors> {
        let ca_file = self
            .store_ca_file
            .clone()
            .filter(|path| !path.as_os_str().is_empty());
        let options = Options {
            allow_private_stores: self.allow_private_stores,
            ca_file,
        };
        Outbound::new(&options).map_err(|error| {
            ConfigErrors(vec![Mistake {
                option: "--store-ca-file",
                right: ErrorChain(&error).to_string(),
            }])
        })
    }
}

/// `serve`'s options as typed.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// Where webhooks come in; WooCommerce delivers to ports 80, 443 and 8080 only
    #[arg(
        long,
        env = "CARTWIRE_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: String,
    /// Health, metrics and the admin API; beyond loopback only with a token
    #[arg(
        long,
        env = "CARTWIRE_ADMIN_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8081"
    )]
    pub admin_listen: String,
    /// What the admin API asks for: `Authorization: Bearer …`
    #[arg(
        long,
        env = "CARTWIRE_ADMIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub admin_token: Option<SecretString>,
    /// The file that holds the admin token
    #[arg(long, env = "CARTWIRE_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// The address under which stores reach the gateway, as told to them
    #[arg(long, env = "CARTWIRE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// How often each connection is checked: credentials, webhooks, silence; 0 turns it off
    #[arg(
        long,
        env = "CARTWIRE_CHECK_INTERVAL_SECONDS",
        value_name = "SECONDS",
        default_value = "600"
    )]
    pub check_interval_seconds: String,
    /// How long a delivery that tells less than the whole waits for its store to tell the rest; 0: it goes out as it is
    #[arg(
        long,
        env = "CARTWIRE_COMPLETE_WITHIN_SECONDS",
        value_name = "SECONDS",
        default_value = "900"
    )]
    pub complete_within_seconds: String,
    #[command(flatten)]
    pub stores: StoreArgs,
    /// The broker's address, or the addresses of a cluster's nodes, which are tried in turn; repeatable, or separated by
    /// commas: amqp://user:password@host:5672/vhost, or amqps://… [default: none, events are read from the admin API]
    #[arg(
        long = "amqp-url",
        env = "CARTWIRE_AMQP_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub amqp_urls: Vec<SecretString>,
    /// The file that holds the broker's addresses
    #[arg(long, env = "CARTWIRE_AMQP_URL_FILE", value_name = "FILE")]
    pub amqp_url_file: Option<PathBuf>,
    /// A certificate authority for amqps:// besides the system's, PEM
    #[arg(long, env = "CARTWIRE_AMQP_CA_FILE", value_name = "FILE")]
    pub amqp_ca_file: Option<PathBuf>,
    /// A client certificate for amqps://, PEM with its chain; the login (SASL EXTERNAL) where the URL names no user
    #[arg(long, env = "CARTWIRE_AMQP_CLIENT_CERT_FILE", value_name = "FILE")]
    pub amqp_client_cert_file: Option<PathBuf>,
    /// The client certificate's private key, PEM
    #[arg(long, env = "CARTWIRE_AMQP_CLIENT_KEY_FILE", value_name = "FILE")]
    pub amqp_client_key_file: Option<PathBuf>,
    /// The topic exchange that events are published to
    #[arg(
        long,
        env = "CARTWIRE_EXCHANGE",
        value_name = "NAME",
        default_value = "cartwire.events"
    )]
    pub exchange: String,
    /// Declare the exchange and queues (create), fail where they are missing (check), or leave them alone (none)
    #[arg(
        long,
        env = "CARTWIRE_TOPOLOGY",
        value_name = "MODE",
        default_value = "create"
    )]
    pub topology: String,
    /// A quorum queue and what it gets, repeatable [default: cartwire.events=#]
    #[arg(
        long = "queue",
        env = "CARTWIRE_QUEUE",
        value_name = "NAME=PATTERN",
        value_delimiter = ','
    )]
    pub queues: Vec<String>,
    /// Larger webhooks are answered 413
    #[arg(
        long,
        env = "CARTWIRE_MAX_BODY_BYTES",
        value_name = "BYTES",
        default_value = "8MiB"
    )]
    pub max_body_bytes: String,
    /// Maximum size of a published event, below the broker's own limit: a larger event is published without data.raw, and
    /// one that is larger without it is a dead letter
    #[arg(
        long,
        env = "CARTWIRE_MAX_EVENT_BYTES",
        value_name = "BYTES",
        default_value = "15MiB"
    )]
    pub max_event_bytes: String,
    /// Slower webhooks are answered 408
    #[arg(
        long,
        env = "CARTWIRE_BODY_TIMEOUT_SECONDS",
        value_name = "SECONDS",
        default_value = "30"
    )]
    pub body_timeout_seconds: String,
    /// Settled deliveries older than this are removed
    #[arg(
        long,
        env = "CARTWIRE_RETAIN_DAYS",
        value_name = "DAYS",
        default_value = "30"
    )]
    pub retain_days: String,
    /// While the journal is larger than this, the oldest settled deliveries are removed
    #[arg(
        long,
        env = "CARTWIRE_RETAIN_SIZE",
        value_name = "BYTES",
        default_value = "8GiB"
    )]
    pub retain_size: String,
    /// While the journal is larger than this, webhooks are answered 503
    #[arg(
        long,
        env = "CARTWIRE_DISK_BUDGET",
        value_name = "BYTES",
        default_value = "16GiB"
    )]
    pub disk_budget: String,
    /// While the disk has less than this left, webhooks are answered 503
    #[arg(
        long,
        env = "CARTWIRE_DISK_RESERVE",
        value_name = "BYTES",
        default_value = "256MiB"
    )]
    pub disk_reserve: String,
    /// The certificate chain of the public listener, PEM
    #[arg(long, env = "CARTWIRE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, env = "CARTWIRE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// How long a shutdown may take to finish requests and publish what is under way
    #[arg(
        long,
        env = "CARTWIRE_SHUTDOWN_GRACE_SECONDS",
        value_name = "SECONDS",
        default_value = "10"
    )]
    pub shutdown_grace_seconds: String,
    /// Log lines for people (text) or machines (json)
    #[arg(
        long,
        env = "CARTWIRE_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub log_format: String,
    /// A file whose content replaces --log; SIGHUP reads it again, together with the TLS certificate
    #[arg(long, env = "CARTWIRE_LOG_FILTER_FILE", value_name = "FILE")]
    pub log_filter_file: Option<PathBuf>,
    /// What is logged: error, warn, info, debug, or cartwire=debug,actix=warn
    #[arg(
        long,
        env = "CARTWIRE_LOG",
        value_name = "FILTER",
        default_value = "info"
    )]
    pub log: String,
}

impl ServeArgs {
    /// The defaults, whatever the environment says: for a gateway inside another command.
    #[must_use]
    pub fn defaults() -> Self {
        let text = |text: &str| text.to_owned();
        Self {
            listen: text("127.0.0.1:8080"),
            admin_listen: text("127.0.0.1:8081"),
            check_interval_seconds: text("600"),
            complete_within_seconds: text("900"),
            exchange: text("cartwire.events"),
            topology: text("create"),
            max_body_bytes: text("8MiB"),
            max_event_bytes: text("15MiB"),
            body_timeout_seconds: text("30"),
            retain_days: text("30"),
            retain_size: text("8GiB"),
            disk_budget: text("16GiB"),
            disk_reserve: text("256MiB"),
            shutdown_grace_seconds: text("10"),
            log_format: text("text"),
            log: text("info"),
            ..Self::default()
        }
    }
}

/// `serve`'s options as meant.
#[derive(Clone)]
pub struct Config {
    /// The data folder.
    pub data_dir: PathBuf,
    /// The master key's file, where it is not the data folder's own.
    pub master_key_file: Option<PathBuf>,
    /// The public listener.
    pub listen: SocketAddr,
    /// The admin listener.
    pub admin_listen: SocketAddr,
    /// What the admin listener asks for.
    pub admin_token: Option<SecretString>,
    /// The address that stores are told, without a slash at the end.
    pub public_url: Option<String>,
    /// How often each connection is checked, where it is.
    pub check_interval: Option<Duration>,
    /// How long a delivery waits to be completed, where it is.
    pub complete_within: Option<Duration>,
    /// Calls stores.
    pub outbound: Outbound,
    /// The broker and its topology.
    pub broker: Option<Broker>,
    /// Larger webhooks are answered 413.
    pub max_body_bytes: usize,
    /// The largest event that is published.
    pub max_event_bytes: SizeLimit,
    /// Slower webhooks are answered 408.
    pub body_timeout: Duration,
    /// What the journal keeps.
    pub budget: Budget,
    /// The public listener's certificate.
    pub tls: Option<Certificate>,
    /// How long a shutdown may take.
    pub shutdown_grace: Duration,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged.
    pub log: String,
    /// The file that the log filter is read from.
    pub log_filter_file: Option<PathBuf>,
}

impl Config {
    /// Says what the options mean, or all that is wrong with them.
    ///
    /// # Errors
    /// [`ConfigErrors`].
    pub fn new(data: &DataArgs, args: &ServeArgs) -> Result<Self, ConfigErrors> {
        let mut m = Mistakes::default();
        let listen = m.take("--listen", address(&args.listen));
        let admin_listen = m.take("--admin-listen", address(&args.admin_listen));
        let admin_token = m.secret(
            "--admin-token",
            args.admin_token.as_ref(),
            "--admin-token-file",
            args.admin_token_file.as_deref(),
        );
        if let Some(token) = &admin_token
            && token.expose_secret().len() < 16
        {
            m.add(
                "--admin-token",
                "at least 16 characters (make one with: openssl rand -base64 24)",
            );
        }
        let token_given = args
            .admin_token
            .as_ref()
            .is_some_and(|token| !token.expose_secret().is_empty())
            || args.admin_token_file.is_some();
        if admin_listen.is_some_and(|address| !address.ip().is_loopback()) && !token_given {
            m.add(
                "--admin-token",
                format!(
                    "needed, because --admin-listen {} is reachable from other machines",
                    args.admin_listen
                ),
            );
        }
        let public_url = args
            .public_url
            .as_deref()
            .filter(|url| !url.is_empty())
            .and_then(|url| m.take("--public-url", web_address(url)));
        let complete_within = m.take(
            "--complete-within-seconds",
            number(&args.complete_within_seconds, 0..=86_400),
        );
        let check_interval = m.take(
            "--check-interval-seconds",
            number(&args.check_interval_seconds, 0..=86_400),
        );
        let outbound = args
            .stores
            .outbound()
            .map_err(|ConfigErrors(wrong)| m.0.extend(wrong))
            .ok();
        let broker = broker(&mut m, args);
        let max_body_bytes = m
            .take("--max-body-bytes", size(&args.max_body_bytes))
            .unwrap_or(0);
        if max_body_bytes > 256 << 20 {
            m.add("--max-body-bytes", "at most 256MiB");
        }
        let max_event_bytes = m.take("--max-event-bytes", size(&args.max_event_bytes));
        if max_event_bytes.is_some_and(|bytes| !(64 << 10..=512 << 20).contains(&bytes)) {
            m.add("--max-event-bytes", "from 64KiB to 512MiB");
        }
        let max_event_bytes = max_event_bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let body_timeout = m.take(
            "--body-timeout-seconds",
            number(&args.body_timeout_seconds, 1..=600),
        );
        let retain_days = m.take("--retain-days", number(&args.retain_days, 1..=36_500));
        let retain_size = m.take("--retain-size", size(&args.retain_size));
        let disk_budget = m.take("--disk-budget", size(&args.disk_budget));
        if let (Some(retain), Some(budget)) = (retain_size, disk_budget)
            && retain > budget
        {
            m.add("--disk-budget", "at least --retain-size: otherwise webhooks are refused before old deliveries are removed");
        }
        let disk_reserve = m.take("--disk-reserve", size(&args.disk_reserve));
        let tls = tls(&mut m, args.tls_cert.as_deref(), args.tls_key.as_deref());
        let grace = m.take(
            "--shutdown-grace-seconds",
            number(&args.shutdown_grace_seconds, 0..=600),
        );
        let log_format = match args.log_format.as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => {
                m.add("--log-format", "one of text, json");
                LogFormat::Text
            }
        };
        let log_filter_file = args
            .log_filter_file
            .clone()
            .filter(|path| !path.as_os_str().is_empty());
        let log = match &log_filter_file {
            Some(path) => m
                .take("--log-filter-file", read_filter(path))
                .unwrap_or_default(),
            None => {
                if let Err(error) = tracing_subscriber::EnvFilter::try_new(&args.log) {
                    m.add(
                        "--log",
                        format!("a filter such as info or cartwire=debug ({error})"),
                    );
                }
                args.log.clone()
            }
        };
        let addresses = listen.zip(admin_listen);
        let times = check_interval
            .zip(complete_within)
            .zip(body_timeout)
            .zip(retain_days)
            .zip(grace);
        let sizes = retain_size.zip(disk_budget).zip(disk_reserve);
        match (addresses, times, sizes, outbound) {
            (
                Some((listen, admin_listen)),
                Some(((((check, complete), body), days), grace)),
                Some(((size, budget), reserve)),
                Some(outbound),
            ) if m.0.is_empty() => Ok(Self {
                data_dir: data.data_dir.clone(),
                master_key_file: data.master_key_file.clone(),
                listen,
                admin_listen,
                admin_token,
                public_url,
                check_interval: (check > 0).then(|| Duration::from_secs(check)),
                complete_within: (complete > 0).then(|| Duration::from_secs(complete)),
                outbound,
                broker,
                max_body_bytes: usize::try_from(max_body_bytes).unwrap_or(usize::MAX),
                max_event_bytes: max_event_bytes.map(SizeLimit::new).unwrap_or_default(),
                body_timeout: Duration::from_secs(body),
                budget: Budget {
                    age: Duration::from_secs(days * 86_400),
                    size,
                    budget,
                    reserve,
                },
                tls,
                shutdown_grace: Duration::from_secs(grace),
                log_format,
                log,
                log_filter_file,
            }),
            _ => Err(ConfigErrors(m.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> ServeArgs {
        #[derive(clap::Parser)]
        struct Wrap {
            #[command(flatten)]
            args: ServeArgs,
        }
        <Wrap as clap::Parser>::parse_from(["serve"]).args
    }

    fn data() -> DataArgs {
        DataArgs {
            data_dir: "./data".into(),
            master_key_file: None,
        }
    }

    #[test]
    fn the_defaults_are_right() {
        assert_eq!(
            format!("{:?}", args()),
            format!("{:?}", ServeArgs::defaults()),
            "the two lists of defaults are one"
        );
        let config = Config::new(&data(), &args()).expect("right");
        assert_eq!(config.max_body_bytes, 8 << 20);
        assert!(config.broker.is_none());
    }

    #[test]
    fn all_mistakes_are_told_at_once_and_no_secret_with_them() {
        let wrong = ServeArgs {
            listen: "nowhere".to_owned(),
            admin_listen: "0.0.0.0:8081".to_owned(),
            amqp_urls: vec!["ampq://user:geheim@host".into()],
            topology: "make".to_owned(),
            queues: vec!["orders".to_owned()],
            max_body_bytes: "big".to_owned(),
            retain_size: "32GiB".to_owned(),
            tls_cert: Some("cert.pem".into()),
            ..args()
        };
        let Err(errors) = Config::new(&data(), &wrong) else {
            panic!("wrong")
        };
        let options: Vec<&str> = errors.0.iter().map(|mistake| mistake.option).collect();
        for option in [
            "--listen",
            "--admin-token",
            "--amqp-url",
            "--topology",
            "--queue",
            "--max-body-bytes",
            "--disk-budget",
            "--tls-key",
        ] {
            assert!(options.contains(&option), "{option} in {options:?}");
        }
        let text = errors.to_string();
        assert!(!text.contains("geheim"));
        assert!(text.contains("CARTWIRE_AMQP_URL"));
    }
}
