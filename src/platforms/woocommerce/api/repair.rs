//! Registers missing webhooks and repairs existing ones, in as few write requests as possible.
//!
//! A host may block a batch, or a batch may fail after WooCommerce executed it. Then the webhooks are listed again and the
//! remaining changes are sent one by one. So no webhook is created twice, and a key without write permission is tried once.

use super::change::{ChangeResult, Repaired, Stop, Wanted, WebhookChange};
use super::listing::list;
use super::outcome::{End, add};
use super::session::CheckSession;
use super::webhooks::{OPTIONAL, Own, Sorted, TOPICS, Webhook};
use super::write::{batch, single};
use crate::platforms::api::{FindingCode, Severity};

/// Maximum number of changes in one batch. The store pings each new address at once and waits up to five seconds for the
/// answer, so a longer batch would time out.
const MAX_BATCH_CHANGES: usize = 5;
/// Maximum number of write requests of one run. The next run continues: a hostile store may list any number of webhooks.
const MAX_REQUESTS: usize = 30;

/// How the changes are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Batch,
    Single,
}

/// What a run does with the webhooks.
#[derive(Clone, Copy)]
enum Goal {
    Repair,
    Remove,
}

/// Registers missing webhooks and repairs existing ones.
pub(super) fn repair(
    session: &mut CheckSession<'_, '_>,
    wanted: &Wanted<'_>,
    listed: Vec<Webhook>,
) -> Result<Repaired, End> {
    in_two_ways(session, wanted, listed, Goal::Repair)
}

/// Deletes all of our webhooks, and no others.
pub(super) fn remove(
    session: &mut CheckSession<'_, '_>,
    own: &Own,
    listed: Vec<Webhook>,
) -> Result<Repaired, End> {
    let wanted = Wanted {
        own,
        secret: "",
        with_optional: false,
    };
    in_two_ways(session, &wanted, listed, Goal::Remove)
}

/// Sends the changes in batches and, if a batch fails, the remaining ones in single requests.
fn in_two_ways(
    session: &mut CheckSession<'_, '_>,
    wanted: &Wanted<'_>,
    listed: Vec<Webhook>,
    goal: Goal,
) -> Result<Repaired, End> {
    let mut run = Run {
        session,
        wanted,
        way: Way::Batch,
        repaired: Repaired {
            webhooks: listed,
            ..Repaired::default()
        },
    };
    for way in [Way::Batch, Way::Single] {
        run.way = way;
        let result = match goal {
            Goal::Repair => run.repair(),
            Goal::Remove => run.remove(),
        };
        match result {
            Ok(()) => {
                run.repaired.is_finished = true;
                break;
            }
            Err(Stop::BatchFailed) => run.repaired.webhooks = list(run.session, wanted.own)?,
            Err(Stop::ReadOnly) => break,
            Err(Stop::Trouble(trouble)) => {
                add(run.session.report, trouble);
                break;
            }
            Err(Stop::End(end)) => return Err(end),
        }
    }
    Ok(run.repaired)
}

/// One run over the webhooks of a store.
struct Run<'r, 's, 'a> {
    session: &'r mut CheckSession<'s, 'a>,
    wanted: &'r Wanted<'r>,
    way: Way,
    repaired: Repaired,
}

