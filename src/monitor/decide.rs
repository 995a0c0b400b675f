//! What a check, rejected deliveries and silence together say about a connection: pure decisions.
//!
//! Nothing here asks, waits or writes.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::check::{Look, PINGED_AT};
use crate::connections::{Assessment, Connection, RefusedWebhook, RejectionCount};
use crate::delivery::ConnectionId;
use crate::platforms::OWNER_LOST_RIGHTS;
use crate::platforms::api::{CheckReport, Finding, Severity};

use self::unreadable::{BODIES_UNREADABLE, is_mended_by_fix};
pub use self::unreadable::{
    add_unreadable, describe_unreadable, is_unreadable, keep_unreadable, stored_unreadable,
};

mod unreadable;

const SIGNATURE_WRONG: &str = "signature_wrong";
const BODY_REENCODED: &str = "body_reencoded";
const CLOCK_WRONG: &str = "clock_wrong";
const SILENT: &str = "silent";
const PING_MISSING: &str = "ping_missing";
const WEBHOOK_REFUSED: &str = "webhook_refused";

/// The setting that names the webhooks whose deliveries are all refused, as `id=topic`.
pub const REFUSED_WEBHOOKS: &str = "refused_webhooks";

/// The reasons that deliveries tell of, and no store's API: they end when a delivery is accepted.
const TOLD_BY_DELIVERIES: [&str; 5] = [
    SIGNATURE_WRONG,
    BODY_REENCODED,
    CLOCK_WRONG,
    SILENT,
    PING_MISSING,
];

/// Fewer are no sign of anything.
const REJECTIONS: u64 = 3;
/// An outage of that long is told of, however seldom the store was asked.
const OUTAGE: SignedDuration = SignedDuration::from_mins(15);

/// What a reason that deliveries tell of means, for people; `None` for any other reason.
#[must_use]
pub fn finding(reason: &str, id: &ConnectionId) -> Option<Finding> {
    let (code, cause, remedy) = match reason {
        SIGNATURE_WRONG => (
            SIGNATURE_WRONG,
            "its webhooks are signed with another secret than ours, and none of them is accepted",
            "run `cartwire connections check ID --fix` where we register the webhooks; otherwise give the store the secret that \
             `cartwire connections rotate-secret ID` shows, or give us the store's key with --secret-file",
        ),
        BODY_REENCODED => (
            BODY_REENCODED,
            "something between the store and us rewrites its webhooks' bodies, so that their signatures do not fit",
            "make the proxy, firewall or CDN in front of us pass bodies on as they are: no JSON rewriting, no transcoding",
        ),
        CLOCK_WRONG => (
            CLOCK_WRONG,
            "its webhooks' tokens are expired, or not valid yet, when they arrive",
            "set this machine's clock by NTP (`timedatectl` shows whether it is), and see that no proxy holds webhooks back",
        ),
        OWNER_LOST_RIGHTS => (
            OWNER_LOST_RIGHTS,
            "the store signs errors in place of entities: the user who owns its webhooks may no longer read them",
            "give that user the role again that he had (for webhooks that we registered, he is the REST API key's), or make the \
             webhooks anew as another; then run `cartwire connections resume ID`, because only deliveries show whether it helped",
        ),
        PING_MISSING => (
            PING_MISSING,
            "the store has not reached this gateway since its webhooks were registered",
            "see that the public URL leads to this gateway from the store's network (DNS, firewall, proxy, certificate), then run \
             `cartwire connections check ID --fix`",
        ),
        WEBHOOK_REFUSED => (
            WEBHOOK_REFUSED,
            "all deliveries of some webhooks are refused, because they are signed with another secret than the others",
            "run `cartwire connections check ID --fix`, which sets their secret again",
        ),
        BODIES_UNREADABLE => (
            BODIES_UNREADABLE,
            "its deliveries have a valid signature and cannot be read, so that no event is published",
            "list them with `cartwire deliveries list --connection ID --state dead_lettered`, and repair what the store sends",
        ),
        SILENT => (
            SILENT,
            "no webhook has come for more than twice as long as ever before",
            "see in the store whether something happened that should have been told, and whether its webhooks are still on; \
             `cartwire connections check ID` looks where we can ask",
        ),
        _ => return None,
    };
    Some(Finding {
        code,
        severity: Severity::Broken,
        cause: cause.to_owned(),
        remedy: remedy.replace("ID", id.as_str()),
    })
}

