//! `connections add KIND`: checks the store, stores the connection, and registers the webhooks.
//!
//! Without credentials no request is made, and the output says what to do at the platform. If a gateway runs, the command
//! returns when the gateway knows the connection and the store has reached it.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::exit::{Exit, fail};
use super::gateway;
use super::kinds::{AddArgs, Typed, check as check_typed};
use super::output::{Output, note};
use super::stores;
use crate::config::DataArgs;
use crate::connections::context::DELIVERY_URL;
use crate::connections::{Connection, Polling, Seal, SealedSecret};
use crate::delivery::ConnectionId;
use crate::journal::{Changed, ConnectionChange, DataFile};
use crate::monitor::{CheckOutcome, StoreLock, check, ping_missing, single_check};
use crate::outbound::Outbound;
use crate::platforms::api::{CheckMode, CheckReport, Finding, FindingCode};
use crate::platforms::{ConnectionKind, connection_kind, store_api};

/// A connection to add.
struct Adding<'a> {
    data: &'a DataArgs,
    kind: &'static ConnectionKind,
    connection: Connection,
    secrets: Vec<(&'static str, SecretString)>,
    outbound: Outbound,
    /// `true` if the connection has credentials for a check.
    asks: bool,
    /// The public URL, if the webhooks are to be registered.
    register: Option<String>,
    /// The delivery URL of the webhooks.
    url: Option<String>,
    args: &'a AddArgs,
}

pub(super) fn run(data: &DataArgs, args: &AddArgs, output: Output) -> anyhow::Result<Exit> {
    let missing = || {
        fail(
            Exit::Usage,
            format!("{} is no kind of connection", args.kind),
        )
    };
    let (platform, kind) = connection_kind(args.kind).ok_or_else(missing)?;
    let id = ConnectionId::new(&args.id)
        .map_err(|error| fail(Exit::Config, format!("--id: {error}")))?;
    let public_url = stores::public_url(args.public_url.as_deref())?;
    let Typed {
        settings,
        secrets,
        generated,
    } = check_typed(platform, kind, args)?;
    let outbound = Outbound::new(&args.stores.options()?)?;
    let connection = Connection {
        settings,
        ..Connection::new(id, platform.name(), kind.name, Timestamp::now())
    };
    let url = public_url
        .as_deref()
        .map(|url| connection.webhook_url(url))
        .filter(|_| kind.receives_webhooks && !args.polling.follow);
    let asks = check::can_check(
        &connection,
        &check::unstored_context(&connection, &secrets, None),
    );
    if args.polling.follow && !asks {
        let right = "needs the credentials of the store's API, to read the store";
        return Err(fail(Exit::Config, format!("--follow: {right}")));
    }
    let registers = asks && kind.registers_webhooks && !args.no_register && !args.polling.follow;
    if registers && url.is_none() {
        let right = "needed, because the store needs a URL for its webhooks (or --no-register)";
        return Err(fail(
            Exit::Config,
            format!("--public-url (CARTWIRE_PUBLIC_URL): {right}"),
        ));
    }
    let register = url.clone().filter(|_| registers);
    let adding = Adding {
        data,
        kind,
        connection,
        secrets,
        outbound,
        asks,
        register,
        url,
        args,
    };
    super::data::runtime()?.block_on(adding.add(generated, output))
}

