//! The three modes of a check, once the store is found and accepts the keys: check our webhooks, fix them, remove them.
//!
//! Collects findings and settings. `webhooks` compares webhooks, `repair` changes them.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;

use super::change::{Repaired, Wanted, read_only};
use super::compare::{compare, watch};
use super::description::{self, StoreDescription};
use super::listing::list;
use super::outcome::{End, add, finding};
use super::session::CheckSession;
use super::settings::{KeyPermission, StoreSettings, name, stored_by_topic};
use super::webhooks::{self, Own, Webhook};
use super::{reachable, repair};
use crate::platforms::api::{CheckMode, CheckReport, Finding, FindingCode, Severity};

/// Runs one of the modes.
pub(super) fn run(
    session: &mut CheckSession<'_, '_>,
    mode: CheckMode,
    description: &StoreDescription,
) -> Result<(), End> {
    if session.context.is_polled() && mode != CheckMode::Remove {
        let good = "the store is followed by polling, so it needs no webhooks";
        session.report.good.push(good.to_owned());
        return Ok(());
    }
    match mode {
        CheckMode::Check => check(session),
        CheckMode::Fix => fix(session, description),
        CheckMode::Remove => remove(session),
    }
}

/// The gateway's webhooks as the settings describe them, for a delivery URL.
fn own(settings: &StoreSettings, target: &str) -> Own {
    Own {
        target: target.to_owned(),
        former: settings.delivery_url.clone(),
        ids: settings.webhook_ids.clone(),
        watched: settings.watched_webhooks.clone(),
    }
}

/// The current delivery URL or, if none is known, the former one.
fn target<'s>(session: &CheckSession<'s, '_>) -> Option<&'s str> {
    let current = session.context.delivery_url.as_deref();
    current.or(session.settings.delivery_url.as_deref())
}

fn no_public_url(severity: Severity) -> Finding {
    finding(
        severity,
        FindingCode::PublicUrlMissing,
        "The delivery URL is unknown, so the store's webhooks are neither compared nor registered.",
        "Start Cartwire with --public-url, its address on the internet, as in https://hooks.example.com. Then run `cartwire \
         connections check --fix`.",
    )
}

fn check(session: &mut CheckSession<'_, '_>) -> Result<(), End> {
    let settings = session.settings;
    let Some(target) = target(session) else {
        add(session.report, no_public_url(Severity::Note));
        return Ok(());
    };
    reachable::judge(target, &session.caller.root, session.report);
    let own = own(settings, target);
    let listed = list(session, &own)?;
    keep_known(settings, &listed, session.report);
    compare(&own, &listed, &[], session.report);
    let watched = watch(&own, &listed, session.report);
    keep_watching(watched, session.report);
    match settings.key_permission {
        Some(KeyPermission::Read) => add(session.report, read_only(Severity::Note)),
        Some(KeyPermission::ReadWrite) => {}
        None => session
            .report
            .good
            .push("the key's write permission shows when webhooks are registered".to_owned()),
    }
    session.report.good.push(
        "the webhooks' secret shows in their deliveries: rejected ones are listed".to_owned(),
    );
    Ok(())
}

fn fix(session: &mut CheckSession<'_, '_>, description: &StoreDescription) -> Result<(), End> {
    let context = session.context;
    let Some(target) = context.delivery_url.as_deref() else {
        add(session.report, no_public_url(Severity::Broken));
        return Ok(());
    };
    let Some(secret) = context.secrets.get("webhook-secret") else {
        session.report.add(
            Severity::Broken,
            FindingCode::WebhookSecretMissing,
            "This connection has no webhook secret, so webhooks cannot be registered.",
            "Run `cartwire connections rotate-secret`.",
        );
        return Ok(());
    };
    if !reachable::judge(target, &session.caller.root, session.report) {
        // Webhooks that deliver there would all fail, and WooCommerce would disable them.
        return Ok(());
    }
    let own = own(session.settings, target);
    let listed = list(session, &own)?;
    let watched = watch(&own, &listed, session.report);
    let wanted = Wanted {
        own: &own,
        secret: secret.expose_secret(),
        with_optional: has_optional_topic(session.settings, description),
    };
    let repaired = repair::repair(session, &wanted, listed)?;
    record(session, &own, watched, repaired);
    Ok(())
}

