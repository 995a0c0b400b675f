//! What an answer that gives nothing means: nobody is there, too much was asked, or we are refused, and on whose account.
//!
//! The platform documents the shape of its errors, but not which ones its credentials bring. So a refusal is blamed on
//! somebody only where its words name him, or its status can mean nothing else.

use crate::platforms::api::{Answer, CallFailure, CallResult, Examination, Weight};
use crate::platforms::json::{Json, parse};

/// What came of a question.
pub(super) enum Heard<'a> {
    /// A good answer.
    Good(&'a Answer),
    /// The platform refuses what was asked.
    Refused(&'a Answer),
    /// The platform refuses to give the token to ask with.
    NoToken(&'a Answer),
    /// Nothing that says anything about the connection; the finding is made.
    Nothing,
}

/// Tells answers from outages, and notes the outages.
pub(super) fn heard<'a>(found: &mut Examination, result: &'a CallResult) -> Heard<'a> {
    let (answer, refused): (&'a Answer, fn(&'a Answer) -> Heard<'a>) = match result {
        Ok(answer) => (answer, Heard::Refused),
        Err(CallFailure::TokenRefused(answer)) => (answer, Heard::NoToken),
        Err(CallFailure::Resting(_)) => {
            too_often(found);
            return Heard::Nothing;
        }
        Err(failure) => {
            let (weight, step) = match failure {
                CallFailure::AddressInvalid | CallFailure::AddressRefused(_) => {
                    (Weight::Broken, ADDRESS)
                }
                CallFailure::HostUnknown
                | CallFailure::Unreachable
                | CallFailure::Tls(_)
                | CallFailure::TimedOut
                | CallFailure::CutOff
                | CallFailure::TooLarge
                | CallFailure::Resting(_)
                | CallFailure::TokenRefused(_) => (Weight::Unavailable, WAIT),
            };
            found.find(
                weight,
                "store_unreachable",
                format!("Wix cannot be asked: {failure}"),
                step,
            );
            return Heard::Nothing;
        }
    };
    match answer.status {
        200..=299 => Heard::Good(answer),
        429 => {
            too_often(found);
            Heard::Nothing
        }
        400..=407 | 409..=424 | 426..=499 => refused(answer),
        _ => {
            strange(found, answer);
            Heard::Nothing
        }
    }
}

fn too_often(found: &mut Examination) {
    found.find(
        Weight::Unavailable,
        "rate_limited",
        "Wix says that it was asked too often",
        "Nothing has to be done: it is asked again later. Where it goes on, something else asks with the same credentials",
    );
}

/// Notes a status that says nothing about the connection.
pub(super) fn strange(found: &mut Examination, answer: &Answer) {
    found.find(
        Weight::Unavailable,
        "store_unreachable",
        format!("Wix answers with status {}", answer.status),
        WAIT,
    );
}

const ADDRESS: &str = "Where the connection has an api_base, which is for tests, see that it can be called; else see which \
                       address this machine has for www.wixapis.com";
const WAIT: &str = "Nothing has to be done where it passes. Where it goes on, see whether this machine reaches \
                    https://www.wixapis.com, and whether a proxy or a firewall answers in its place";

/// Notes that an answer with a good status is none of the platform's.
pub(super) fn unreadable(found: &mut Examination) {
    found.find(
        Weight::Unavailable,
        "answer_unreadable",
        "something answers in place of Wix: it is not what Wix answers",
        WAIT,
    );
}

/// On whose account something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The app's id or secret.
    App,
    /// The installation.
    Instance,
    /// It cannot be told.
    Unclear,
    /// Nobody: a path that is not there, without a word about whom or what. The platform's front says so of anything.
    Nobody,
}

/// Who is to blame for a token that is not given.
pub(super) fn blame(answer: &Answer) -> Blame {
    // A page that stands in the platform's place blames nobody.
    let Some(document) = parse(answer.text()) else {
        return Blame::Unclear;
    };
    // A path that is repeated names nobody.
    let spoken = spoken(&document);
    let words: Vec<&str> = spoken
        .split_whitespace()
        .filter(|word| !word.starts_with('/') && !word.contains("://"))
        .collect();
    let words = words.join(" ");
    let names = |any: &[&str]| any.iter().any(|word| words.contains(word));
    match (
        names(&["client", "secret", "app id", "app_id", "appid"]),
        names(&["instance", "installation", "not installed", "uninstalled"]),
    ) {
        (true, false) => Blame::App,
        (false, true) => Blame::Instance,
        (false, false) if matches!(answer.status, 404 | 410) => Blame::Nobody,
        (false, false) | (true, true) => Blame::Unclear,
    }
}

/// All that a refusal says, in lower case.
pub(super) fn words(answer: &Answer) -> String {
    parse(answer.text())
        .map(|document| spoken(&document))
        .unwrap_or_default()
}

fn spoken(document: &Json<'_>) -> String {
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
    fn a_refusal_is_blamed_on_whom_it_names() {
        for (status, body, blamed) in [
            (
                401,
                r#"{"error":"invalid_client","error_description":"no"}"#,
                Blame::App,
            ),
            (
                400,
                r#"{"message":"Wrong secret","details":{"applicationError":{"code":"BAD"}}}"#,
                Blame::App,
            ),
            (404, r#"{"message":"client not found"}"#, Blame::App),
            (
                400,
                r#"{"message":"","details":{"applicationError":{"code":"APP_INSTANCE_NOT_FOUND"}}}"#,
                Blame::Instance,
            ),
            (
                403,
                r#"{"message":"The app is not installed on this site"}"#,
                Blame::Instance,
            ),
            (
                410,
                r#"{"message":"The installation is gone"}"#,
                Blame::Instance,
            ),
            (404, r#"{"message":"","details":{}}"#, Blame::Nobody),
            (404, r#"{"message":"Not Found"}"#, Blame::Nobody),
            (
                404,
                r#"{"message":"Cannot GET /apps/v1/instance","path":"https://www.wixapis.com/apps/v1/instance"}"#,
                Blame::Nobody,
            ),
            (403, r#"{"message":"","details":{}}"#, Blame::Unclear),
            (
                400,
                r#"{"message":"client_id and instance_id do not match"}"#,
                Blame::Unclear,
            ),
            (404, "<html>No such instance</html>", Blame::Unclear),
            (401, "", Blame::Unclear),
        ] {
            assert_eq!(blame(&answer(status, body)), blamed, "{body}");
        }
    }

    #[test]
    fn an_outage_is_no_refusal() {
        let outage = |result: &CallResult| {
            let mut found = Examination::default();
            assert!(matches!(heard(&mut found, result), Heard::Nothing));
            let finding = found.findings.pop().expect("a finding");
            (finding.weight, finding.code)
        };
        assert_eq!(
            outage(&Ok(answer(429, ""))),
            (Weight::Unavailable, "rate_limited")
        );
        for status in [302, 408, 425, 500, 503] {
            assert_eq!(
                outage(&Ok(answer(status, ""))),
                (Weight::Unavailable, "store_unreachable"),
                "{status}"
            );
        }
        assert_eq!(
            outage(&Err(CallFailure::TokenRefused(answer(503, "")))),
            (Weight::Unavailable, "store_unreachable")
        );
        assert_eq!(
            outage(&Err(CallFailure::TimedOut)),
            (Weight::Unavailable, "store_unreachable")
        );
        assert_eq!(
            outage(&Err(CallFailure::TooLarge)),
            (Weight::Unavailable, "store_unreachable")
        );
        assert_eq!(
            outage(&Err(CallFailure::AddressInvalid)),
            (Weight::Broken, "store_unreachable")
        );
    }
}
