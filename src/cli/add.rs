//! `connections add KIND`: asks the store whether it would work, keeps the connection, registers the webhooks.
//!
//! Without credentials nobody is asked, and the operator is told what to do at the platform.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::exit::{Exit, fail};
use super::kinds::{AddArgs, Typed, check as check_typed};
use super::output::{Output, note};
use super::stores;
use crate::app;
use crate::config::DataArgs;
use crate::connections::{Connection, Seal, SealedSecret};
use crate::delivery::ConnectionId;
use crate::journal::{Changed, ConnectionChange, DataFile};
use crate::monitor::check::{self, DELIVERY_URL, Look};
use crate::monitor::decide;
use crate::monitor::hold::Hold;
use crate::outbound::Outbound;
use crate::platforms::api::{Examination, Intent, Weight};
use crate::platforms::{ConnectionKind, connection_kind};

/// A connection that is to be added.
struct Adding<'a> {
    data: &'a DataArgs,
    kind: &'static ConnectionKind,
    connection: Connection,
    secrets: Vec<(&'static str, SecretString)>,
    outbound: Outbound,
    /// Can the store be asked?
    asks: bool,
    /// Where the webhooks are to go, where they are to be registered.
    register: Option<String>,
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
    let outbound = args.stores.outbound()?;
    let connection = Connection::new(id, platform.name(), kind.name, settings, Timestamp::now());
    let url = public_url
        .as_deref()
        .map(|url| check::delivery_url(url, &connection))
        .filter(|_| kind.receives_webhooks);
    let asks = check::can_ask(&connection, &check::unstored(&connection, &secrets, None));
    let registers = asks && kind.registers_webhooks && !args.no_register;
    if registers && url.is_none() {
        let right =
            "needed, so that the store can be told where its webhooks go (or --no-register)";
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
    };
    super::runtime()?.block_on(adding.add(args.no_register, url, generated, output))
}

impl Adding<'_> {
    async fn add(
        mut self,
        whatever_it_says: bool,
        url: Option<String>,
        generated: Option<SecretString>,
        output: Output,
    ) -> anyhow::Result<Exit> {
        self.refuse_taken()?;
        let mut look = self.first_look().await;
        let examination = look.examination.clone().unwrap_or_default();
        if examination.trouble().is_some() && !whatever_it_says {
            let value = json!({"connection": null, "findings": examination.findings, "good": examination.good});
            output.value(&value, || {
                format!(
                    "nothing is added: the store does not work yet{}",
                    stores::told(&examination)
                )
            })?;
            return Ok(Exit::No);
        }
        self.connection.settings.extend(examination.settings);
        if let Some(url) = url.clone().filter(|_| self.kind.registers_webhooks) {
            self.connection
                .settings
                .insert(DELIVERY_URL.to_owned(), url);
        }
        crate::sqlite::make_folder(&self.data.data_dir)?;
        let _hold = Hold::take(&self.data.data_dir)?;
        let mut file = self.store()?;
        if self.register.is_some() {
            look = self.register().await?;
        }
        if let Some(examination) = &look.examination {
            self.keep(&mut file, examination)?;
        }
        let examination = look.examination.unwrap_or_default();
        self.tell(&examination, url, generated.as_ref(), output)?;
        let failed = self.register.is_some() && examination.trouble().is_some();
        Ok(if failed { Exit::No } else { Exit::Success })
    }

    /// A name that is taken is told before anybody is asked.
    fn refuse_taken(&self) -> anyhow::Result<()> {
        let id = &self.connection.id;
        let is_there = self.data.data_dir.join(crate::sqlite::FILE).exists();
        if is_there && super::open_data(self.data)?.connection(id)?.is_some() {
            Err(taken(id))
        } else {
            Ok(())
        }
    }

    /// Would it work? The webhooks cannot be there yet, so no address of theirs is told.
    async fn first_look(&self) -> Look {
        let subject = check::unstored(&self.connection, &self.secrets, None);
        check::look(&self.outbound, &self.connection, &subject, Intent::Check).await
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
            Changed::Taken | Changed::No | Changed::Stale | Changed::NoSuchConnection => {
                Err(taken(id))
            }
        }
    }

    /// Registers the webhooks.
    async fn register(&self) -> anyhow::Result<Look> {
        if app::is_served(&self.data.data_dir) {
            // The store tries the address at once, and an answer of 404 counts against its webhook.
            tokio::time::sleep(app::LOOK * 3).await;
        }
        let subject = check::unstored(&self.connection, &self.secrets, self.register.clone());
        Ok(check::look(&self.outbound, &self.connection, &subject, Intent::Fix).await)
    }

    fn keep(&self, file: &mut DataFile, examination: &Examination) -> anyhow::Result<()> {
        let facts = decide::Facts {
            connection: &self.connection,
            examination: Some(examination),
            // Nothing was ever heard of it: what cannot be reached now was never reached.
            outage: examination
                .trouble()
                .filter(|finding| finding.weight == Weight::Unavailable)
                .map(|finding| finding.code),
            rejected: None,
            accepted_at: None,
            silent: false,
            mended: true,
        };
        let (id, verdict) = (self.connection.id.clone(), facts.verdict());
        let began = Timestamp::now();
        file.change_connection(&ConnectionChange::Examined {
            id,
            settings: examination.settings.clone(),
            verdict,
            began,
        })?;
        Ok(())
    }

    fn tell(
        &self,
        examination: &Examination,
        url: Option<String>,
        generated: Option<&SecretString>,
        output: Output,
    ) -> anyhow::Result<()> {
        let (id, kind) = (&self.connection.id, self.kind);
        let path = format!("/webhooks/{}/{id}", self.connection.platform);
        let url = url.or_else(|| {
            kind.receives_webhooks
                .then(|| format!("https://YOUR-PUBLIC-ADDRESS{path}"))
        });
        let shown = generated.map(|secret| secret.expose_secret().to_owned());
        let value = json!({
            "connection": self.connection, "url": url, "secret": shown, "asked": self.asks, "registered": self.register.is_some(),
            "findings": examination.findings, "good": examination.good, "done": examination.done,
        });
        output.value(&value, || {
            let mut text = format!("connection {id} is added");
            if let Some(url) = &url {
                text += &format!("\n  webhooks: {url}");
            }
            if let Some(secret) = &shown {
                text += &format!("\n  secret:   {secret}   (shown only now)");
            }
            text + &stores::told(examination)
        })?;
        if output.json {
            return Ok(());
        }
        if self.register.is_some() {
            if examination.trouble().is_some() {
                note(&format!(
                    "it is added and degraded; when that is mended: cartwire connections check {id} --fix"
                ));
            }
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

fn taken(id: &ConnectionId) -> anyhow::Error {
    fail(
        Exit::No,
        format!("there is a connection {id} already: remove it first, or choose another --id"),
    )
}
