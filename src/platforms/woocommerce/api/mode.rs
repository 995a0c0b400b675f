//! The three modes of a check, once the store is found and accepts the keys: check our webhooks, fix them, remove them.
//!
//! Collects findings and settings. `webhooks` compares webhooks, `repair` changes them.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;

use super::facts::{self, Facts};
use super::keys::Caller;
use super::listing::list;
use super::repair::{self, Wanted, read_only};
use super::talk::{End, finding};
use super::webhooks::{self, Own, pairs, written};
use super::{add, reachable, setting};
use crate::platforms::api::{
    CheckMode, CheckReport, ConnectionContext, Dialogue, Finding, Severity,
};

/// Runs one of the modes.
pub(super) fn carry_out(
    mode: CheckMode,
    context: &ConnectionContext,
    caller: &Caller,
    facts: &Facts,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<(), End> {
    match mode {
        CheckMode::Check => check(context, caller, dialogue, report),
        CheckMode::Fix => fix(context, caller, facts, dialogue, report),
        CheckMode::Remove => remove(context, caller, dialogue, report),
    }
}

/// Our webhooks as the settings describe them, for a delivery URL.
fn own(context: &ConnectionContext, target: &str) -> Own {
    let ids = pairs(context.setting(setting::WEBHOOK_IDS));
    Own {
        target: target.to_owned(),
        former: context
            .setting(setting::DELIVERY_URL)
            .filter(|url| !url.is_empty())
            .map(str::to_owned),
        ids: ids
            .into_iter()
            .filter_map(|(topic, id)| Some((topic, id.parse().ok()?)))
            .collect(),
        watched: pairs(context.setting(setting::WEBHOOKS_WATCHED)),
    }
}

/// The current delivery URL or, if none is known, the former one.
fn target(context: &ConnectionContext) -> Option<&str> {
    let former = context
        .setting(setting::DELIVERY_URL)
        .filter(|url| !url.is_empty());
    context.delivery_url.as_deref().or(former)
}

fn no_public_url(severity: Severity) -> Finding {
    finding(
        severity,
        "public_url_missing",
        "The delivery URL is unknown, so the store's webhooks are neither compared nor registered.",
        "Start Cartwire with --public-url, its address on the internet, as in https://hooks.example.com. Then run `cartwire \
         connections check --fix`.",
    )
}

fn check(
    context: &ConnectionContext,
    caller: &Caller,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<(), End> {
    let Some(target) = target(context) else {
        add(report, no_public_url(Severity::Note));
        return Ok(());
    };
    reachable::judge(target, &caller.root, report);
    let own = own(context, target);
    let listed = list(caller, &own, dialogue)?;
    keep_known(context, &listed, report);
    webhooks::compare(&own, &listed, &[], report);
    let watched = webhooks::watch(&own, &listed, report);
    keep_watching(watched, report);
    match context.setting(setting::KEY_PERMISSION) {
        Some("read") => add(report, read_only(Severity::Note)),
        Some(_) => {}
        None => report
            .good
            .push("the key's write permission shows when webhooks are registered".to_owned()),
    }
    report.good.push(
        "the webhooks' secret shows in their deliveries: rejected ones are listed".to_owned(),
    );
    Ok(())
}

fn fix(
    context: &ConnectionContext,
    caller: &Caller,
    facts: &Facts,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<(), End> {
    let Some(target) = context.delivery_url.as_deref() else {
        add(report, no_public_url(Severity::Broken));
        return Ok(());
    };
    let Some(secret) = context.secrets.get("webhook-secret") else {
        report.add(
            Severity::Broken,
            "webhook_secret_missing",
            "This connection has no webhook secret, so webhooks cannot be registered.",
            "Run `cartwire connections rotate-secret`.",
        );
        return Ok(());
    };
    reachable::judge(target, &caller.root, report);
    if report
        .trouble()
        .is_some_and(|trouble| trouble.code.starts_with("delivery_url_"))
    {
        // Webhooks that deliver there would all fail, and WooCommerce would disable them.
        return Ok(());
    }
    let own = own(context, target);
    let listed = list(caller, &own, dialogue)?;
    let mut watched = webhooks::watch(&own, &listed, report);
    let version = facts
        .woocommerce_version
        .as_deref()
        .or(context.setting(setting::WOOCOMMERCE_VERSION));
    let with_optional = version
        .and_then(facts::version)
        .is_some_and(|version| version >= (10, 9));
    let wanted = Wanted {
        own: &own,
        secret: secret.expose_secret(),
        with_optional,
    };
    let repaired = repair::repair(caller, &wanted, listed, dialogue, report)?;
    if let Some(may_write) = repaired.may_write {
        let permission = if may_write { "read_write" } else { "read" };
        report
            .settings
            .insert(setting::KEY_PERMISSION.to_owned(), permission.to_owned());
    }
    keep_known(context, &repaired.webhooks, report);
    // Webhooks that were just created have no remembered id yet; their names identify them.
    webhooks::compare(&own, &repaired.webhooks, &repaired.reported, report);
    if repaired.may_write == Some(false)
        && report
            .trouble()
            .is_some_and(|trouble| trouble.code == "key_read_only")
    {
        lighten_read_only(report);
    }
    let sorted = own.sort(&repaired.webhooks);
    let ours = sorted.kept.values().chain(&sorted.extra);
    let ids = ours
        .map(|ours| (ours.webhook.topic.clone(), ours.webhook.id))
        .collect();
    if repaired.is_finished {
        report
            .settings
            .insert(setting::WEBHOOK_IDS.to_owned(), written(&ids));
        report
            .settings
            .insert(setting::DELIVERY_URL.to_owned(), target.to_owned());
    }
    // A change by Cartwire does not prove that the webhook delivers.
    for (topic, since) in &mut watched {
        let now = repaired
            .webhooks
            .iter()
            .find(|webhook| ids.get(topic) == Some(&webhook.id));
        if let Some(now) = now {
            now.modified.clone_into(since);
        }
    }
    watched.extend(repaired.reenabled);
    keep_watching(watched, report);
    Ok(())
}

/// Stores the webhooks that the store has for us. Deliveries must name one of them with its topic.
fn keep_known(
    context: &ConnectionContext,
    webhooks: &[webhooks::Webhook],
    report: &mut CheckReport,
) {
    let before = context.setting(setting::WEBHOOKS_KNOWN).unwrap_or_default();
    let known = webhooks::known_with(before, webhooks);
    report.webhooks = webhooks.iter().map(webhooks::Webhook::state).collect();
    report
        .settings
        .insert(setting::WEBHOOKS_KNOWN.to_owned(), known);
}

/// Reduces the finding about a read-only key to a note if no write is needed.
fn lighten_read_only(report: &mut CheckReport) {
    let others = report
        .findings
        .iter()
        .any(|found| found.severity != Severity::Note && found.code != "key_read_only");
    if !others {
        report
            .findings
            .retain(|found| found.code != "key_read_only");
        add(report, read_only(Severity::Note));
    }
}

/// Stores the watched webhooks, and adds a note about them.
fn keep_watching(watched: BTreeMap<String, String>, report: &mut CheckReport) {
    if !watched.is_empty() {
        let topics: Vec<&str> = watched.keys().map(String::as_str).collect();
        report.add(
            Severity::Note,
            "webhook_watched",
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
        .insert(setting::WEBHOOKS_WATCHED.to_owned(), written(&watched));
}

fn remove(
    context: &ConnectionContext,
    caller: &Caller,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<(), End> {
    // Without a current or former delivery URL no webhook was registered.
    let own = own(context, target(context).unwrap_or_default());
    let listed = list(caller, &own, dialogue)?;
    let repaired = repair::remove(caller, &own, listed, dialogue, report)?;
    let left = own.ours(&repaired.webhooks).len();
    if left == 0 {
        report
            .settings
            .insert(setting::WEBHOOK_IDS.to_owned(), String::new());
        report
            .good
            .push("no webhook of Cartwire is left at the store".to_owned());
    } else {
        report.add(
            Severity::Broken,
            "webhook_left",
            format!("{left} webhooks of Cartwire are still at the store."),
            "Delete them by hand under WooCommerce > Settings > Advanced > Webhooks; their names begin with \"Cartwire\".",
        );
    }
    Ok(())
}
