//! Assessments with the evidence for and against each.

use super::*;
use crate::connections::Status;
use crate::delivery::ConnectionId;
use crate::platforms::PLATFORMS;
use crate::platforms::api::FindingCode;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("the time should be valid")
}

/// A connection with this state since second 100.
fn connection(status: Status, reason: Option<&str>) -> Connection {
    let id = ConnectionId::new("shop-a").expect("the connection id should be valid");
    Connection {
        status,
        reason: reason.map(str::to_owned),
        ..Connection::new(id, "platform", "kind", at(100))
    }
}

fn report(severity: Severity, code: FindingCode) -> CheckReport {
    let mut report = CheckReport::default();
    report.add(severity, code, "cause", "remedy");
    report
}

#[test]
fn a_problem_at_the_store_precedes_one_that_deliveries_show() {
    let connected = connection(Status::Connected, None);
    for (severity, assessment) in [
        (
            Severity::Gone,
            Assessment::Disconnected(FindingCode::WebhookDisabled),
        ),
        (
            Severity::Broken,
            Assessment::Degraded(FindingCode::WebhookDisabled),
        ),
    ] {
        let report = report(severity, FindingCode::WebhookDisabled);
        let evidence = Evidence {
            is_silent: true,
            rejected: Some(DeliveryProblem::SignatureWrong),
            ..Evidence::of_check(&connected, Some(&report))
        };
        assert_eq!(evidence.assessment(), assessment);
    }
}

#[test]
fn a_check_without_problems_is_healthy_and_no_check_is_inconclusive() {
    let connected = connection(Status::Connected, None);
    let note = report(Severity::Note, FindingCode::WebhookDisabled);
    let evidence = Evidence::of_check(&connected, Some(&note));
    assert_eq!(evidence.assessment(), Assessment::Healthy);
    let unchecked = Evidence::of_check(&connected, None);
    assert_eq!(unchecked.assessment(), Assessment::Inconclusive);
}

#[test]
fn an_unavailable_store_is_degraded_by_an_established_outage_only() {
    let connected = connection(Status::Connected, None);
    let unavailable = report(Severity::Unavailable, FindingCode::TimedOut);
    let evidence = Evidence::of_check(&connected, Some(&unavailable));
    assert_eq!(evidence.assessment(), Assessment::Inconclusive);
    let established = Evidence {
        outage: Some(FindingCode::TimedOut),
        ..evidence
    };
    assert_eq!(
        established.assessment(),
        Assessment::Degraded(FindingCode::TimedOut)
    );
}

#[test]
fn a_delivery_problem_ends_with_a_delivery_and_not_with_a_good_check() {
    let good = CheckReport::default();
    for problem in [
        DeliveryProblem::SignatureWrong,
        DeliveryProblem::BodyReencoded,
        DeliveryProblem::ClockWrong,
        DeliveryProblem::Silent,
        DeliveryProblem::PingMissing,
    ] {
        let degraded = connection(Status::Degraded, Some(problem.code().as_str()));
        for report in [None, Some(&good)] {
            let before = Evidence::of_check(&degraded, report);
            assert_eq!(before.assessment(), Assessment::Inconclusive, "{problem:?}");
            let earlier = Evidence {
                accepted_at: Some(at(99)),
                ..before
            };
            assert_eq!(
                earlier.assessment(),
                Assessment::Inconclusive,
                "{problem:?}"
            );
            let since = Evidence {
                accepted_at: Some(at(101)),
                ..before
            };
            assert_eq!(since.assessment(), Assessment::Healthy, "{problem:?}");
        }
        let repaired = Evidence {
            is_repaired: true,
            ..Evidence::of_check(&degraded, Some(&good))
        };
        assert_eq!(repaired.assessment(), Assessment::Healthy, "{problem:?}");
    }
}

#[test]
fn a_problem_at_the_store_ends_with_a_good_check() {
    let disabled = connection(Status::Degraded, Some("webhook_disabled"));
    let good = CheckReport::default();
    let checked = Evidence::of_check(&disabled, Some(&good));
    assert_eq!(checked.assessment(), Assessment::Healthy);
    let unchecked = Evidence::of_check(&disabled, None);
    assert_eq!(unchecked.assessment(), Assessment::Inconclusive);
}

#[test]
fn silence_degrades_only_if_there_is_no_other_problem() {
    let connected = connection(Status::Connected, None);
    let silent = Evidence {
        is_silent: true,
        ..Evidence::of_check(&connected, None)
    };
    assert_eq!(
        silent.assessment(),
        Assessment::Degraded(FindingCode::Silent)
    );
    let rejecting = Evidence {
        rejected: Some(DeliveryProblem::SignatureWrong),
        ..silent
    };
    assert_eq!(
        rejecting.assessment(),
        Assessment::Degraded(FindingCode::SignatureWrong)
    );
}

#[test]
fn a_reported_problem_is_ended_by_the_operator_only() {
    let (platform, problem) = PLATFORMS
        .iter()
        .find_map(|platform| Some((platform.name(), platform.reported_problems().first()?)))
        .expect("the platform's deliveries should report a problem");
    let degraded = Connection {
        platform: platform.to_owned(),
        ..connection(Status::Degraded, Some(problem.code.as_str()))
    };
    let good = CheckReport::default();
    let repaired = Evidence {
        accepted_at: Some(at(200)),
        is_repaired: true,
        ..Evidence::of_check(&degraded, Some(&good))
    };
    // If it were healthy, the problem would end and begin again with every check.
    assert_eq!(repaired.assessment(), Assessment::Inconclusive);
    let broken = report(Severity::Broken, FindingCode::KeyRole);
    let evidence = Evidence::of_check(&degraded, Some(&broken));
    assert_eq!(
        evidence.assessment(),
        Assessment::Degraded(FindingCode::KeyRole)
    );
}

#[test]
fn unreadable_deliveries_end_with_a_readable_one() {
    let degraded = connection(
        Status::Degraded,
        Some(DeliveryProblem::BodiesUnreadable.code().as_str()),
    );
    let good = CheckReport::default();
    let evidence = Evidence::of_check(&degraded, Some(&good));
    assert_eq!(evidence.assessment(), Assessment::Inconclusive);
    let again = Evidence {
        is_unreadable: true,
        ..evidence
    };
    assert_eq!(
        again.assessment(),
        Assessment::Degraded(FindingCode::BodiesUnreadable)
    );
    let readable = Evidence {
        readable_at: Some(at(101)),
        ..evidence
    };
    assert_eq!(readable.assessment(), Assessment::Healthy);
}
