//! The configuration of `serve`: the typed options after all checks. Plain data, without open files or connections.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Number;

use super::args::{DataArgs, RepairMode, ServeArgs, StoreArgs};
use super::broker::{Broker, broker};
use super::certificate::{CertificateFiles, certificate_files};
use super::mistakes::{ConfigErrors, Mistake, Mistakes};
use super::text::{address, number, read_filter, size, web_address};
use crate::event::SizeLimit;
use crate::journal::Budget;
use crate::outbound::{Options, Outbound};
use crate::relay::ComparisonOptions;
use crate::report::ErrorChain;
use crate::telemetry::LogFormat;

/// The configuration of `serve`.
#[derive(Clone)]
pub struct Config {
    pub data_dir: PathBuf,
    /// `None` for the master key in the data folder.
    pub master_key_file: Option<PathBuf>,
    /// The public listener.
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    /// The token that admin requests must have.
    pub admin_token: Option<SecretString>,
    /// The URL under which stores reach the gateway, without a slash at the end.
    pub public_url: Option<String>,
    /// The time between two checks of a connection; `None` without checks.
    pub check_interval: Option<Duration>,
    /// `true` to repair webhooks that a store disabled, lost or changed.
    pub is_auto_repair: bool,
    /// The time between two reads of a store; `None` if stores are read on request only.
    pub reconcile_interval: Option<Duration>,
    /// Time between two reads of a store that sends no webhooks.
    pub poll_interval: Duration,
    /// The maximum wait of a delivery for its enrichment; `None` without enrichment.
    pub complete_within: Option<Duration>,
    /// The options of requests to stores.
    pub stores: Options,
    /// The broker and its topology.
    pub broker: Option<Broker>,
    /// Larger webhooks are answered 413.
    pub max_body_bytes: usize,
    /// Maximum size of a published event.
    pub max_event_bytes: SizeLimit,
    /// How events are compared with the last known state of their entity; `None` if they are not compared.
    pub comparison: Option<ComparisonOptions>,
    /// Slower webhooks are answered 408.
    pub body_timeout: Duration,
    /// The limits of the journal.
    pub budget: Budget,
    /// The certificate of the public listener.
    pub tls: Option<CertificateFiles>,
    /// Maximum duration of a shutdown.
    pub shutdown_grace: Duration,
    pub log: LogOptions,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogOptions {
    pub format: LogFormat,
    /// The filter, for example `info` or `cartwire=debug`.
    pub filter: String,
    /// The file that the filter was read from.
    pub filter_file: Option<PathBuf>,
}

impl Config {
    /// Checks the options.
    ///
    /// # Errors
    /// [`ConfigErrors`] with all mistakes.
    pub fn new(data: &DataArgs, args: &ServeArgs) -> Result<Self, ConfigErrors> {
        let mut m = Mistakes::default();
        let config = read(&mut m, data, args);
        match config {
            Some(config) if m.0.is_empty() => Ok(config),
            _ => Err(ConfigErrors(m.0)),
        }
    }
}

/// Reads all options. An option with a mistake gives `None` and does not end the reading, so that all mistakes are found.
fn read(m: &mut Mistakes, data: &DataArgs, args: &ServeArgs) -> Option<Config> {
    let listen = m.take("--listen", address(&args.listen));
    let admin_listen = m.take("--admin-listen", address(&args.admin_listen));
    let admin_token = admin_token(m, args, admin_listen);
    let public_url = args
        .public_url
        .as_deref()
        .filter(|url| !url.is_empty())
        .and_then(|url| m.take("--public-url", web_address(url)));
    let complete = seconds(
        m,
        "--complete-within-seconds",
        &args.complete_within_seconds,
    );
    let check = seconds(m, "--check-interval-seconds", &args.check_interval_seconds);
    let reconcile = seconds(
        m,
        "--reconcile-interval-seconds",
        &args.reconcile_interval_seconds,
    );
    let poll = m.take(
        "--poll-interval-seconds",
        number(&args.poll_interval_seconds, 1..=86_400),
    );
    let stores = match args.stores.options() {
        Ok(stores) => Some(stores),
        Err(ConfigErrors(mistakes)) => {
            m.0.extend(mistakes);
            None
        }
    };
    let broker = broker(m, args);
    let max_body_bytes = max_body_bytes(m, args);
    let max_event_bytes = max_event_bytes(m, args);
    let body_timeout = m.take(
        "--body-timeout-seconds",
        number(&args.body_timeout_seconds, 1..=600),
    );
    let budget = budget(m, args);
    let tls = certificate_files(m, args.tls_cert.as_deref(), args.tls_key.as_deref());
    let grace = m.take(
        "--shutdown-grace-seconds",
        number(&args.shutdown_grace_seconds, 0..=600),
    );
    let log = log_options(m, args);
    Some(Config {
        data_dir: data.data_dir.clone(),
        master_key_file: data.master_key_file.clone(),
        listen: listen?,
        admin_listen: admin_listen?,
        admin_token,
        public_url,
        check_interval: check?,
        is_auto_repair: args.repair == RepairMode::Auto,
        reconcile_interval: reconcile?,
        poll_interval: Duration::from_secs(poll?),
        complete_within: complete?,
        stores: stores?,
        broker,
        max_body_bytes: max_body_bytes?,
        max_event_bytes: max_event_bytes?,
        comparison: Some(ComparisonOptions {
            publish_unchanged: args.publish_unchanged,
            publish_stale: args.publish_stale,
            publish_previous: args.publish_previous,
            low_stock: args.low_stock.map(Number::from),
        }),
        body_timeout: Duration::from_secs(body_timeout?),
        budget: budget?,
        tls,
        shutdown_grace: Duration::from_secs(grace?),
        log: log?,
    })
}

/// A duration in which 0 means "off".
fn seconds(m: &mut Mistakes, option: &'static str, text: &str) -> Option<Option<Duration>> {
    let seconds = m.take(option, number(text, 0..=86_400))?;
    Some((seconds > 0).then(|| Duration::from_secs(seconds)))
}

fn admin_token(
    m: &mut Mistakes,
    args: &ServeArgs,
    admin_listen: Option<SocketAddr>,
) -> Option<SecretString> {
    let typed = args.admin_token.as_ref();
    let file = args.admin_token_file.as_deref();
    let token = m.secret("--admin-token", typed, "--admin-token-file", file);
    if let Some(token) = &token
        && token.expose_secret().len() < 16
    {
        m.add(
            "--admin-token",
            "at least 16 characters; create one with: openssl rand -base64 24",
        );
    }
    let is_given = typed.is_some_and(|token| !token.expose_secret().is_empty()) || file.is_some();
    if admin_listen.is_some_and(|address| !address.ip().is_loopback()) && !is_given {
        m.add(
            "--admin-token",
            format!(
                "required, because other machines can reach --admin-listen {}",
                args.admin_listen
            ),
        );
    }
    token
}

fn max_body_bytes(m: &mut Mistakes, args: &ServeArgs) -> Option<usize> {
    let bytes = m.take("--max-body-bytes", size(&args.max_body_bytes))?;
    if bytes > 256 << 20 {
        m.add("--max-body-bytes", "at most 256MiB");
    }
    usize::try_from(bytes).ok()
}

fn max_event_bytes(m: &mut Mistakes, args: &ServeArgs) -> Option<SizeLimit> {
    let bytes = m.take("--max-event-bytes", size(&args.max_event_bytes))?;
    if !(64 << 10..=512 << 20).contains(&bytes) {
        m.add("--max-event-bytes", "from 64KiB to 512MiB");
    }
    usize::try_from(bytes).ok().map(SizeLimit::new)
}

fn budget(m: &mut Mistakes, args: &ServeArgs) -> Option<Budget> {
    let days = m.take("--retain-days", number(&args.retain_days, 1..=36_500));
    let retain = m.take("--retain-size", size(&args.retain_size));
    let budget = m.take("--disk-budget", size(&args.disk_budget));
    let reserve = m.take("--disk-reserve", size(&args.disk_reserve));
    if let (Some(retain), Some(budget)) = (retain, budget)
        && retain > budget
    {
        m.add(
            "--disk-budget",
            "at least --retain-size; otherwise webhooks are refused before old deliveries are removed",
        );
    }
    Some(Budget {
        age: Duration::from_secs(days? * 86_400),
        size: retain?,
        budget: budget?,
        reserve: reserve?,
    })
}

fn log_options(m: &mut Mistakes, args: &ServeArgs) -> Option<LogOptions> {
    let format = match args.log_format.as_str() {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => {
            m.add("--log-format", "text or json");
            None
        }
    };
    let is_named = |path: &&PathBuf| !path.as_os_str().is_empty();
    let filter_file = args.log_filter_file.as_ref().filter(is_named);
    let filter = match filter_file {
        Some(path) => m.take("--log-filter-file", read_filter(path)),
        None => {
            let parsed = tracing_subscriber::EnvFilter::try_new(&args.log);
            let wrong = |error| format!("a filter such as info or cartwire=debug ({error})");
            m.take("--log", parsed.map_err(wrong))
                .map(|_| args.log.clone())
        }
    };
    Some(LogOptions {
        format: format?,
        filter: filter?,
        filter_file: filter_file.cloned(),
    })
}

impl StoreArgs {
    /// The options of requests to stores.
    ///
    /// # Errors
    /// [`ConfigErrors`] if the file of the certificate authorities is invalid.
    pub fn options(&self) -> Result<Options, ConfigErrors> {
        let ca_file = self
            .store_ca_file
            .clone()
            .filter(|path| !path.as_os_str().is_empty());
        let options = Options {
            allow_private_stores: self.allow_private_stores,
            ca_file,
        };
        match Outbound::new(&options) {
            Ok(_) => Ok(options),
            Err(error) => Err(ConfigErrors(vec![Mistake {
                option: "--store-ca-file",
                right: ErrorChain(&error).to_string(),
            }])),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn args() -> ServeArgs {
        #[derive(Parser)]
        struct Wrap {
            #[command(flatten)]
            args: ServeArgs,
        }
        Wrap::parse_from(["serve"]).args
    }

    fn data() -> DataArgs {
        DataArgs {
            data_dir: "./data".into(),
            master_key_file: None,
        }
    }

    #[test]
    fn defaults_are_a_valid_configuration() {
        let config = Config::new(&data(), &ServeArgs::defaults()).expect("right");
        assert_eq!(config.max_body_bytes, 8 << 20);
        assert!(config.broker.is_none());
    }

    #[test]
    fn all_mistakes_are_reported_at_once_without_secrets() {
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
