//! A store's API responses as text, and the assertions about every dialogue with a store, whatever it responds.
//!
//! The first line of an input is the task. Each further chunk, after a line `--`, is a response: a status, header
//! lines, an empty line, the body. A chunk may also be the name of a failure; `token_refused` is followed by the
//! response's status.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cartwire::delivery::ConnectionId;
use cartwire::delivery::Enrichment;
use cartwire::platforms::api::{
    ApiRequest, Auth, CallFailure, CallResult, CheckMode, CheckReport, ConnectionContext, Dialogue,
    Fetched, StoreResponse, TlsFault, Unanswered,
};
use cartwire::platforms::{
    Normalized, StoreApi, Unsigned, VerifiedDelivery, WebhookPlatform, connection_kind,
};
use cartwire::replay::fixture::Fixture;
use url::Url;

use crate::{Request, Sender, assert_completed_well, now};

/// Maximum number of requests in one dialogue. Shared hosting limits requests, and the dialogue reads every response
/// again with each request.
const MOST_QUESTIONS: usize = 300;
/// Maximum wait that a dialogue may request, and maximum lifetime of a token.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);
/// Maximum length of a text for the operator, in bytes.
const LONGEST_TEXT: usize = 4000;
/// Maximum length of a stored setting, in bytes. An installation may have hundreds of permissions.
const LONGEST_SETTING: usize = 20_000;

const CONSUMER_KEY: &str = "ck_0123456789abcdef0123456789abcdef01234567";
const CONSUMER_SECRET: &str = "cs_76543210fedcba9876543210fedcba9876543210";
const WEBHOOK_SECRET: &str = "whsec-5d41402abc4b2a76b9719d911017c592";
const APP_SECRET: &str = "appsec-7d793037-a076-4a2d-9f3e-0bf2a0f6b1c5";
const API_KEY: &str = "IST.eyJraWQiOiJQb3pIX2FDMiIsImFsZyI6IlJTMjU2In0.c2VjcmV0LWtleQ";
const APP: &str = "d2a57dc1-d883-4d21-bb99-51699df71cc7";
const INSTANCE: &str = "7f0c2a4e-5b1d-4c3e-9a68-0d1e2f3a4b5c";
const OTHER_INSTANCE: &str = "64fc2d7e-1585-45ef-b1c3-6081185108c1";
const SITE: &str = "1c9d1b7e-8c6f-4b1d-9d43-7a4f1d2b3c4d";
const ACCOUNT: &str = "9d6f2a10-3b5c-4e7d-8f90-a1b2c3d4e5f6";

/// The kind of dialogue.
pub enum Doing {
    /// Checks the connection.
    Examine(CheckMode),
    /// Fetches the object that this fetch request names.
    Complete(String),
}

/// The parsed first line of an input.
pub struct Task {
    /// The platform whose API is called.
    pub platform: &'static dyn WebhookPlatform,
    /// The connection.
    pub subject: ConnectionContext,
    /// The kind of dialogue.
    pub doing: Doing,
    /// `true` if the store repeats its responses after the last one. Otherwise all further requests time out.
    pub cycles: bool,
}

impl Task {
    /// Parses `KIND examine INTENT` or `KIND complete WORD`, optionally followed by the store's URL and `cycle`.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (kind, verb, what) = (words.next()?, words.next()?, words.next()?);
        let doing = match (verb, what) {
            ("examine", "check") => Doing::Examine(CheckMode::Check),
            ("examine", "fix") => Doing::Examine(CheckMode::Fix),
            ("examine", "remove") => Doing::Examine(CheckMode::Remove),
            ("complete", word) => Doing::Complete(word.to_owned()),
            _ => return None,
        };
        let (mut typed, mut cycles) = ("https://shop.example", false);
        for word in words {
            if word == "cycle" {
                cycles = true
            } else {
                typed = word
            }
        }
        let (platform, subject) = subject(kind, typed)?;
        Some(Self {
            platform,
            subject,
            doing,
            cycles,
        })
    }
}

