//! `serve`'s options: as typed, then as meant.
//!
//! [`ServeArgs`] takes text and never fails on it; [`Config`] cannot be wrong. What lies between tells all mistakes at once,
//! each with the option's name and what is right.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

use crate::journal::Budget;
use crate::publisher::topology::{Mode, Queue, Topology};
use crate::telemetry::LogFormat;

/// Where the data is: every command needs it.
#[derive(Args, Clone, Debug)]
pub struct DataArgs {
    /// The folder of the journal, the connections and the master key
    #[arg(long, env = "CARTWIRE_DATA_DIR", value_name = "FOLDER", default_value = "./data", global = true)]
    pub data_dir: PathBuf,
    /// The file of the key that seals secrets: 32 bytes as base64 [default: made in the data folder]
    #[arg(long, env = "CARTWIRE_MASTER_KEY_FILE", value_name = "FILE", global = true)]
    pub master_key_file: Option<PathBuf>,
}

/// `serve`'s options as typed.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// Where webhooks come in; WooCommerce delivers to ports 80, 443 and 8080 only
    #[arg(long, env = "CARTWIRE_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// Health, metrics and the admin API; beyond loopback only with a token
    #[arg(long, env = "CARTWIRE_ADMIN_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8081")]
    pub admin_listen: String,
    /// What the admin API asks for: `Authorization: Bearer …`
    #[arg(long, env = "CARTWIRE_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub admin_token: Option<SecretString>,
    /// The file that holds the admin token
    #[arg(long, env = "CARTWIRE_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// The address under which stores reach the gateway, as told to them
    #[arg(long, env = "CARTWIRE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// The broker: amqp://user:password@host:5672/vhost, or amqps [default: none, events are read from the admin API]
    #[arg(long, env = "CARTWIRE_AMQP_URL", value_name = "URL", hide_env_values = true)]
    pub amqp_url: Option<SecretString>,
    /// The file that holds the broker's URL
    #[arg(long, env = "CARTWIRE_AMQP_URL_FILE", value_name = "FILE")]
    pub amqp_url_file: Option<PathBuf>,
    /// The topic exchange that events are published to
    #[arg(long, env = "CARTWIRE_EXCHANGE", value_name = "NAME", default_value = "cartwire.events")]
    pub exchange: String,
    /// Declare the exchange and queues (create), fail where they are missing (check), or leave them alone (none)
    #[arg(long, env = "CARTWIRE_TOPOLOGY", value_name = "MODE", default_value = "create")]
    pub topology: String,
    /// A quorum queue and what it gets, repeatable [default: cartwire.events=#]
    #[arg(long = "queue", env = "CARTWIRE_QUEUE", value_name = "NAME=PATTERN", value_delimiter = ',')]
    pub queues: Vec<String>,
    /// Larger webhooks are answered 413
    #[arg(long, env = "CARTWIRE_MAX_BODY_BYTES", value_name = "BYTES", default_value = "8MiB")]
    pub max_body_bytes: String,
    /// Slower webhooks are answered 408
    #[arg(long, env = "CARTWIRE_BODY_TIMEOUT_SECONDS", value_name = "SECONDS", default_value = "30")]
    pub body_timeout_seconds: String,
    /// Settled deliveries older than this are removed
    #[arg(long, env = "CARTWIRE_RETAIN_DAYS", value_name = "DAYS", default_value = "30")]
    pub retain_days: String,
    /// While the journal is larger than this, the oldest settled deliveries are removed
    #[arg(long, env = "CARTWIRE_RETAIN_SIZE", value_name = "BYTES", default_value = "8GiB")]
    pub retain_size: String,
    /// While the journal is larger than this, webhooks are answered 503
    #[arg(long, env = "CARTWIRE_DISK_BUDGET", value_name = "BYTES", default_value = "16GiB")]
    pub disk_budget: String,
    /// While the disk has less than this left, webhooks are answered 503
    #[arg(long, env = "CARTWIRE_DISK_RESERVE", value_name = "BYTES", default_value = "256MiB")]
    pub disk_reserve: String,
    /// The certificate chain of the public listener, PEM
    #[arg(long, env = "CARTWIRE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, env = "CARTWIRE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// How long a shutdown may take to finish requests and publish what is under way
    #[arg(long, env = "CARTWIRE_SHUTDOWN_GRACE_SECONDS", value_name = "SECONDS", default_value = "10")]
    pub shutdown_grace_seconds: String,
    /// Log lines for people (text) or machines (json)
    #[arg(long, env = "CARTWIRE_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: String,
    /// What is logged: error, warn, info, debug, or cartwire=debug,actix=warn
    #[arg(long, env = "CARTWIRE_LOG", value_name = "FILTER", default_value = "info")]
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
            exchange: text("cartwire.events"),
            topology: text("create"),
            max_body_bytes: text("8MiB"),
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
    /// The broker and its topology.
    pub broker: Option<Broker>,
    /// Larger webhooks are answered 413.
    pub max_body_bytes: usize,
    /// Slower webhooks are answered 408.
    pub body_timeout: Duration,
    /// What the journal keeps.
    pub budget: Budget,
    /// The public listener's certificate.
    pub tls: Option<rustls::ServerConfig>,
    /// How long a shutdown may take.
    pub shutdown_grace: Duration,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged.
    pub log: String,
}

