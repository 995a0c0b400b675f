//! Registers what is missing and mends what is there, in as few writes as a store takes.
//!
//! A batch may be blocked by a host, or may fail after it was done: then the webhooks are read again and the rest is done one
//! by one. So nothing is ever made twice, and what a key may not write is tried once.

use std::collections::BTreeMap;

use super::keys::{Caller, is_woocommerce, rest_error, wrong_role};
use super::listing::list;
use super::refusal;
use super::talk::{End, finding};
use super::webhooks::{OPTIONAL, Own, Sorted, TOPICS, Webhook};
use super::write::{Settled, batch, single};
use crate::platforms::api::{Answer, CheckReport, Dialogue, Finding, Severity, Unanswered};

/// The store tries each new address at once and waits up to five seconds for it, so that long batches would time out.
const IN_ONE_BATCH: usize = 5;
/// More requests are left to another run: a store may list more webhooks of ours than it ever had.
const MOST_REQUESTS: usize = 30;

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// A webhook for a topic.
    Create(String),
    /// Ours, as it should be.
    Update(u64, String),
    /// One of ours that is too much.
    Delete(u64, String),
}

/// What came of mending.
#[derive(Debug, Default)]
pub(super) struct Mended {
    /// All webhooks of ours at the store afterwards.
    pub(super) webhooks: Vec<Webhook>,
    /// Topics whose trouble is told.
    pub(super) told: Vec<String>,
    /// Those that were turned on again, with the time of that change.
    pub(super) reenabled: BTreeMap<String, String>,
    /// `true`: something was written; `false`: the key was refused to write.
    pub(super) may_write: Option<bool>,
    /// Did it come to an end?
    pub(super) is_finished: bool,
}

/// What our webhooks are made of.
pub(super) struct Wanted<'a> {
    pub(super) own: &'a Own,
    pub(super) secret: &'a str,
    /// Does the store know the optional topic?
    pub(super) with_optional: bool,
}

/// How changes are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Batch,
    Single,
}

/// Why sending stopped.
pub(super) enum Stop {
    /// The batch as a whole was not taken, or nobody knows.
    BatchFailed,
    /// Nothing else would be taken either.
    Trouble(Finding),
    End(End),
}

impl From<Unanswered> for Stop {
    fn from(unanswered: Unanswered) -> Self {
        Self::End(unanswered.into())
    }
}