/// A connection of this kind with all its secrets. `typed` is the URL of the store.
fn subject(kind: &str, typed: &str) -> Option<(&'static dyn WebhookPlatform, ConnectionContext)> {
    let id = |id: &str| ConnectionId::new(id).expect("the connection id should be valid");
    let empty = |name: &str| ConnectionContext {
        id: id(name),
        kind: kind.to_owned(),
        settings: BTreeMap::new(),
        secrets: BTreeMap::new(),
        delivery_url: Some(format!("https://hooks.example/webhooks/{name}")),
        parent: None,
        installations: Vec::new(),
    };
    let app = || ConnectionContext {
        kind: "wix-app".to_owned(),
        settings: owned(&[("app_id", APP)]),
        secrets: owned(&[("app-secret", APP_SECRET)]),
        installations: vec![id(INSTANCE), id(OTHER_INSTANCE)],
        ..empty("app")
    };
    let subject = match kind {
        "woocommerce" => {
            let field = connection_kind(kind)?
                .1
                .fields
                .iter()
                .find(|field| field.name == "url")?;
            let url = (field.check)(typed).ok()?;
            let secrets = [
                ("consumer-key", CONSUMER_KEY),
                ("consumer-secret", CONSUMER_SECRET),
                ("webhook-secret", WEBHOOK_SECRET),
            ];
            ConnectionContext {
                settings: owned(&[("url", &url)]),
                secrets: owned(&secrets),
                ..empty("shop")
            }
        }
        "wix-app" => app(),
        "instance" => ConnectionContext {
            parent: Some(Box::new(app())),
            ..empty(INSTANCE)
        },
        "wix-site" => {
            let settings = owned(&[("site_id", SITE), ("account_id", ACCOUNT)]);
            ConnectionContext {
                settings,
                secrets: owned(&[("api-key", API_KEY)]),
                ..empty("site")
            }
        }
        _ => return None,
    };
    let platform = cartwire::platforms::platform(if kind == "woocommerce" { kind } else { "wix" })?;
    Some((platform, subject))
}

fn owned<T: From<String>>(pairs: &[(&str, &str)]) -> BTreeMap<String, T> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into()))
        .collect()
}

/// A store that sends the input's responses in order, whatever the request is.
pub struct Store<'a> {
    input: &'a [u8],
    answers: Vec<CallResult>,
    given: usize,
    cycles: bool,
}

impl<'a> Store<'a> {
    /// Parses the chunks after the first line of an input.
    #[must_use]
    pub fn read(input: &'a [u8], cycles: bool) -> Self {
        let mut chunks: Vec<Vec<u8>> = Vec::new();
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            match chunks.last_mut() {
                _ if line == b"--\n" => chunks.push(Vec::new()),
                Some(chunk) => chunk.extend_from_slice(line),
                None => {}
            }
        }
        let answers = chunks.iter().filter_map(|chunk| answer(chunk)).collect();
        Self {
            input,
            answers,
            given: 0,
            cycles,
        }
    }

    fn answer(&mut self) -> CallResult {
        if self.cycles && self.given == self.answers.len() {
            self.given = 0;
        }
        let answer = self
            .answers
            .get(self.given)
            .cloned()
            .unwrap_or(Err(CallFailure::TimedOut));
        self.given += 1;
        answer
    }

    /// `true` if the input itself contains the secret. Such a secret is not hidden from the store.
    fn says(&self, secret: &str) -> bool {
        self.input
            .windows(secret.len())
            .any(|window| window == secret.as_bytes())
    }
}

/// Parses a response or the name of a failure. Returns `None` for a response that no HTTP client would accept.
fn answer(chunk: &[u8]) -> Option<CallResult> {
    let chunk = chunk.strip_suffix(b"\n").unwrap_or(chunk);
    let chunk = if chunk.windows(2).any(|pair| pair == b"\n\n") {
        chunk.to_vec()
    } else {
        [chunk, b"\n\n"].concat()
    };
    let first = chunk
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let first = std::str::from_utf8(first).ok()?.trim();
    let (word, status) = first.rsplit_once(' ').unwrap_or(("", first));
    let whole = || {
        let status = status
            .parse()
            .ok()
            .filter(|status| (200..600).contains(status))?;
        let request = Request::read(&chunk);
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = request
            .headers
            .into_iter()
            .map(|(name, value)| (name, text(value)))
            .collect();
        Some(StoreResponse {
            status,
            headers,
            body: Bytes::copy_from_slice(request.body),
            received_at: now(),
        })
    };
    Some(Err(match first {
        "address_invalid" => CallFailure::AddressInvalid,
        "address_refused" => CallFailure::AddressRefused("10.0.0.1".to_owned()),
        "host_unknown" => CallFailure::HostUnknown,
        "unreachable" => CallFailure::Unreachable,
        "tls_failed" => CallFailure::Tls(TlsFault::Expired),
        "timed_out" => CallFailure::TimedOut,
        "cut_off" => CallFailure::CutOff,
        "too_large" => CallFailure::TooLarge,
        "rate_limited" => CallFailure::RateLimited(Duration::from_secs(60)),
        _ if word == "token_refused" => CallFailure::TokenRefused(whole()?),
        _ => return whole().map(Ok),
    }))
}