impl Run<'_, '_, '_> {
    fn repair(&mut self) -> Result<(), Stop> {
        let before = self.repaired.webhooks.clone();
        let sorted = self.wanted.own.sort(&before);
        self.send(&plan(&sorted, self.wanted.with_optional))?;
        // A replaced webhook is deleted only when its replacement exists.
        let mut surplus: Vec<WebhookChange> = Vec::new();
        for ours in &sorted.surplus {
            surplus.push(deletion(ours.webhook));
        }
        for ours in sorted.kept.values().filter(|ours| !ours.is_made_by_us) {
            let topic = &ours.webhook.topic;
            let is_new = |webhook: &Webhook| !before.iter().any(|old| old.id == webhook.id);
            let mut now = self.repaired.webhooks.iter();
            if now.any(|webhook| webhook.topic == *topic && is_new(webhook)) {
                surplus.push(deletion(ours.webhook));
            }
        }
        self.send(&surplus)
    }

    fn remove(&mut self) -> Result<(), Stop> {
        let before = self.repaired.webhooks.clone();
        let ours = self.wanted.own.ours(&before);
        let changes: Vec<WebhookChange> = ours.iter().map(|ours| deletion(ours.webhook)).collect();
        self.send(&changes)
    }

    fn send(&mut self, changes: &[WebhookChange]) -> Result<(), Stop> {
        let (size, send): (usize, SendChanges) = match self.way {
            Way::Batch => (MAX_BATCH_CHANGES, batch),
            Way::Single => (1, single),
        };
        for some in changes.chunks(size).take(MAX_REQUESTS) {
            let results = send(self.session, self.wanted, some, &mut self.repaired)?;
            for (change, result) in some.iter().zip(results) {
                self.settle(change, result);
            }
        }
        Ok(())
    }

    /// Records the result of one change.
    fn settle(&mut self, change: &WebhookChange, result: ChangeResult) {
        match (change, result) {
            (WebhookChange::Create(topic), Ok(webhook)) => {
                if let Some(webhook) = webhook {
                    self.repaired.replace(webhook);
                }
                self.session.report.done.push(format!("registered {topic}"));
            }
            (WebhookChange::Update(_, topic), Ok(Some(webhook))) => self.updated(topic, webhook),
            (WebhookChange::Update(..), Ok(None)) => {}
            (WebhookChange::Delete(id, topic), Ok(_)) => {
                self.repaired.forget(*id);
                let done = format!("deleted a webhook for {topic}");
                self.session.report.done.push(done);
            }
            (WebhookChange::Create(topic), Err(_)) if topic == OPTIONAL => {}
            (WebhookChange::Delete(id, _), Err(code)) if code.ends_with("invalid_id") => {
                self.repaired.forget(*id);
            }
            (change, Err(code)) => self.refused(change, &code),
        }
    }

    fn updated(&mut self, topic: &str, webhook: Webhook) {
        let modified = webhook.modified.clone();
        let is_active = webhook.status == "active";
        let Some(before) = self.repaired.replace(webhook) else {
            return;
        };
        if before.status == "disabled" && is_active {
            self.repaired.reenabled.insert(topic.to_owned(), modified);
        }
        if before.status != "active" && is_active {
            let done = format!("reactivated {topic} (was {})", before.status);
            self.session.report.done.push(done);
        }
    }

    fn refused(&mut self, change: &WebhookChange, code: &str) {
        const RETRY: &str = "Run `cartwire connections check --fix` again. If it fails again, look for a plugin of the store that \
                             changes webhooks, or edit this one under WooCommerce > Settings > Advanced > Webhooks.";
        let (verb, topic, remedy) = match change {
            WebhookChange::Create(topic) => ("register", topic, RETRY),
            WebhookChange::Update(_, topic) => ("change", topic, RETRY),
            WebhookChange::Delete(_, topic) => (
                "delete",
                topic,
                "Delete it by hand under WooCommerce > Settings > Advanced > Webhooks.",
            ),
        };
        self.repaired.reported.push(topic.clone());
        self.session.report.add(
            Severity::Broken,
            FindingCode::WebhookRefused,
            format!("The store did not {verb} the webhook for {topic}: {code}."),
            remedy,
        );
    }
}

/// Sends some changes, and returns the result of each.
type SendChanges = fn(
    &mut CheckSession<'_, '_>,
    &Wanted<'_>,
    &[WebhookChange],
    &mut Repaired,
) -> Result<Vec<ChangeResult>, Stop>;

fn deletion(webhook: &Webhook) -> WebhookChange {
    WebhookChange::Delete(webhook.id, webhook.topic.clone())
}

/// The changes that are needed, without deletions. REST does not show a webhook's secret, so each of our webhooks gets it
/// again.
///
/// Webhooks that a person created are recreated: their API version can neither be read nor changed. A disabled webhook is
/// reactivated, not recreated. A new one would start without failures, but the id is part of the key that makes a delivery a
/// duplicate, and the operator of the store knows the old one. The reactivated webhook is watched instead.
fn plan(sorted: &Sorted<'_>, with_optional: bool) -> Vec<WebhookChange> {
    let topics = TOPICS.into_iter().chain(with_optional.then_some(OPTIONAL));
    let mut changes = Vec::new();
    for topic in topics {
        if !sorted
            .kept
            .get(topic)
            .is_some_and(|ours| ours.is_made_by_us)
        {
            changes.push(WebhookChange::Create(topic.to_owned()));
        }
    }
    let kept = sorted.kept.values().filter(|ours| ours.is_made_by_us);
    for ours in kept.chain(&sorted.extra) {
        changes.push(WebhookChange::Update(
            ours.webhook.id,
            ours.webhook.topic.clone(),
        ));
    }
    changes
}