/// The broker and its topology.
#[derive(Clone)]
pub struct Broker {
    /// Where it is, with the user and password.
    pub uri: AMQPUri,
    /// What must exist there.
    pub topology: Topology,
}

/// A mistake in the options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The option as typed.
    pub option: &'static str,
    /// What is right.
    pub right: String,
}

/// All mistakes in the options.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors(pub Vec<Mistake>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} mistake{}", self.0.len(), if self.0.len() == 1 { "" } else { "s" })?;
        for mistake in &self.0 {
            write!(f, "\n  {} ({}): {}", mistake.option, variable(mistake.option), mistake.right)?;
        }
        Ok(())
    }
}

/// The environment variable of an option.
fn variable(option: &str) -> String {
    format!("CARTWIRE_{}", option.trim_start_matches('-').replace('-', "_").to_uppercase())
}

#[derive(Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn add(&mut self, option: &'static str, right: impl ToString) {
        self.0.push(Mistake { option, right: right.to_string() });
    }

    fn take<T>(&mut self, option: &'static str, result: Result<T, impl ToString>) -> Option<T> {
        result.map_err(|right| self.add(option, right)).ok()
    }

    /// A secret from its option or its file, not both.
    fn secret(
        &mut self,
        option: &'static str,
        typed: Option<&SecretString>,
        file_option: &'static str,
        file: Option<&Path>,
    ) -> Option<SecretString> {
        // An empty variable is one that was not set: compose files write them so.
        match (typed.filter(|typed| !typed.expose_secret().is_empty()), file) {
            (Some(_), Some(_)) => {
                self.add(file_option, format!("either this or {option}, not both"));
                None
            }
            (Some(typed), None) => Some(typed.clone()),
            (None, Some(file)) => self.take(file_option, read_secret(file)),
            (None, None) => None,
        }
    }
}

/// Reads a secret's file (`-` is standard input) without the line break at its end.
///
/// # Errors
/// What is wrong with it; never its content.
pub fn read_secret(file: &Path) -> Result<SecretString, String> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).map_err(|e| format!("cannot read standard input: {e}"))?
    } else {
        std::fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?
    };
    // Some editors begin a file with a mark of its encoding; no secret does.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() { Err(format!("{} is empty", file.display())) } else { Ok(text.to_owned().into()) }
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
        let admin_token =
            m.secret("--admin-token", args.admin_token.as_ref(), "--admin-token-file", args.admin_token_file.as_deref());
        if let Some(token) = &admin_token
            && token.expose_secret().len() < 16
        {
            m.add("--admin-token", "at least 16 characters (make one with: openssl rand -base64 24)");
        }
        let token_given =
            args.admin_token.as_ref().is_some_and(|token| !token.expose_secret().is_empty()) || args.admin_token_file.is_some();
        if admin_listen.is_some_and(|address| !address.ip().is_loopback()) && !token_given {
            m.add(
                "--admin-token",
                format!("needed, because --admin-listen {} is reachable from other machines", args.admin_listen),
            );
        }
        let public_url =
            args.public_url.as_deref().filter(|url| !url.is_empty()).and_then(|url| m.take("--public-url", web_address(url)));
        let broker = broker(&mut m, args);
        let max_body_bytes = m.take("--max-body-bytes", size(&args.max_body_bytes)).unwrap_or(0);
        if max_body_bytes > 256 << 20 {
            m.add("--max-body-bytes", "at most 256MiB");
        }
        let body_timeout = m.take("--body-timeout-seconds", number(&args.body_timeout_seconds, 1..=600));
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
        let grace = m.take("--shutdown-grace-seconds", number(&args.shutdown_grace_seconds, 0..=600));
        let log_format = match args.log_format.as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => {
                m.add("--log-format", "one of text, json");
                LogFormat::Text
            }
        };
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&args.log) {
            m.add("--log", format!("a filter such as info or cartwire=debug ({error})"));
        }
        match (listen, admin_listen, body_timeout, retain_days, retain_size, disk_budget, disk_reserve, grace) {
            (Some(listen), Some(admin_listen), Some(body), Some(days), Some(size), Some(budget), Some(reserve), Some(grace))
                if m.0.is_empty() =>
            {
                Ok(Self {
                    data_dir: data.data_dir.clone(),
                    master_key_file: data.master_key_file.clone(),
                    listen,
                    admin_listen,
                    admin_token,
                    public_url,
                    broker,
                    max_body_bytes: usize::try_from(max_body_bytes).unwrap_or(usize::MAX),
                    body_timeout: Duration::from_secs(body),
                    budget: Budget { age: Duration::from_secs(days * 86_400), size, budget, reserve },
                    tls,
                    shutdown_grace: Duration::from_secs(grace),
                    log_format,
                    log: args.log.clone(),
                })
            }
            _ => Err(ConfigErrors(m.0)),
        }
    }
}