fn api(task: &Task) -> &dyn StoreApi {
    task.platform
        .api()
        .expect("both platforms should have an API")
}

/// Executes the task, and asserts the invariants of the dialogue and its result.
///
/// # Panics
/// If an invariant is violated.
pub fn assert_talks_well(task: &Task, store: &mut Store<'_>) {
    match &task.doing {
        Doing::Examine(mode) => {
            let mut subject = task.subject.clone();
            let report = conversation(task, store, |dialogue| {
                api(task).check(&subject, *mode, dialogue)
            });
            assert_shown_well(&report, store);
            // The second check uses the settings of the first one, like every check of a connection after the first.
            subject.settings.extend(report.settings);
            let report = conversation(task, store, |dialogue| {
                api(task).check(&subject, *mode, dialogue)
            });
            assert_shown_well(&report, store);
        }
        Doing::Complete(word) => {
            let Some(deliveries) = THIN.get(&(task.platform.name(), word.clone())) else {
                return;
            };
            let reported = conversation(task, store, |dialogue| {
                api(task).fetch(word, &task.subject, dialogue)
            });
            match reported {
                Fetched::Done(Enrichment::Complete(body)) => deliveries
                    .iter()
                    .for_each(|delivery| assert_completed_well(delivery, &body)),
                Fetched::Done(Enrichment::Contradicted(reason))
                | Fetched::Done(Enrichment::Unavailable(reason)) => {
                    assert!(reason.code().is_some())
                }
                Fetched::Done(Enrichment::NotFound) => {}
                Fetched::Retry {
                    reason: _,
                    after: pause,
                } => {
                    assert!(
                        pause.unwrap_or_default() <= LONGEST_PAUSE,
                        "the retry wait is too long to add to a clock: {pause:?}"
                    );
                }
            }
        }
    }
}

/// Runs a dialogue to its end, and asserts that it ends and that equal responses give an equal result.
fn conversation<T: PartialEq + Debug>(
    task: &Task,
    store: &mut Store<'_>,
    talk: impl Fn(&mut Dialogue<'_>) -> Result<T, Unanswered>,
) -> T {
    let mut answers = Vec::new();
    loop {
        match talk(&mut Dialogue::new(&answers)) {
            Ok(reported) => {
                let again = talk(&mut Dialogue::new(&answers))
                    .expect("a finished dialogue should not send another request");
                assert_eq!(
                    reported, again,
                    "the same responses should give the same result"
                );
                return reported;
            }
            Err(Unanswered(request)) => {
                assert!(
                    answers.len() < MOST_QUESTIONS,
                    "more than {MOST_QUESTIONS} requests; the next is {request:?}"
                );
                assert_asked_well(task, &request, store);
                let answer = store.answer();
                if let (Auth::Token(grant), Ok(answer)) = (&request.auth, &answer) {
                    let lifetime = (grant.read)(answer)
                        .map(|token| token.lifetime)
                        .unwrap_or_default();
                    assert!(
                        lifetime <= LONGEST_PAUSE,
                        "the token lifetime is too long to add to a clock: {lifetime:?}"
                    );
                }
                answers.push(answer);
            }
        }
    }
}

/// Asserts that a request goes only to the owner of its credentials, and that only its authorization contains them.
fn assert_asked_well(task: &Task, request: &ApiRequest, store: &Store<'_>) {
    assert_no_secret(&request.url, store);
    request
        .headers
        .iter()
        .for_each(|(_, value)| assert_no_secret(value, store));
    assert_no_secret(&format!("{request:?}"), store);
    let url = called(&request.url);
    if let Some(typed) = task.subject.settings.get("url") {
        assert_is_the_store_s(&url, &called(typed));
        let is_open = matches!(request.auth, Auth::Header(..));
        assert!(
            !is_open || url.scheme() == "https",
            "credentials would be sent without TLS to {url}"
        );
    } else {
        assert_is_the_platform_s(&url);
        assert_eq!(
            url.as_str(),
            request.url,
            "the URL should not need normalization"
        );
        if let Auth::Token(grant) = &request.auth {
            assert_is_the_platform_s(&called(&grant.request.url));
            assert_no_secret(&grant.request.url, store);
            assert_no_secret(&grant.holder, store);
        }
    }
}

/// Parses a URL as the HTTP client does. The client sends no fragment, so a URL must have none. User information before
/// the host would be credentials.
fn called(url: &str) -> Url {
    let url = Url::parse(url).unwrap_or_else(|error| panic!("{url} is not a valid URL: {error}"));
    assert!(
        matches!(url.scheme(), "http" | "https"),
        "{url} is not an HTTP URL"
    );
    assert!(
        url.username().is_empty() && url.password().is_none(),
        "{url} contains credentials"
    );
    assert_eq!(url.fragment(), None, "{url} has a fragment");
    url
}

/// Asserts that the URL has the host that the operator entered, with or without `www.`, and the same port or the
/// default port of the scheme. `https` must not become `http`.
fn assert_is_the_store_s(url: &Url, typed: &Url) {
    let host = |url: &Url| {
        let host = url.host_str().unwrap_or_default().to_owned();
        host.strip_prefix("www.").map(str::to_owned).unwrap_or(host)
    };
    assert_eq!(
        host(url),
        host(typed),
        "{url} has another host than {typed}"
    );
    assert_eq!(
        url.port(),
        typed.port(),
        "{url} has another port than {typed}"
    );
    assert!(
        typed.scheme() == "http" || url.scheme() == "https",
        "{url} is not encrypted, but {typed} is"
    );
}

fn assert_is_the_platform_s(url: &Url) {
    assert_eq!(
        (url.scheme(), url.host_str(), url.port()),
        ("https", Some("www.wixapis.com"), None),
        "{url} is not a URL of the platform's API"
    );
}

/// Asserts that the texts for the operator are printable, short enough and without secrets.
fn assert_shown_well(report: &CheckReport, store: &Store<'_>) {
    let findings = report
        .findings
        .iter()
        .flat_map(|finding| [finding.code.as_str(), &finding.cause, &finding.remedy]);
    let good = report.good.iter().chain(&report.done).map(String::as_str);
    let texts = findings.chain(good).map(|text| (text, LONGEST_TEXT));
    let settings = report
        .settings
        .values()
        .map(|value| (value.as_str(), LONGEST_SETTING));
    for (text, longest) in texts.chain(settings) {
        assert_no_secret(text, store);
        assert!(
            !text.contains(char::is_control),
            "{text:?} contains control characters"
        );
        assert!(
            text.len() <= longest,
            "a text of {} bytes is too long: {}",
            text.len(),
            text.get(..200).unwrap_or(text)
        );
    }
    let weights: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.severity)
        .collect();
    assert!(
        weights.is_sorted(),
        "findings should be sorted by severity: {weights:?}"
    );
}