/// As [`finding`], with the webhooks that are refused.
#[must_use]
pub fn finding_of(
    connection: &Connection,
    settings: &BTreeMap<String, String>,
    reason: &str,
) -> Option<Finding> {
    let mut found = finding(reason, &connection.id)?;
    let names = settings
        .get(REFUSED_WEBHOOKS)
        .or_else(|| connection.settings.get(REFUSED_WEBHOOKS));
    let names: Vec<String> = names
        .into_iter()
        .flat_map(|names| names.split_whitespace())
        .filter_map(|pair| pair.split_once('='))
        .map(|(id, topic)| format!("{topic} (webhook {id})"))
        .collect();
    if !names.is_empty() && [WEBHOOK_REFUSED, SIGNATURE_WRONG].contains(&found.code) {
        found.cause = format!("{}: {}", found.cause, names.join(", "));
    }
    describe_unreadable(connection, settings, &mut found);
    Some(found)
}

/// A store's attempt to deliver a webhook and our refusal are one event if they are no further apart, in seconds: the store
/// notes the attempt after our answer.
const BEFORE_ATTEMPT: i64 = 15;
const AFTER_ATTEMPT: i64 = 2;

/// The webhooks that were refused, as far as the store itself shows that the refused requests were its own. A request
/// without a valid signature proves nothing: anybody can name a webhook.
#[must_use]
pub fn confirmed(
    refused: Vec<RefusedWebhook>,
    look: &Look,
    not_before: Option<Timestamp>,
) -> Vec<RefusedWebhook> {
    let Some(report) = &look.report else {
        return Vec::new();
    };
    let ahead = look.clock.map_or(0, |clock| clock.as_secs());
    let is_own = |refused: &RefusedWebhook| {
        let state = report
            .webhooks
            .iter()
            .find(|state| state.id == refused.webhook.id && state.is_active);
        let Some(tried_at) = state.and_then(|state| state.tried_at) else {
            return false;
        };
        let tried_at = tried_at.as_second().saturating_sub(ahead);
        refused.times.iter().any(|at| {
            let later = tried_at.saturating_sub(at.as_second());
            not_before.is_none_or(|not_before| *at > not_before)
                && (-AFTER_ATTEMPT..=BEFORE_ATTEMPT).contains(&later)
        })
    };
    refused.into_iter().filter(is_own).collect()
}

/// The reason for the webhooks that are refused for certain.
#[must_use]
pub fn refused_reason(confirmed: &[RefusedWebhook], look: &Look) -> Option<&'static str> {
    let first = confirmed.first()?;
    if first.reason == BODY_REENCODED {
        return Some(BODY_REENCODED);
    }
    let active = look.report.as_ref().map_or(0, |report| {
        report
            .webhooks
            .iter()
            .filter(|webhook| webhook.is_active)
            .count()
    });
    Some(if confirmed.len() >= active {
        SIGNATURE_WRONG
    } else {
        WEBHOOK_REFUSED
    })
}

/// A finding about rejected requests that nothing confirms: worth knowing, and no diagnosis.
#[must_use]
pub fn unproved(reason: &str, id: &ConnectionId) -> Option<Finding> {
    let found = finding(reason, id)?;
    Some(Finding {
        severity: Severity::Note,
        cause: format!(
            "requests in the name of this store were refused, and nothing shows that the store sent them; if it did, {}",
            found.cause
        ),
        ..found
    })
}

/// When the store's last ping arrived, for a connection that is in trouble for the want of one.
#[must_use]
pub fn ping_of(connection: &Connection) -> Option<Timestamp> {
    if connection.condition().reason() != Some(PING_MISSING) {
        return None;
    }
    connection.settings.get(PINGED_AT)?.parse().ok()
}

/// The finding about a store whose webhooks were registered and which has not called us since.
#[must_use]
pub fn ping_missing(url: &str, id: &ConnectionId) -> Finding {
    Finding {
        code: PING_MISSING,
        severity: Severity::Broken,
        cause: format!(
            "the store registered its webhooks, but its ping has not arrived: it cannot reach {url}, and will disable the \
             webhooks after seven failed deliveries"
        ),
        remedy: finding(PING_MISSING, id).map_or_else(String::new, |found| found.remedy),
    }
}

/// What was rejected between two looks: the reason to tell, where it is a sign of something. Whoever has no key can make
/// rejections, but cannot keep the store's own deliveries from being accepted meanwhile: with one of those it is no sign.
#[must_use]
pub fn rejected(
    before: &[RejectionCount],
    now: &[RejectionCount],
    accepted_meanwhile: bool,
) -> Option<&'static str> {
    if accepted_meanwhile {
        return None;
    }
    let mut told: [(u64, &'static str); 3] =
        [(0, SIGNATURE_WRONG), (0, BODY_REENCODED), (0, CLOCK_WRONG)];
    for count in now {
        let earlier = before
            .iter()
            .find(|b| b.reason == count.reason)
            .map_or(0, |b| b.count);
        let place = match count.reason {
            "signature_wrong" => 0,
            "body_reencoded" => 1,
            "token_expired" | "token_not_yet_valid" => 2,
            // Not signed at all, or in a way that no store would: a stranger.
            _ => continue,
        };
        told[place].0 += count.count.saturating_sub(earlier);
    }
    let all: u64 = told.iter().map(|(count, _)| count).sum();
    // Re-encoding shows in some bodies only; where it shows, it is the cause of the others as well.
    let [signature, reencoded, clock] = told;
    let most = if reencoded.0 > 0 && reencoded.0 + signature.0 >= clock.0 {
        reencoded
    } else {
        signature.max(clock)
    };
    (all >= REJECTIONS).then_some(most.1)
}

/// A store that could not be asked, so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outage {
    code: &'static str,
    since: Timestamp,
    checks: u32,
}