/// Registers and mends.
pub(super) fn mend(
    caller: &Caller,
    wanted: &Wanted<'_>,
    listed: Vec<Webhook>,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<Mended, End> {
    in_two_ways(caller, wanted, listed, dialogue, report, attempt)
}

/// Removes all of ours, and nothing else.
pub(super) fn remove(
    caller: &Caller,
    own: &Own,
    listed: Vec<Webhook>,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<Mended, End> {
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
        |caller, wanted, way, mended, dialogue, report| {
            let before = mended.webhooks.clone();
            let ours = wanted.own.ours(&before);
            let changes: Vec<Change> = ours
                .iter()
                .map(|ours| Change::Delete(ours.webhook.id, ours.webhook.topic.clone()))
                .collect();
            send(caller, wanted, way, &changes, mended, dialogue, report)
        },
    )
}

/// What is done with the webhooks as they are, in one of the ways.
type Attempt = fn(
    &Caller,
    &Wanted<'_>,
    Way,
    &mut Mended,
    &mut Dialogue<'_>,
    &mut CheckReport,
) -> Result<(), Stop>;

/// By batches, and where they fail one by one.
fn in_two_ways(
    caller: &Caller,
    wanted: &Wanted<'_>,
    listed: Vec<Webhook>,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
    attempt: Attempt,
) -> Result<Mended, End> {
    let mut mended = Mended {
        webhooks: listed,
        ..Mended::default()
    };
    for way in [Way::Batch, Way::Single] {
        match attempt(caller, wanted, way, &mut mended, dialogue, report) {
            Ok(()) => {
                mended.is_finished = true;
                return Ok(mended);
            }
            Err(Stop::BatchFailed) => mended.webhooks = list(caller, wanted.own, dialogue)?,
            Err(Stop::Trouble(trouble)) => {
                report.add(
                    trouble.severity,
                    trouble.code,
                    trouble.cause,
                    trouble.remedy,
                );
                return Ok(mended);
            }
            Err(Stop::End(end)) => return Err(end),
        }
    }
    Ok(mended)
}

fn attempt(
    caller: &Caller,
    wanted: &Wanted<'_>,
    way: Way,
    mended: &mut Mended,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<(), Stop> {
    let before = mended.webhooks.clone();
    let sorted = wanted.own.sort(&before);
    let changes = plan(&sorted, wanted.with_optional);
    send(caller, wanted, way, &changes, mended, dialogue, report)?;
    // What is replaced goes only when the new one is there.
    let mut too_much: Vec<Change> = Vec::new();
    for ours in &sorted.surplus {
        too_much.push(Change::Delete(ours.webhook.id, ours.webhook.topic.clone()));
    }
    for ours in sorted.kept.values().filter(|ours| !ours.is_made_by_us) {
        let topic = &ours.webhook.topic;
        if mended.webhooks.iter().any(|webhook| {
            webhook.topic == *topic && !before.iter().any(|old| old.id == webhook.id)
        }) {
            too_much.push(Change::Delete(ours.webhook.id, topic.clone()));
        }
    }
    send(caller, wanted, way, &too_much, mended, dialogue, report)
}

/// What is to be made and mended. The secret cannot be seen, so it is sent to all of ours.
///
/// What was made by hand is made anew, because its API version cannot be seen either and no version changes. What was disabled
/// is only turned on again: a new webhook would forget its failures, but its id is part of what makes two deliveries the same,
/// and whoever looks into the store should find what he knows. It is watched instead.
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
    mended: &mut Mended,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<(), Stop> {
    let in_one = if way == Way::Batch { IN_ONE_BATCH } else { 1 };
    for some in changes.chunks(in_one).take(MOST_REQUESTS) {
        let results = match way {
            Way::Batch => batch(caller, wanted, some, mended, dialogue)?,
            Way::Single => single(caller, wanted, some, mended, dialogue)?,
        };
        for (change, result) in some.iter().zip(results) {
            settle(change, result, mended, report);
        }
    }
    Ok(())
}

/// The finding about a key that may not write.
pub(super) fn read_only(severity: Severity) -> Finding {
    finding(
        severity,
        "key_read_only",
        "The key may read, but not write: webhooks cannot be registered or mended with it.",
        "Under WooCommerce > Settings > Advanced > REST API, give the key the permission Read/Write and run `cartwire \
         connections check --fix`; or add the webhooks by hand.",
    )
}

/// What an answer to something that has worked before means.
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
                    "The store does not let us {what} ({}{code}).",
                    answer.status
                ),
                "See whether a plugin of the store changes WooCommerce's REST API, and update WooCommerce.",
            )
        }
    }
}

/// Takes up what a change came to.
fn settle(change: &Change, result: Settled, mended: &mut Mended, report: &mut CheckReport) {
    let replace = |mended: &mut Mended, webhook: Webhook| {
        let before = mended
            .webhooks
            .iter()
            .position(|known| known.id == webhook.id);
        match before.map(|at| std::mem::replace(&mut mended.webhooks[at], webhook.clone())) {
            Some(before) => Some(before),
            None => {
                mended.webhooks.push(webhook);
                None
            }
        }
    };
    match (change, result) {
        (Change::Create(topic), Ok(webhook)) => {
            if let Some(webhook) = webhook {
                replace(mended, webhook);
            }
            report.done.push(format!("registered {topic}"));
        }
        (Change::Update(_, topic), Ok(webhook)) => {
            let Some(webhook) = webhook else { return };
            let modified = webhook.modified.clone();
            let is_active = webhook.status == "active";
            let Some(before) = replace(mended, webhook) else {
                return;
            };
            if before.status == "disabled" && is_active {
                mended.reenabled.insert(topic.clone(), modified);
            }
            if before.status != "active" && is_active {
                report
                    .done
                    .push(format!("turned {topic} on again ({})", before.status));
            }
        }
        (Change::Delete(id, topic), Ok(_)) => {
            mended.webhooks.retain(|webhook| webhook.id != *id);
            report.done.push(format!("deleted a webhook for {topic}"));
        }
        (Change::Create(topic), Err(_)) if topic == OPTIONAL => {}
        (Change::Delete(id, _), Err(code)) if code.ends_with("invalid_id") => {
            mended.webhooks.retain(|webhook| webhook.id != *id);
        }
        (
            Change::Create(topic) | Change::Update(_, topic) | Change::Delete(_, topic),
            Err(code),
        ) => {
            mended.told.push(topic.clone());
            const AGAIN: &str = "Run `cartwire connections check --fix` again; if it stays so, look for a plugin of the store that \
                                 changes webhooks, or see to this one by hand under WooCommerce > Settings > Advanced > Webhooks.";
            let (verb, remedy) = match change {
                Change::Create(_) => ("register", AGAIN),
                Change::Update(..) => ("change", AGAIN),
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
