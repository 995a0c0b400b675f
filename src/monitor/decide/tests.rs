//! The decisions, each with what speaks for and against it.

use super::*;
use crate::connections::Status;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

/// A connection that has stood so since second 100.
fn standing(status: Status, reason: Option<&str>) -> Connection {
    let id = ConnectionId::new("shop-a").expect("an id");
    let connection = Connection::new(id, "platform", "kind", at(100));
    Connection {
        status,
        reason: reason.map(str::to_owned),
        ..connection
    }
}

fn found(severity: Severity, code: &'static str) -> CheckReport {
    let mut report = CheckReport::default();
    report.add(severity, code, "cause", "remedy");
    report
}

fn facts<'a>(connection: &'a Connection, report: Option<&'a CheckReport>) -> Facts<'a> {
    Facts {
        connection,
        report,
        outage: None,
        rejected: None,
        accepted_at: None,
        silent: false,
        mended: false,
        still_refused: false,
        unreadable: false,
        readable_at: None,
    }
}

fn counts(counts: &[(&'static str, u64)]) -> Vec<RejectionCount> {
    counts
        .iter()
        .map(|(reason, count)| RejectionCount {
            reason,
            count: *count,
            last_at: at(0),
        })
        .collect()
}

#[test]
fn what_the_store_says_goes_before_what_deliveries_tell() {
    let connected = standing(Status::Connected, None);
    for (severity, assessment) in [
        (Severity::Gone, Assessment::Disconnected("x")),
        (Severity::Broken, Assessment::Degraded("x")),
    ] {
        let report = found(severity, "x");
        let told = Facts {
            silent: true,
            rejected: Some(SIGNATURE_WRONG),
            ..facts(&connected, Some(&report))
        };
        assert_eq!(told.assessment(), assessment);
    }
    let note = found(Severity::Note, "x");
    assert_eq!(
        facts(&connected, Some(&note)).assessment(),
        Assessment::Healthy
    );
    assert_eq!(
        facts(&connected, None).assessment(),
        Assessment::Inconclusive,
        "nobody was asked"
    );
}

#[test]
fn an_outage_counts_when_it_lasts_and_keeps_its_first_name() {
    let connected = standing(Status::Connected, None);
    let away = found(Severity::Unavailable, "timed_out");
    let first = Outage::after(None, &away, at(0)).expect("an outage");
    assert_eq!(first.lasting(at(0)), None);
    assert_eq!(
        facts(&connected, Some(&away)).assessment(),
        Assessment::Inconclusive
    );
    assert_eq!(
        first.lasting(at(15 * 60)),
        Some("timed_out"),
        "however seldom it is asked"
    );
    let second = Outage::after(Some(first), &found(Severity::Unavailable, "cut_off"), at(1))
        .expect("an outage");
    assert_eq!(second.lasting(at(1)), Some("timed_out"));
    let told = Facts {
        outage: second.lasting(at(1)),
        ..facts(&connected, Some(&away))
    };
    assert_eq!(told.assessment(), Assessment::Degraded("timed_out"));
    assert_eq!(
        Outage::after(Some(second), &found(Severity::Broken, "x"), at(2)),
        None,
        "it was asked"
    );
    assert_eq!(
        Outage::after(Some(second), &CheckReport::default(), at(2)),
        None
    );
}

#[test]
fn rejections_are_a_sign_when_they_are_many_and_nothing_is_accepted() {
    let three = counts(&[("signature_wrong", 3)]);
    assert_eq!(rejected(&[], &three, false), Some("signature_wrong"));
    assert_eq!(
        rejected(&[], &three, true),
        None,
        "the store's own came through: a stranger knocks"
    );
    assert_eq!(
        rejected(&[], &counts(&[("signature_wrong", 2)]), false),
        None
    );
    assert_eq!(
        rejected(&three, &three, false),
        None,
        "they were seen before"
    );
    assert_eq!(
        rejected(&three, &counts(&[("signature_wrong", 6)]), false),
        Some("signature_wrong")
    );
    assert_eq!(
        rejected(
            &[],
            &counts(&[("signature_missing", 9), ("too_large", 9)]),
            false
        ),
        None,
        "no store's"
    );
}

#[test]
fn rejections_tell_their_reason() {
    let clock = counts(&[("token_expired", 2), ("token_not_yet_valid", 1)]);
    assert_eq!(rejected(&[], &clock, false), Some("clock_wrong"));
    let some_bodies = counts(&[("signature_wrong", 4), ("body_reencoded", 1)]);
    assert_eq!(rejected(&[], &some_bodies, false), Some("body_reencoded"));
    let both = counts(&[("signature_wrong", 1), ("token_expired", 5)]);
    assert_eq!(rejected(&[], &both, false), Some("clock_wrong"));
}

#[test]
fn what_deliveries_told_of_ends_with_a_delivery_and_not_with_a_good_examination() {
    let well = CheckReport::default();
    for reason in TOLD_BY_DELIVERIES {
        let degraded = standing(Status::Degraded, Some(reason));
        assert!(finding(reason, &degraded.id).is_some_and(|finding| finding.code == reason));
        for report in [None, Some(&well)] {
            let before = facts(&degraded, report);
            assert_eq!(before.assessment(), Assessment::Inconclusive, "{reason}");
            let earlier = Facts {
                accepted_at: Some(at(99)),
                ..before
            };
            assert_eq!(earlier.assessment(), Assessment::Inconclusive, "{reason}");
            let since = Facts {
                accepted_at: Some(at(101)),
                ..before
            };
            assert_eq!(since.assessment(), Assessment::Healthy, "{reason}");
        }
        let mended = Facts {
            mended: true,
            ..facts(&degraded, Some(&well))
        };
        assert_eq!(mended.assessment(), Assessment::Healthy, "{reason}");
    }
    let disabled = standing(Status::Degraded, Some("webhook_disabled"));
    assert_eq!(
        facts(&disabled, Some(&well)).assessment(),
        Assessment::Healthy
    );
    assert_eq!(
        facts(&disabled, None).assessment(),
        Assessment::Inconclusive,
        "nobody looked whether it is still so"
    );
}

#[test]
fn silence_is_told_where_nothing_else_is() {
    let connected = standing(Status::Connected, None);
    let silent = Facts {
        silent: true,
        ..facts(&connected, None)
    };
    assert_eq!(silent.assessment(), Assessment::Degraded("silent"));
    let rejecting = Facts {
        rejected: Some(SIGNATURE_WRONG),
        ..silent
    };
    assert_eq!(
        rejecting.assessment(),
        Assessment::Degraded("signature_wrong")
    );
}

#[test]
fn lost_rights_that_deliveries_carry_end_with_the_operators_word_alone() {
    let degraded = standing(Status::Degraded, Some(OWNER_LOST_RIGHTS));
    let well = CheckReport::default();
    let told = Facts {
        accepted_at: Some(at(200)),
        mended: true,
        ..facts(&degraded, Some(&well))
    };
    assert_eq!(
        told.assessment(),
        Assessment::Inconclusive,
        "otherwise it would come and go with every check"
    );
    let broken = found(Severity::Broken, "key_role");
    assert_eq!(
        facts(&degraded, Some(&broken)).assessment(),
        Assessment::Degraded("key_role")
    );
}
