//! Classifies failed requests: an outage, a rate limit, or a refusal and its cause.
//!
//! The platform documents the format of its errors, but not the errors for wrong credentials. So the cause of a refusal is
//! known only if its texts name the cause, or if its status has no other meaning.

use crate::platforms::api::{
    CallFailure, CallResult, CheckReport, FindingCode, Severity, StoreResponse,
};
use crate::platforms::json::{Json, parse};

/// The result of a request.
pub(super) enum ApiOutcome<'a> {
    /// A response with a status from 200 to 299.
    Success(&'a StoreResponse),
    /// The platform refused the request.
    Refused(&'a StoreResponse),
    /// The platform refused the access token for the request.
    TokenRefused(&'a StoreResponse),
    /// An outage or a rate limit, which proves nothing about the connection. [`classify`] has reported the finding.
    Unavailable,
}

/// Separates responses and refusals from outages, and reports an outage as a finding.
pub(super) fn classify<'a>(found: &mut CheckReport, result: &'a CallResult) -> ApiOutcome<'a> {
    let (answer, refused): (&'a StoreResponse, fn(&'a StoreResponse) -> ApiOutcome<'a>) =
        match result {
            Ok(answer) => (answer, ApiOutcome::Refused),
            Err(CallFailure::TokenRefused(answer)) => (answer, ApiOutcome::TokenRefused),
            Err(CallFailure::RateLimited(_)) => {
                report_rate_limit(found);
                return ApiOutcome::Unavailable;
            }
            Err(failure) => {
                let (severity, remedy) = match failure {
                    CallFailure::AddressInvalid | CallFailure::AddressRefused(_) => {
                        (Severity::Broken, ADDRESS)
                    }
                    CallFailure::HostUnknown
                    | CallFailure::Unreachable
                    | CallFailure::Tls(_)
                    | CallFailure::TimedOut
                    | CallFailure::CutOff
                    | CallFailure::TooLarge
                    | CallFailure::RateLimited(_)
                    | CallFailure::TokenRefused(_) => (Severity::Unavailable, WAIT),
                };
                found.add(
                    severity,
                    FindingCode::StoreUnreachable,
                    format!("Wix cannot be reached: {failure}"),
                    remedy,
                );
                return ApiOutcome::Unavailable;
            }
        };
    match answer.status {
        200..=299 => ApiOutcome::Success(answer),
        429 => {
            report_rate_limit(found);
            ApiOutcome::Unavailable
        }
        400..=407 | 409..=424 | 426..=499 => refused(answer),
        _ => {
            report_unexpected_status(found, answer);
            ApiOutcome::Unavailable
        }
    }
}

fn report_rate_limit(found: &mut CheckReport) {
    found.add(
        Severity::Unavailable,
        FindingCode::RateLimited,
        "Wix reports too many requests",
        "No action is necessary: the request is repeated later. If this continues, another program uses the same credentials",
    );
}

/// Reports a status that proves nothing about the connection.
pub(super) fn report_unexpected_status(found: &mut CheckReport, answer: &StoreResponse) {
    found.add(
        Severity::Unavailable,
        FindingCode::StoreUnreachable,
        format!("Wix answers with status {}", answer.status),
        WAIT,
    );
}

const ADDRESS: &str = "If the connection has the test option api_base, check that address. Otherwise check the address that \
                       DNS returns on this machine for www.wixapis.com";
const WAIT: &str = "No action is necessary if this is temporary. If this continues, check that this machine reaches \
                    https://www.wixapis.com, and that no proxy or firewall answers in its place";

/// Reports a successful response that is not in the platform's format.
pub(super) fn unreadable(found: &mut CheckReport) {
    found.add(
        Severity::Unavailable,
        FindingCode::AnswerUnreadable,
        "the answer is not from Wix: a proxy or a firewall may answer in its place",
        WAIT,
    );
}

/// The cause of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalCause {
    /// The app's id or secret is wrong.
    App,
    /// The platform does not know the installation.
    Instance,
    /// The texts name no cause, or several causes.
    Unclear,
    /// Status 404 or 410 without a cause. The platform's front end also sends it for reasons other than an unknown path.
    UnknownPath,
}