/// `true` if the store's version has the optional topic.
fn has_optional_topic(settings: &StoreSettings, description: &StoreDescription) -> bool {
    let known = settings.woocommerce_version.as_deref();
    let version = description.woocommerce_version.as_deref().or(known);
    version
        .and_then(description::version)
        .is_some_and(|version| version >= (10, 9))
}

/// Stores the result of a repair, and reports what is still wrong.
fn record(
    session: &mut CheckSession<'_, '_>,
    own: &Own,
    mut watched: BTreeMap<String, String>,
    repaired: Repaired,
) {
    let (settings, report) = (session.settings, &mut *session.report);
    let mut keep =
        |setting: &str, value: String| drop(report.settings.insert(setting.to_owned(), value));
    if let Some(may_write) = repaired.may_write {
        let permission = if may_write {
            KeyPermission::ReadWrite
        } else {
            KeyPermission::Read
        };
        keep(name::KEY_PERMISSION, permission.as_str().to_owned());
    }
    let sorted = own.sort(&repaired.webhooks);
    let ours = sorted.kept.values().chain(&sorted.extra);
    let ids = ours
        .map(|ours| (ours.webhook.topic.clone(), ours.webhook.id))
        .collect();
    if repaired.is_finished {
        keep(name::WEBHOOK_IDS, stored_by_topic(&ids));
        keep(name::DELIVERY_URL, own.target.clone());
    }
    keep_known(settings, &repaired.webhooks, report);
    // Webhooks that were just created have no remembered id yet; their names identify them.
    let mut compared = CheckReport::default();
    compare(own, &repaired.webhooks, &repaired.reported, &mut compared);
    if repaired.may_write == Some(false) {
        // Without another problem no write is needed.
        let is_needed = report.trouble().or(compared.trouble()).is_some();
        let severity = if is_needed {
            Severity::Broken
        } else {
            Severity::Note
        };
        add(report, read_only(severity));
    }
    report.good.extend(compared.good);
    for found in compared.findings {
        add(report, found);
    }
    // A change by Cartwire does not prove that the webhook delivers.
    for (topic, since) in &mut watched {
        let is_this = |webhook: &&Webhook| ids.get(topic) == Some(&webhook.id);
        if let Some(now) = repaired.webhooks.iter().find(is_this) {
            now.modified.clone_into(since);
        }
    }
    watched.extend(repaired.reenabled);
    keep_watching(watched, report);
}

/// Stores the webhooks that the store has for us. Deliveries must name one of them with its topic.
fn keep_known(settings: &StoreSettings, webhooks: &[Webhook], report: &mut CheckReport) {
    let known = webhooks::known_with(&settings.known_webhooks, webhooks).to_string();
    report.webhooks = webhooks.iter().map(Webhook::state).collect();
    report
        .settings
        .insert(name::WEBHOOKS_KNOWN.to_owned(), known);
}

/// Stores the watched webhooks, and adds a note about them.
fn keep_watching(watched: BTreeMap<String, String>, report: &mut CheckReport) {
    if !watched.is_empty() {
        let topics: Vec<&str> = watched.keys().map(String::as_str).collect();
        report.add(
            Severity::Note,
            FindingCode::WebhookWatched,
            format!(
                "These webhooks were disabled and are active again, but the store still counts their failures: {}. The next failed \
                 delivery disables them again.",
                topics.join(", ")
            ),
            "Make sure that the store reaches this gateway. The next successful delivery resets the count.",
        );
    }
    report
        .settings
        .insert(name::WEBHOOKS_WATCHED.to_owned(), stored_by_topic(&watched));
}

fn remove(session: &mut CheckSession<'_, '_>) -> Result<(), End> {
    // Without a current or former delivery URL no webhook was registered.
    let own = own(session.settings, target(session).unwrap_or_default());
    let listed = list(session, &own)?;
    let repaired = repair::remove(session, &own, listed)?;
    if repaired.may_write == Some(false) {
        add(session.report, read_only(Severity::Broken));
    }
    let left = own.ours(&repaired.webhooks).len();
    let report = &mut *session.report;
    if left == 0 {
        let ids = name::WEBHOOK_IDS.to_owned();
        report.settings.insert(ids, String::new());
        report
            .good
            .push("no webhook of Cartwire is left at the store".to_owned());
    } else {
        report.add(
            Severity::Broken,
            FindingCode::WebhookLeft,
            format!("{left} webhooks of Cartwire are still at the store."),
            "Delete them by hand under WooCommerce > Settings > Advanced > Webhooks; their names begin with \"Cartwire\".",
        );
    }
    Ok(())
}
