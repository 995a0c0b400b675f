//! Registers missing webhooks and repairs existing ones, in as few write requests as possible.
//!
//! A host may block a batch, or a batch may fail after WooCommerce executed it. Then the webhooks are listed again and the
//! remaining changes are sent one by one. So no webhook is created twice, and a key without write permission is tried once.

use std::collections::BTreeMap;

use super::keys::{Caller, is_woocommerce, rest_error, wrong_role};
use super::listing::list;
use super::refusal;
use super::talk::{End, finding};
use super::webhooks::{OPTIONAL, Own, Sorted, TOPICS, Webhook};
use super::write::{Settled, batch, single};
use crate::platforms::api::{Answer, CheckReport, Dialogue, Finding, Severity, Unanswered};

/// Maximum number of changes in one batch. The store pings each new address at once and waits up to five seconds for the
/// answer, so a longer batch would time out.
const MAX_BATCH_CHANGES: usize = 5;
/// Maximum number of write requests of one run. The next run continues: a hostile store may list any number of webhooks.
const MAX_REQUESTS: usize = 30;

/// One change of a webhook.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// Creates a webhook for a topic.
    Create(String),
    /// Sets address, secret and status of one of our webhooks, given by id and topic.
    Update(u64, String),
    /// Deletes one of our webhooks, given by id and topic.
    Delete(u64, String),
}

/// The result of a repair.
#[derive(Debug, Default)]
pub(super) struct Repaired {
    /// Our webhooks at the store afterwards.
    pub(super) webhooks: Vec<Webhook>,
    /// Topics that have a finding of their own already.
    pub(super) reported: Vec<String>,
    /// The topics of webhooks that were reactivated, with the time of that change as the store shows it.
    pub(super) reenabled: BTreeMap<String, String>,
    /// `Some(true)` after a successful write, `Some(false)` if the store refused a write by this key.
    pub(super) may_write: Option<bool>,
    /// `true` if all changes were sent.
    pub(super) is_finished: bool,
}

/// What our webhooks have to be.
pub(super) struct Wanted<'a> {
    pub(super) own: &'a Own,
    pub(super) secret: &'a str,
    /// `true` if the store's version has the optional topic.
    pub(super) with_optional: bool,
}

/// How the changes are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Batch,
    Single,
}

/// Why sending stopped.
pub(super) enum Stop {
    /// The batch failed as a whole, or its result is unknown.
    BatchFailed,
    /// Every further change would fail for the same reason.
    Trouble(Finding),
    End(End),
}

impl From<Unanswered> for Stop {
    fn from(unanswered: Unanswered) -> Self {
        Self::End(unanswered.into())
    }
}