/// Reads the cause from the texts of a refusal and its status.
pub(super) fn refusal_cause(answer: &StoreResponse) -> RefusalCause {
    // A response that is not JSON may be the page of a proxy, which names no cause.
    let Some(document) = parse(answer.text()) else {
        return RefusalCause::Unclear;
    };
    // A path or URL may contain these words too, but does not name a cause.
    let text = texts_of(&document);
    let words: Vec<&str> = text
        .split_whitespace()
        .filter(|word| !word.starts_with('/') && !word.contains("://"))
        .collect();
    let words = words.join(" ");
    let names = |any: &[&str]| any.iter().any(|word| words.contains(word));
    match (
        names(&["client", "secret", "app id", "app_id", "appid"]),
        names(&["instance", "installation", "not installed", "uninstalled"]),
    ) {
        (true, false) => RefusalCause::App,
        (false, true) => RefusalCause::Instance,
        (false, false) if matches!(answer.status, 404 | 410) => RefusalCause::UnknownPath,
        (false, false) | (true, true) => RefusalCause::Unclear,
    }
}

/// All texts of a refusal in lower case, separated by spaces. Empty if the response is not JSON.
pub(super) fn words(answer: &StoreResponse) -> String {
    parse(answer.text())
        .map(|document| texts_of(&document))
        .unwrap_or_default()
}

fn texts_of(document: &Json<'_>) -> String {
    let mut words = Vec::new();
    gather(document, &mut words);
    words.join(" ").to_lowercase()
}

fn gather<'a>(value: &'a Json<'a>, words: &mut Vec<&'a str>) {
    match value {
        Json::Text(text) => words.push(text),
        Json::Array(items) => items.iter().for_each(|item| gather(item, words)),
        Json::Object(members) => members.iter().for_each(|(_, member)| gather(member, words)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platforms::wix::api::script::answer;

    #[test]
    fn cause_of_a_refusal_follows_from_its_message() {
        for (status, body, cause) in [
            (
                401,
                r#"{"error":"invalid_client","error_description":"no"}"#,
                RefusalCause::App,
            ),
            (
                400,
                r#"{"message":"Wrong secret","details":{"applicationError":{"code":"BAD"}}}"#,
                RefusalCause::App,
            ),
            (404, r#"{"message":"client not found"}"#, RefusalCause::App),
            (
                400,
                r#"{"message":"","details":{"applicationError":{"code":"APP_INSTANCE_NOT_FOUND"}}}"#,
                RefusalCause::Instance,
            ),
            (
                403,
                r#"{"message":"The app is not installed on this site"}"#,
                RefusalCause::Instance,
            ),
            (
                410,
                r#"{"message":"The installation is gone"}"#,
                RefusalCause::Instance,
            ),
            (
                404,
                r#"{"message":"","details":{}}"#,
                RefusalCause::UnknownPath,
            ),
            (404, r#"{"message":"Not Found"}"#, RefusalCause::UnknownPath),
            (
                404,
                r#"{"message":"Cannot GET /apps/v1/instance","path":"https://www.wixapis.com/apps/v1/instance"}"#,
                RefusalCause::UnknownPath,
            ),
            (403, r#"{"message":"","details":{}}"#, RefusalCause::Unclear),
            (
                400,
                r#"{"message":"client_id and instance_id do not match"}"#,
                RefusalCause::Unclear,
            ),
            (404, "<html>No such instance</html>", RefusalCause::Unclear),
            (401, "", RefusalCause::Unclear),
        ] {
            assert_eq!(refusal_cause(&answer(status, body)), cause, "{body}");
        }
    }

    #[test]
    fn outage_is_reported_and_is_not_a_refusal() {
        let outage = |result: &CallResult| {
            let mut found = CheckReport::default();
            assert!(matches!(
                classify(&mut found, result),
                ApiOutcome::Unavailable
            ));
            let finding = found.findings.pop().expect("a finding should be reported");
            (finding.severity, finding.code.as_str())
        };
        assert_eq!(
            outage(&Ok(answer(429, ""))),
            (Severity::Unavailable, "rate_limited")
        );
        for status in [302, 408, 425, 500, 503] {
            assert_eq!(
                outage(&Ok(answer(status, ""))),
                (Severity::Unavailable, "store_unreachable"),
                "{status}"
            );
        }
        assert_eq!(
            outage(&Err(CallFailure::TokenRefused(answer(503, "")))),
            (Severity::Unavailable, "store_unreachable")
        );
        assert_eq!(
            outage(&Err(CallFailure::TimedOut)),
            (Severity::Unavailable, "store_unreachable")
        );
        assert_eq!(
            outage(&Err(CallFailure::TooLarge)),
            (Severity::Unavailable, "store_unreachable")
        );
        assert_eq!(
            outage(&Err(CallFailure::AddressInvalid)),
            (Severity::Broken, "store_unreachable")
        );
    }
}