fn assert_no_secret(text: &str, store: &Store<'_>) {
    static SECRETS: LazyLock<[String; 6]> = LazyLock::new(|| {
        let basic = STANDARD.encode(format!("{CONSUMER_KEY}:{CONSUMER_SECRET}"));
        let [key, secret, webhook, app, api] = [
            CONSUMER_KEY,
            CONSUMER_SECRET,
            WEBHOOK_SECRET,
            APP_SECRET,
            API_KEY,
        ]
        .map(str::to_owned);
        [basic, key, secret, webhook, app, api]
    });
    let shown = SECRETS
        .iter()
        .find(|secret| text.contains(secret.as_str()) && !store.says(secret));
    assert_eq!(shown, None, "{text:?} contains a secret");
}

/// The fixtures' deliveries that need enrichment, by platform and fetch request.
pub static THIN: LazyLock<BTreeMap<(&'static str, String), Vec<VerifiedDelivery>>> =
    LazyLock::new(|| {
        let mut thin: BTreeMap<_, Vec<VerifiedDelivery>> = BTreeMap::new();
        for fixture in fixtures() {
            let Fixture::Case(case) = fixture else {
                continue;
            };
            let sender = Sender::new(case.platform.name());
            let unsigned = Unsigned {
                topic: &case.topic,
                payload: &case.payload,
                nonce: 1,
                options: &case.options,
            };
            let Ok(signed) = sender.platform.sign(&unsigned, &sender.signing_key, now()) else {
                continue;
            };
            let headers = signed
                .headers
                .iter()
                .map(|(name, value)| (name.to_lowercase(), value.as_bytes()))
                .collect();
            let Some(delivery) = sender.prove(&Request {
                headers,
                body: &signed.body,
            }) else {
                continue;
            };
            let journaled = delivery.to_journaled();
            let Normalized::Events {
                normalized_events, ..
            } = sender.platform.normalize(&journaled)
            else {
                continue;
            };
            let Some(api) = sender.platform.api() else {
                continue;
            };
            let Some(word) = api.fetch_request(&journaled, &normalized_events) else {
                continue;
            };
            thin.entry((case.platform.name(), word))
                .or_default()
                .push(delivery);
        }
        thin
    });

/// All fixtures of the project.
pub fn fixtures() -> Vec<Fixture> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");
    cartwire::replay::fixture::read(std::path::Path::new(folder))
        .expect("the fixtures should be readable")
}
