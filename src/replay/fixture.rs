//! Reads fixtures: unsigned payloads and recorded deliveries, each with its expected events.
//!
//! `fixtures/README.md` describes the format. This file neither signs nor sends fixtures.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::platforms::{WebhookPlatform, platform};

/// Some of the project's fixtures, embedded in the binary for the demo, and the test keys.
#[derive(rust_embed::RustEmbed)]
#[folder = "fixtures/"]
#[include = "*/*/v3/*"]
#[include = "*/*/entity/*"]
#[include = "*/*/price/*"]
#[include = "*/*/paid/*"]
#[include = "*/*/two_variants/*"]
#[include = "*/App*/plain/*"]
#[include = "recorded/*/16*"]
#[include = "keys/*"]
struct Embedded;

#[derive(Debug)]
pub enum Fixture {
    /// An unsigned payload. It is signed when it is sent.
    Case(Case),
    /// A delivery of a real shop with its original signature.
    Recorded(Recorded),
}

impl Fixture {
    /// The platform that sends it.
    #[must_use]
    pub fn platform(&self) -> &'static dyn WebhookPlatform {
        match self {
            Fixture::Case(case) => case.platform,
            Fixture::Recorded(recorded) => recorded.platform,
        }
    }

    /// The path for messages.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Fixture::Case(case) => &case.path,
            Fixture::Recorded(recorded) => &recorded.path,
        }
    }
}

/// An unsigned payload with its expected result.
pub struct Case {
    /// The platform that sends it.
    pub platform: &'static dyn WebhookPlatform,
    /// The platform's event type.
    pub topic: String,
    /// The folder, for messages.
    pub path: String,
    /// The purpose of the fixture in one sentence.
    pub shows: String,
    /// The payload, unchanged.
    pub payload: Vec<u8>,
    /// Further values that the platform's `sign` needs.
    pub options: BTreeMap<String, String>,
    /// The expected result. `None` for an exported fixture that has not been reviewed.
    pub expected: Option<Expected>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A delivery of a real shop.
pub struct Recorded {
    /// The platform that sent it.
    pub platform: &'static dyn WebhookPlatform,
    /// The file, for messages.
    pub path: String,
    /// The purpose of the fixture in one sentence.
    pub shows: String,
    /// The original headers, with the original case of their names.
    pub headers: Vec<(String, String)>,
    /// The original body.
    pub body: Bytes,
    /// The key that signed the delivery, as configured in the shop. `None` if the delivery has no signature.
    pub key: Option<String>,
    /// The expected result.
    pub expected: Option<Expected>,
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The expected result of a fixture.
#[derive(Clone, Debug, PartialEq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// `events`, `ignored`, `unreadable` or `ping`.
    pub outcome: String,
    /// Reason code; only for `ignored` and `unreadable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The events with type, subject, authority, and data without `raw`. With `time` if the payload contains it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Value>,
}

/// Why a fixture could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    /// The file or folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        path: String,
        source: std::io::Error,
    },
    /// The file is not in the format of `fixtures/README.md`.
    #[error("{path}: {what}")]
    Format { path: String, what: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    shows: String,
    #[serde(default)]
    options: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RecordedFile {
    headers: Vec<(String, String)>,
    body: String,
    #[serde(default)]
    signing_key: Option<String>,
    #[serde(default)]
    secret_in_shop: Option<String>,
    #[serde(default)]
    shows: String,
}

/// The embedded fixtures, cases before recordings.
///
/// # Errors
/// [`FixtureError`] if a fixture is invalid. The golden tests ensure that none is.
pub fn embedded() -> Result<Vec<Fixture>, FixtureError> {
    let files = Embedded::iter()
        .filter_map(|path| {
            Embedded::get(&path).map(|file| (path.into_owned(), file.data.into_owned()))
        })
        .collect();
    parse(&files)
}

/// A key of the embedded fixtures; `name` is `signing` or `verification`. The keys are public, so only for tests.
#[must_use]
pub fn test_key(platform: &dyn WebhookPlatform, name: &str) -> Option<String> {
    let file = Embedded::get(&format!("keys/{}/{name}.key", platform.name()))?;
    String::from_utf8(file.data.into_owned()).ok()
}

/// Reads the fixtures below a folder, or the fixture in a file.
///
/// # Errors
/// [`FixtureError`] if a file cannot be read, or if there is no fixture.
pub fn read(path: &Path) -> Result<Vec<Fixture>, FixtureError> {
    // A relative path may begin inside the folder of a platform, and `parse` needs the platform's name.
    let full = path.canonicalize().map_err(|source| FixtureError::Read {
        path: path.display().to_string(),
        source,
    })?;
    let mut files = BTreeMap::new();
    collect(&full, &mut files)?;
    let fixtures = parse(&files)?;
    if fixtures.is_empty() {
        return Err(FixtureError::Format {
            path: path.display().to_string(),
            what: "no fixture found; a fixture is a folder PLATFORM/TOPIC/CASE with payload.json and case.toml, or a file below recorded/PLATFORM".to_owned(),
        });
    }
    Ok(fixtures)
}

fn collect(path: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> Result<(), FixtureError> {
    let unreadable = |source| FixtureError::Read {
        path: path.display().to_string(),
        source,
    };
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            collect(&entry.map_err(unreadable)?.path(), files)?;
        }
    } else {
        files.insert(
            path.display().to_string(),
            std::fs::read(path).map_err(unreadable)?,
        );
    }
    Ok(())
}