impl Adding<'_> {
    async fn add(
        mut self,
        generated: Option<SecretString>,
        output: Output,
    ) -> anyhow::Result<Exit> {
        self.refuse_id()?;
        let mut outcome = self.first_check().await;
        let mut report = outcome.report.clone().unwrap_or_default();
        if self.register.is_some() {
            for finding in self.delivery_url_findings() {
                report.add(
                    finding.severity,
                    finding.code,
                    finding.cause,
                    finding.remedy,
                );
            }
        }
        if report.trouble().is_some() && !self.args.no_register {
            let value =
                json!({"connection": null, "findings": report.findings, "good": report.good});
            output.value(&value, || {
                format!(
                    "nothing is added: the store does not work yet{}",
                    stores::reported(&report)
                )
            })?;
            return Ok(Exit::No);
        }
        self.connection.settings.extend(report.settings);
        if let Some(url) = self.url.clone().filter(|_| self.kind.registers_webhooks) {
            self.connection
                .settings
                .insert(DELIVERY_URL.to_owned(), url);
        }
        self.refuse_same_store()?;
        crate::database::make_folder(&self.data.data_dir)?;
        let _lock = StoreLock::acquire(&self.data.data_dir)?;
        let mut file = self.store()?;
        if !gateway::wait_until_applied(&self.data.data_dir)? && !output.json {
            note("the running gateway does not know the connection yet: see its log");
        }
        if self.register.is_some() {
            outcome = self.register().await?;
        }
        if let Some(report) = &outcome.report {
            self.keep(&mut file, report)?;
            // Deliveries are compared with the registered webhooks, so the gateway must know them.
            gateway::wait_until_applied(&self.data.data_dir)?;
        }
        let report = outcome.report.unwrap_or_default();
        self.tell(&report, generated.as_ref(), output)?;
        let failed = self.register.is_some() && report.trouble().is_some();
        Ok(if failed { Exit::No } else { Exit::Success })
    }

    /// The existing connections.
    fn others(&self) -> anyhow::Result<Vec<Connection>> {
        if !self.data.data_dir.join(crate::database::DATA_FILE).exists() {
            return Ok(Vec::new());
        }
        Ok(super::data::open_data(self.data)?.connections()?)
    }

    /// Refuses an invalid or used id, before a request to the store is made.
    fn refuse_id(&self) -> anyhow::Result<()> {
        let id = &self.connection.id;
        let others = self.others()?;
        if others.iter().any(|other| other.id == *id) {
            return Err(taken(id));
        }
        let routing_form = |id: &ConnectionId| id.as_str().replace('.', "-");
        match others
            .iter()
            .find(|other| routing_form(&other.id) == routing_form(id))
        {
            None => Ok(()),
            Some(other) => Err(fail(
                Exit::No,
                format!(
                    "connection {} has the same routing keys as {id}, because a dot becomes a hyphen there: choose another --id",
                    other.id
                ),
            )),
        }
    }

    /// Refuses a second set of webhooks at one store.
    fn refuse_same_store(&self) -> anyhow::Result<()> {
        let others = self.others()?;
        let same = others
            .iter()
            .find(|other| is_same_store(self.kind, &self.connection, other));
        match same {
            Some(other) if !self.args.allow_duplicate && !self.args.no_register => Err(fail(
                Exit::No,
                format!(
                    "connection {} is this store already, and each event would come twice: repair it with `cartwire connections \
                     check {} --fix`, or give --allow-duplicate",
                    other.id, other.id
                ),
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn delivery_url_findings(&self) -> Vec<Finding> {
        let context =
            check::unstored_context(&self.connection, &self.secrets, self.register.clone());
        store_api(&self.connection.platform)
            .map_or_else(Vec::new, |api| api.delivery_url_findings(&context))
    }

    /// Checks the store. No webhooks exist yet, so the check gets no delivery URL.
    async fn first_check(&self) -> CheckOutcome {
        let context = check::unstored_context(&self.connection, &self.secrets, None);
        let mut outcome =
            check::run(&self.outbound, &self.connection, &context, CheckMode::Check).await;
        if let Some(report) = &mut outcome.report
            && self.url.is_some()
        {
            report
                .findings
                .retain(|finding| finding.code != FindingCode::PublicUrlMissing);
        }
        outcome
    }

    fn store(&self) -> anyhow::Result<DataFile> {
        let seal = Seal::load(&self.data.data_dir, self.data.master_key_file.as_deref())?;
        let id = &self.connection.id;
        let sealed = self
            .secrets
            .iter()
            .map(|(name, secret)| SealedSecret::new(&seal, id, name, secret));
        let sealed = sealed.collect::<Result<Vec<_>, _>>()?;
        let mut file = DataFile::open(&self.data.data_dir)?;
        file.unlock(&seal)?;
        match file.change_connection(&ConnectionChange::Add(self.connection.clone(), sealed))? {
            Changed::Yes => Ok(file),
            Changed::Taken
            | Changed::No
            | Changed::Stale
            | Changed::Removed
            | Changed::NoSuchConnection => Err(taken(id)),
        }
    }

    /// Registers the webhooks, and waits for the store's ping if a gateway runs.
    async fn register(&self) -> anyhow::Result<CheckOutcome> {
        let context =
            check::unstored_context(&self.connection, &self.secrets, self.register.clone());
        let began = Timestamp::now();
        let mut outcome =
            check::run(&self.outbound, &self.connection, &context, CheckMode::Fix).await;
        if let (Some(report), Some(url)) = (&mut outcome.report, &self.register)
            && report.trouble().is_none()
            && !gateway::wait_for_ping(&self.data.data_dir, &self.connection.id, began)?
        {
            let found = ping_missing(url, &self.connection.id);
            report.add(found.severity, found.code, found.cause, found.remedy);
        }
        Ok(outcome)
    }

    fn keep(&self, file: &mut DataFile, report: &CheckReport) -> anyhow::Result<()> {
        let (id, assessment) = (
            self.connection.id.clone(),
            single_check::assess_first(&self.connection, report),
        );
        let began = Timestamp::now();
        file.change_connection(&ConnectionChange::Examined {
            id,
            settings: report.settings.clone(),
            assessment,
            began,
        })?;
        Ok(())
    }

    fn tell(
        &self,
        report: &CheckReport,
        generated: Option<&SecretString>,
        output: Output,
    ) -> anyhow::Result<()> {
        let (id, kind) = (&self.connection.id, self.kind);
        let path = self.connection.webhook_path();
        let url = self.url.clone().or_else(|| {
            (kind.receives_webhooks && !self.args.polling.follow)
                .then(|| format!("https://YOUR-PUBLIC-ADDRESS{path}"))
        });
        let shown = generated.map(|secret| secret.expose_secret().to_owned());
        let value = json!({
            "connection": self.connection, "url": url, "secret": shown, "asked": self.asks, "registered": self.register.is_some(),
            "findings": report.findings, "good": report.good, "done": report.done,
        });
        output.value(&value, || {
            let mut text = format!("connection {id} is added");
            if let Some(url) = &url {
                text += &format!("\n  webhooks: {url}");
            }
            if let Some(secret) = &shown {
                text += &format!("\n  secret:   {secret}   (shown only now)");
            }
            text + &stores::reported(report)
        })?;
        if output.json {
            return Ok(());
        }
        if self.args.stores.store_ca_file.is_some() {
            note(
                "give `cartwire serve` the same --store-ca-file (CARTWIRE_STORE_CA_FILE), or it cannot call this store",
            );
        }
        if self.register.is_some() {
            if report.trouble().is_some() {
                note(&format!(
                    "it is added and degraded; after the repair: cartwire connections check {id} --fix"
                ));
            }
        } else if let Some(polling) = Polling::of(&self.connection) {
            let from = polling.from;
            note(&format!(
                "it is followed by polling: `cartwire serve` reads what changes after {from:.0}"
            ));
        } else if !kind.next_step.is_empty() {
            note(
                &kind
                    .next_step
                    .replace("{url}", url.as_deref().unwrap_or_default()),
            );
        }
        Ok(())
    }
}

/// `true` if both connections are of one store: they have the same value in a setting that identifies the store.
pub(super) fn is_same_store(kind: &ConnectionKind, one: &Connection, other: &Connection) -> bool {
    let plain = |connection: &Connection, name: &str| {
        let value = connection.settings.get(name)?.trim_end_matches('/');
        let value = value.split_once("://").map_or(value, |(_, rest)| rest);
        Some(value.strip_prefix("www.").unwrap_or(value).to_lowercase())
    };
    one.kind == other.kind
        && kind.identified_by.iter().any(|name| {
            let value = plain(one, name);
            value.is_some() && value == plain(other, name)
        })
}

fn taken(id: &ConnectionId) -> anyhow::Error {
    fail(
        Exit::No,
        format!(
            "there is a connection {id} already: repair it with `cartwire connections check {id} --fix`, or choose another --id"
        ),
    )
}