impl Outage {
    /// After one more check.
    #[must_use]
    pub fn after(before: Option<Self>, report: &CheckReport, now: Timestamp) -> Option<Self> {
        let trouble = report
            .trouble()
            .filter(|finding| finding.severity == Severity::Unavailable)?;
        let begun = Self {
            code: trouble.code,
            since: now,
            checks: 0,
        };
        let outage = before.unwrap_or(begun);
        Some(Self {
            checks: outage.checks + 1,
            ..outage
        })
    }

    /// What to tell, once it has lasted.
    #[must_use]
    pub fn lasting(&self, now: Timestamp) -> Option<&'static str> {
        (self.checks >= 2 || now.duration_since(self.since) >= OUTAGE).then_some(self.code)
    }
}

/// `true` if the connection is in trouble because of single webhooks that are refused.
#[must_use]
pub fn is_refused(connection: &Connection) -> bool {
    connection.condition().is_degraded_by(WEBHOOK_REFUSED)
}

/// All that is known of a connection at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// How it stands.
    pub connection: &'a Connection,
    /// What the store said, where it could be asked.
    pub report: Option<&'a CheckReport>,
    /// The code of an outage that has lasted.
    pub outage: Option<&'static str>,
    /// Why its deliveries are rejected.
    pub rejected: Option<&'static str>,
    /// When its last delivery was accepted.
    pub accepted_at: Option<Timestamp>,
    /// Is it quieter than usual?
    pub silent: bool,
    /// Were its webhooks put right just now?
    pub mended: bool,
    /// `true` if webhooks that were refused have not been accepted since.
    pub still_refused: bool,
    /// `true` if so many verified deliveries could not be read that this is a finding.
    pub unreadable: bool,
    /// When a delivery was last read, if this process knows.
    pub readable_at: Option<Timestamp>,
}

impl Facts<'_> {
    /// Does it suffer from something that deliveries told of, and none was accepted since?
    #[must_use]
    pub fn still_told(&self) -> bool {
        let since = self.connection.changed_at;
        self.suffers_by_deliveries() && self.accepted_at.is_none_or(|at| at <= since)
    }

    fn suffers_by_deliveries(&self) -> bool {
        let condition = self.connection.condition();
        TOLD_BY_DELIVERIES
            .iter()
            .any(|reason| condition.is_degraded_by(reason))
    }

    /// `true` if its deliveries were unreadable, and neither a readable one nor a repair has ended that.
    fn is_still_unreadable(&self) -> bool {
        let since = self.connection.changed_at;
        is_unreadable(self.connection)
            && self.readable_at.is_none_or(|at| at <= since)
            && !(self.mended && is_mended_by_fix(self.connection))
    }

    /// What follows.
    #[must_use]
    pub fn assessment(&self) -> Assessment {
        if let Some(trouble) = self.report.and_then(CheckReport::trouble) {
            match trouble.severity {
                Severity::Gone => return Assessment::Disconnected(trouble.code),
                Severity::Broken => return Assessment::Degraded(trouble.code),
                Severity::Unavailable if self.unreadable || self.is_still_unreadable() => {}
                Severity::Unavailable => {
                    return self
                        .outage
                        .map_or(Assessment::Inconclusive, Assessment::Degraded);
                }
                Severity::Note => {}
            }
        }
        if self.unreadable {
            return Assessment::Degraded(BODIES_UNREADABLE);
        }
        if self.is_still_unreadable() {
            return Assessment::Inconclusive;
        }
        match self.rejected {
            Some(reason) => Assessment::Degraded(reason),
            None if self.still_refused && !self.mended => Assessment::Inconclusive,
            None if self.still_told() && (self.silent || !self.mended) => Assessment::Inconclusive,
            // What deliveries carry is seen by nobody who asks: the operator says when it is mended.
            None if self
                .connection
                .condition()
                .is_degraded_by(OWNER_LOST_RIGHTS) =>
            {
                Assessment::Inconclusive
            }
            None if self.silent => Assessment::Degraded(SILENT),
            None if self.report.is_some()
                || self.suffers_by_deliveries()
                || is_unreadable(self.connection) =>
            {
                Assessment::Healthy
            }
            None => Assessment::Inconclusive,
        }
    }
}

#[cfg(test)]
mod tests;