fn broker(m: &mut Mistakes, args: &ServeArgs) -> Option<Broker> {
    let mode = m.take("--topology", Mode::from_str(&args.topology));
    if args.exchange.is_empty() || args.exchange.len() > 127 {
        m.add("--exchange", "a name of 1 to 127 characters");
    }
    let default = ["cartwire.events=#".to_owned()];
    let typed = if args.queues.iter().all(String::is_empty) { &default[..] } else { &args.queues };
    let queues: Vec<Queue> = typed.iter().filter_map(|queue| m.take("--queue", Queue::from_str(queue))).collect();
    let url = m.secret("--amqp-url", args.amqp_url.as_ref(), "--amqp-url-file", args.amqp_url_file.as_deref())?;
    // lapin's own message may repeat the URL, and with it the password.
    let right =
        "amqp://user:password@host:5672/vhost, or amqps:// for TLS; special characters percent-encoded, %2f for the vhost /";
    let uri = m.take("--amqp-url", AMQPUri::from_str(url.expose_secret()).map_err(|_| right))?;
    Some(Broker { uri, topology: Topology { exchange: args.exchange.clone(), queues, mode: mode? } })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let right = || format!("an address and port such as 127.0.0.1:8080 or [::]:8080, not {text:?}");
    text.to_socket_addrs().map_err(|_| right())?.next().ok_or_else(right)
}

/// An http or https address, without the slash at its end.
pub(crate) fn web_address(text: &str) -> Result<String, String> {
    let right = || format!("an address such as https://hooks.example.com, not {text:?}");
    let url = url::Url::parse(text.trim()).map_err(|_| right())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || url.query().is_some() {
        return Err(right());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// A number of bytes: `8388608`, `8MiB`, `16GiB`.
fn size(text: &str) -> Result<u64, String> {
    let right = || format!("a number of bytes such as 1048576, 512KiB, 8MiB or 16GiB, not {text:?}");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err(right()),
    };
    digits.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).filter(|size| *size > 0).ok_or_else(right)
}

fn number(text: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let (least, most) = (range.start(), range.end());
    text.trim()
        .parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("a whole number from {least} to {most}, not {text:?}"))
}

fn tls(m: &mut Mistakes, cert: Option<&Path>, key: Option<&Path>) -> Option<rustls::ServerConfig> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let (cert, key) = match (cert, key) {
        (Some(cert), Some(key)) => (cert, key),
        (None, None) => return None,
        (Some(_), None) => {
            m.add("--tls-key", "needed with --tls-cert");
            return None;
        }
        (None, Some(_)) => {
            m.add("--tls-cert", "needed with --tls-key");
            return None;
        }
    };
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = m.take("--tls-cert", chain.map_err(|e| format!("a PEM file with certificates: {e}")));
    let key = m.take("--tls-key", PrivateKeyDer::from_pem_file(key).map_err(|e| format!("a PEM file with a private key: {e}")));
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (chain, key) = (chain?, key?);
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    m.take("--tls-cert", config.map_err(|e| format!("a certificate that fits the key: {e}")))
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
        DataArgs { data_dir: "./data".into(), master_key_file: None }
    }

    #[test]
    fn the_defaults_are_right() {
        assert_eq!(format!("{:?}", args()), format!("{:?}", ServeArgs::defaults()), "the two lists of defaults are one");
        let config = Config::new(&data(), &args()).expect("right");
        assert_eq!(config.max_body_bytes, 8 << 20);
        assert!(config.broker.is_none());
    }

    #[test]
    fn all_mistakes_are_told_at_once_and_no_secret_with_them() {
        let wrong = ServeArgs {
            listen: "nowhere".to_owned(),
            admin_listen: "0.0.0.0:8081".to_owned(),
            amqp_url: Some("ampq://user:geheim@host".into()),
            topology: "make".to_owned(),
            queues: vec!["orders".to_owned()],
            max_body_bytes: "big".to_owned(),
            retain_size: "32GiB".to_owned(),
            tls_cert: Some("cert.pem".into()),
            ..args()
        };
        let Err(errors) = Config::new(&data(), &wrong) else { panic!("wrong") };
        let options: Vec<&str> = errors.0.iter().map(|mistake| mistake.option).collect();
        for option in
            ["--listen", "--admin-token", "--amqp-url", "--topology", "--queue", "--max-body-bytes", "--disk-budget", "--tls-key"]
        {
            assert!(options.contains(&option), "{option} in {options:?}");
        }
        let text = errors.to_string();
        assert!(!text.contains("geheim"));
        assert!(text.contains("CARTWIRE_AMQP_URL"));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("512KiB"), Ok(512 << 10));
        assert_eq!(size("16GiB"), Ok(16 << 30));
        for wrong in ["", "0", "-1", "1.5MiB", "8 apples", "99999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