/// Registers missing webhooks and repairs existing ones.
pub(super) fn repair(
    caller: &Caller,
    wanted: &Wanted<'_>,
    listed: Vec<Webhook>,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<Repaired, End> {
    in_two_ways(caller, wanted, listed, dialogue, report, attempt)
}

/// Deletes all of our webhooks, and no others.
pub(super) fn remove(
    caller: &Caller,
    own: &Own,
    listed: Vec<Webhook>,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<Repaired, End> {
    let wanted = Wanted {
        own,
        secret: "",
        with_optional: false,
    };
    in_two_ways(
        caller,
        &wanted,
        listed,
        dialogue,
        report,
        |caller, wanted, way, repaired, dialogue, report| {
            let before = repaired.webhooks.clone();
            let ours = wanted.own.ours(&before);
            let changes: Vec<Change> = ours
                .iter()
                .map(|ours| Change::Delete(ours.webhook.id, ours.webhook.topic.clone()))
                .collect();
            send(caller, wanted, way, &changes, repaired, dialogue, report)
        },
    )
}

/// One pass over the webhooks that the store has.
type Attempt = fn(
    &Caller,
    &Wanted<'_>,
    Way,
    &mut Repaired,
    &mut Dialogue<'_>,
    &mut CheckReport,
) -> Result<(), Stop>;

/// Makes a pass with batches and, if a batch fails, a second one with single requests.
fn in_two_ways(
    caller: &Caller,
    wanted: &Wanted<'_>,
    listed: Vec<Webhook>,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
    attempt: Attempt,
) -> Result<Repaired, End> {
    let mut repaired = Repaired {
        webhooks: listed,
        ..Repaired::default()
    };
    for way in [Way::Batch, Way::Single] {
        match attempt(caller, wanted, way, &mut repaired, dialogue, report) {
            Ok(()) => {
                repaired.is_finished = true;
                return Ok(repaired);
            }
            Err(Stop::BatchFailed) => repaired.webhooks = list(caller, wanted.own, dialogue)?,
            Err(Stop::Trouble(trouble)) => {
                report.add(
                    trouble.severity,
                    trouble.code,
                    trouble.cause,
                    trouble.remedy,
                );
                return Ok(repaired);
            }
            Err(Stop::End(end)) => return Err(end),
        }
    }
    Ok(repaired)
}

fn attempt(
    caller: &Caller,
    wanted: &Wanted<'_>,
    way: Way,
    repaired: &mut Repaired,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<(), Stop> {
    let before = repaired.webhooks.clone();
    let sorted = wanted.own.sort(&before);
    let changes = plan(&sorted, wanted.with_optional);
    send(caller, wanted, way, &changes, repaired, dialogue, report)?;
    // A replaced webhook is deleted only when its replacement exists.
    let mut surplus: Vec<Change> = Vec::new();
    for ours in &sorted.surplus {
        surplus.push(Change::Delete(ours.webhook.id, ours.webhook.topic.clone()));
    }
    for ours in sorted.kept.values().filter(|ours| !ours.is_made_by_us) {
        let topic = &ours.webhook.topic;
        if repaired.webhooks.iter().any(|webhook| {
            webhook.topic == *topic && !before.iter().any(|old| old.id == webhook.id)
        }) {
            surplus.push(Change::Delete(ours.webhook.id, topic.clone()));
        }
    }
    send(caller, wanted, way, &surplus, repaired, dialogue, report)
}

/// The changes that are needed, without deletions. REST does not show a webhook's secret, so each of our webhooks gets it
/// again.
///
/// Webhooks that a person created are recreated: their API version can neither be read nor changed. A disabled webhook is
/// reactivated, not recreated. A new one would start without failures, but the id is part of the key that makes a delivery a
/// duplicate, and the operator of the store knows the old one. The reactivated webhook is watched instead.
fn plan(sorted: &Sorted<'_>, with_optional: bool) -> Vec<Change> {
    let topics = TOPICS.into_iter().chain(with_optional.then_some(OPTIONAL));
    let mut changes = Vec::new();
    for topic in topics {
        if !sorted
            .kept
            .get(topic)
            .is_some_and(|ours| ours.is_made_by_us)
        {
            changes.push(Change::Create(topic.to_owned()));
        }
    }
    let kept = sorted.kept.values().filter(|ours| ours.is_made_by_us);
    for ours in kept.chain(&sorted.extra) {
        changes.push(Change::Update(ours.webhook.id, ours.webhook.topic.clone()));
    }
    changes
}

fn send(
    caller: &Caller,
    wanted: &Wanted<'_>,
    way: Way,
    changes: &[Change],
    repaired: &mut Repaired,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<(), Stop> {
    let in_one = if way == Way::Batch {
        MAX_BATCH_CHANGES
    } else {
        1
    };
    for some in changes.chunks(in_one).take(MAX_REQUESTS) {
        let results = match way {
            Way::Batch => batch(caller, wanted, some, repaired, dialogue)?,
            Way::Single => single(caller, wanted, some, repaired, dialogue)?,
        };
        for (change, result) in some.iter().zip(results) {
            settle(change, result, repaired, report);
        }
    }
    Ok(())
}

/// The finding for a key without write permission.
pub(super) fn read_only(severity: Severity) -> Finding {
    finding(
        severity,
        "key_read_only",
        "The REST API key may read, but not write, so webhooks cannot be registered or repaired.",
        "Under WooCommerce > Settings > Advanced > REST API, give the key the permission Read/Write and run `cartwire \
         connections check --fix`, or add the webhooks by hand.",
    )
}

/// The finding for a refused request whose kind has worked before.
pub(super) fn refused(answer: &Answer, url: &str, what: &str) -> Finding {
    if let Some(other) = refusal::of_answer(answer, url) {
        return other;
    }
    match rest_error(answer) {
        error
            if matches!(answer.status, 401 | 403)
                && !error.as_ref().is_some_and(|(code, _)| is_woocommerce(code)) =>
        {
            refusal::of_other(answer, url)
        }
        Some((code, _)) if answer.status == 403 => wrong_role(&code),
        error => {
            let code = error
                .map(|(code, _)| format!(" {code}"))
                .unwrap_or_default();
            finding(
                Severity::Broken,
                "store_refuses",
                format!(
                    "The store refuses to let Cartwire {what} ({}{code}).",
                    answer.status
                ),
                "Check whether a plugin changes WooCommerce's REST API, and update WooCommerce.",
            )
        }
    }
}

/// Records the result of one change.
fn settle(change: &Change, result: Settled, repaired: &mut Repaired, report: &mut CheckReport) {
    let replace = |repaired: &mut Repaired, webhook: Webhook| {
        let before = repaired
            .webhooks
            .iter()
            .position(|known| known.id == webhook.id);
        match before.map(|at| std::mem::replace(&mut repaired.webhooks[at], webhook.clone())) {
            Some(before) => Some(before),
            None => {
                repaired.webhooks.push(webhook);
                None
            }
        }
    };
    match (change, result) {
        (Change::Create(topic), Ok(webhook)) => {
            if let Some(webhook) = webhook {
                replace(repaired, webhook);
            }
            report.done.push(format!("registered {topic}"));
        }
        (Change::Update(_, topic), Ok(webhook)) => {
            let Some(webhook) = webhook else { return };
            let modified = webhook.modified.clone();
            let is_active = webhook.status == "active";
            let Some(before) = replace(repaired, webhook) else {
                return;
            };
            if before.status == "disabled" && is_active {
                repaired.reenabled.insert(topic.clone(), modified);
            }
            if before.status != "active" && is_active {
                report
                    .done
                    .push(format!("reactivated {topic} (was {})", before.status));
            }
        }
        (Change::Delete(id, topic), Ok(_)) => {
            repaired.webhooks.retain(|webhook| webhook.id != *id);
            report.done.push(format!("deleted a webhook for {topic}"));
        }
        (Change::Create(topic), Err(_)) if topic == OPTIONAL => {}
        (Change::Delete(id, _), Err(code)) if code.ends_with("invalid_id") => {
            repaired.webhooks.retain(|webhook| webhook.id != *id);
        }
        (
            Change::Create(topic) | Change::Update(_, topic) | Change::Delete(_, topic),
            Err(code),
        ) => {
            repaired.reported.push(topic.clone());
            const RETRY: &str = "Run `cartwire connections check --fix` again. If it fails again, look for a plugin of the store that \
                                 changes webhooks, or edit this one under WooCommerce > Settings > Advanced > Webhooks.";
            let (verb, remedy) = match change {
                Change::Create(_) => ("register", RETRY),
                Change::Update(..) => ("change", RETRY),
                Change::Delete(..) => (
                    "delete",
                    "Delete it by hand under WooCommerce > Settings > Advanced > Webhooks.",
                ),
            };
            report.add(
                Severity::Broken,
                "webhook_refused",
                format!("The store did not {verb} the webhook for {topic}: {code}."),
                remedy,
            );
        }
    }
}