/// Parses the fixtures among files. The keys are absolute paths.
///
/// # Errors
/// [`FixtureError`] if a fixture is invalid.
pub fn parse(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<Fixture>, FixtureError> {
    let mut cases = Vec::new();
    let mut recordings = Vec::new();
    for (path, bytes) in files {
        let segments: Vec<&str> = path.split('/').collect();
        match segments[..] {
            [.., platform, topic, _, "payload.json"] => {
                cases.push(Fixture::Case(case(files, path, platform, topic, bytes)?));
            }
            [.., "recorded", platform, file]
                if file.ends_with(".json") && !file.ends_with(".expected.json") =>
            {
                recordings.push(Fixture::Recorded(recorded(files, path, platform, bytes)?));
            }
            _ => {}
        }
    }
    cases.append(&mut recordings);
    Ok(cases)
}

fn known_platform(path: &str, name: &str) -> Result<&'static dyn WebhookPlatform, FixtureError> {
    platform(name).ok_or_else(|| FixtureError::Format {
        path: path.to_owned(),
        what: format!("{name:?} is not a platform"),
    })
}

fn case(
    files: &BTreeMap<String, Vec<u8>>,
    path: &str,
    platform: &str,
    topic: &str,
    payload: &[u8],
) -> Result<Case, FixtureError> {
    let folder = path.trim_end_matches("payload.json");
    let format = |what: String| FixtureError::Format {
        path: folder.to_owned(),
        what,
    };
    let about = files
        .get(&format!("{folder}case.toml"))
        .ok_or_else(|| format("case.toml is missing".to_owned()))?;
    let about =
        std::str::from_utf8(about).map_err(|_| format("case.toml is not UTF-8".to_owned()))?;
    let about: CaseFile =
        toml::from_str(about).map_err(|e| format(format!("case.toml: {}", e.message())))?;
    Ok(Case {
        platform: known_platform(path, platform)?,
        topic: topic.to_owned(),
        path: folder.trim_end_matches('/').to_owned(),
        shows: about.shows,
        payload: payload.to_vec(),
        options: about.options,
        expected: expected(files, &format!("{folder}expected.json"))?,
    })
}

fn recorded(
    files: &BTreeMap<String, Vec<u8>>,
    path: &str,
    platform: &str,
    bytes: &[u8],
) -> Result<Recorded, FixtureError> {
    let file: RecordedFile = serde_json::from_slice(bytes).map_err(|e| FixtureError::Format {
        path: path.to_owned(),
        what: format!("not a recorded delivery: {e}"),
    })?;
    Ok(Recorded {
        platform: known_platform(path, platform)?,
        path: path.to_owned(),
        shows: file.shows,
        headers: file.headers,
        body: Bytes::from(file.body),
        key: file.signing_key.and(file.secret_in_shop),
        expected: expected(
            files,
            &format!("{}.expected.json", path.trim_end_matches(".json")),
        )?,
    })
}

fn expected(
    files: &BTreeMap<String, Vec<u8>>,
    path: &str,
) -> Result<Option<Expected>, FixtureError> {
    files
        .get(path)
        .map(|bytes| {
            serde_json::from_slice(bytes).map_err(|e| FixtureError::Format {
                path: path.to_owned(),
                what: format!("not an expected result: {e}"),
            })
        })
        .transpose()
}
