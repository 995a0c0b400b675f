//! The problems of a connection that only its deliveries show, not a check of the store's API.

use crate::connections::Connection;
use crate::delivery::ConnectionId;
use crate::platforms::api::{Finding, FindingCode, Severity};

/// A problem that deliveries show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeliveryProblem {
    /// All deliveries are signed with another secret.
    SignatureWrong,
    /// A proxy changes the bodies, so that their signatures do not match.
    BodyReencoded,
    /// The tokens' times do not fit this machine's clock.
    ClockWrong,
    /// The store's ping has not arrived since the webhooks were registered.
    PingMissing,
    /// The deliveries of some webhooks are signed with another secret.
    WebhookRefused,
    /// Deliveries have a valid signature and an invalid body.
    BodiesUnreadable,
    /// No delivery has arrived for longer than usual.
    Silent,
}

impl DeliveryProblem {
    const ALL: [Self; 7] = [
        Self::SignatureWrong,
        Self::BodyReencoded,
        Self::ClockWrong,
        Self::PingMissing,
        Self::WebhookRefused,
        Self::BodiesUnreadable,
        Self::Silent,
    ];

    pub(super) fn code(self) -> FindingCode {
        match self {
            Self::SignatureWrong => FindingCode::SignatureWrong,
            Self::BodyReencoded => FindingCode::BodyReencoded,
            Self::ClockWrong => FindingCode::ClockWrong,
            Self::PingMissing => FindingCode::PingMissing,
            Self::WebhookRefused => FindingCode::WebhookRefused,
            Self::BodiesUnreadable => FindingCode::BodiesUnreadable,
            Self::Silent => FindingCode::Silent,
        }
    }

    pub(super) fn from_code(code: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|problem| problem.code().as_str() == code)
    }

    /// The problem that the connection is degraded by.
    pub(super) fn of(connection: &Connection) -> Option<Self> {
        Self::ALL.into_iter().find(|problem| {
            connection
                .condition()
                .is_degraded_by(problem.code().as_str())
        })
    }

    /// `true` if the next accepted delivery ends the problem.
    pub(super) fn ends_with_a_delivery(self) -> bool {
        match self {
            Self::SignatureWrong
            | Self::BodyReencoded
            | Self::ClockWrong
            | Self::PingMissing
            | Self::Silent => true,
            Self::WebhookRefused | Self::BodiesUnreadable => false,
        }
    }

    /// The finding for operators.
    pub(super) fn finding(self, id: &ConnectionId) -> Finding {
        Finding {
            code: self.code(),
            severity: Severity::Broken,
            cause: self.cause().to_owned(),
            remedy: self.remedy().replace("{id}", id.as_str()),
        }
    }

    fn cause(self) -> &'static str {
        match self {
            Self::SignatureWrong => {
                "the webhooks are signed with another secret than the stored one, and none of them is accepted"
            }
            Self::BodyReencoded => {
                "a proxy between the store and the gateway changes the webhooks' bodies, so that their signatures do not match"
            }
            Self::ClockWrong => {
                "the webhooks' tokens are expired, or not valid yet, when they arrive"
            }
            Self::PingMissing => {
                "the store has not reached this gateway since its webhooks were registered"
            }
            Self::WebhookRefused => {
                "all deliveries of some webhooks are refused, because they are signed with another secret than the others"
            }
            Self::BodiesUnreadable => {
                "the deliveries have a valid signature and cannot be read, so that no event is published"
            }
            Self::Silent => "no webhook has arrived for more than twice the longest pause so far",
        }
    }

    /// The remedy. `{id}` is a placeholder for the connection's id.
    fn remedy(self) -> &'static str {
        match self {
            Self::SignatureWrong => {
                "run `cartwire connections check {id} --fix` if the gateway registered the webhooks; otherwise enter the \
                 secret that `cartwire connections rotate-secret {id}` shows in the store, or give the store's secret to the \
                 gateway with --secret-file"
            }
            Self::BodyReencoded => {
                "configure the proxy, firewall or CDN in front of the gateway to pass bodies on unchanged: no JSON rewriting, \
                 no transcoding"
            }
            Self::ClockWrong => {
                "set this machine's clock by NTP (`timedatectl` shows its state), and check that no proxy delays webhooks"
            }
            Self::PingMissing => {
                "check that the public URL leads to this gateway from the store's network (DNS, firewall, proxy, \
                 certificate), then run `cartwire connections check {id} --fix`"
            }
            Self::WebhookRefused => {
                "run `cartwire connections check {id} --fix`, which sets the secret of these webhooks again"
            }
            Self::BodiesUnreadable => {
                "list the deliveries with `cartwire deliveries list --connection {id} --state dead_lettered`, and repair what \
                 the store sends"
            }
            Self::Silent => {
                "check in the store whether something happened that should have been sent, and whether its webhooks are \
                 active; `cartwire connections check {id}` checks them if the gateway has credentials"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_found_by_its_code_and_names_the_connection() {
        let id = ConnectionId::new("shop-a").expect("the connection id should be valid");
        for problem in DeliveryProblem::ALL {
            assert_eq!(
                DeliveryProblem::from_code(problem.code().as_str()),
                Some(problem)
            );
            assert!(!problem.finding(&id).remedy.contains("{id}"));
        }
        assert_eq!(DeliveryProblem::from_code("webhook_disabled"), None);
    }
}
