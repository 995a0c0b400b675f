//! Reads fixtures: unsigned cases with what they must yield, and recorded deliveries, byte for byte.
//!
//! The format is described in `fixtures/README.md`. Nothing here signs or sends.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::platforms::{Platform, platform};

/// The project's own fixtures, inside the binary.
#[derive(rust_embed::RustEmbed)]
#[folder = "fixtures/"]
struct Embedded;

/// A fixture.
#[derive(Debug)]
pub enum Fixture {
    /// An unsigned payload, signed when it is sent.
    Case(Case),
    /// A delivery of a real shop with its own signature.
    Recorded(Recorded),
}

impl Fixture {
    /// The platform that sends it.
    #[must_use]
    pub fn platform(&self) -> &'static dyn Platform {
        match self {
            Fixture::Case(case) => case.platform,
            Fixture::Recorded(recorded) => recorded.platform,
        }
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Fixture::Case(case) => &case.path,
            Fixture::Recorded(recorded) => &recorded.path,
        }
    }
}

/// An unsigned payload and what it must yield.
pub struct Case {
    /// The platform that sends it.
    pub platform: &'static dyn Platform,
    /// The platform's event type.
    pub topic: String,
    /// Its folder, for messages.
    pub path: String,
    /// What it shows, in a sentence.
    pub shows: String,
    /// The payload, byte for byte.
    pub payload: Vec<u8>,
    /// What the platform's `sign` needs besides.
    pub options: BTreeMap<String, String>,
    /// What it must yield; absent in fixtures that were exported and not yet looked at.
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
    pub platform: &'static dyn Platform,
    /// Its file, for messages.
    pub path: String,
    /// What it shows, in a sentence.
    pub shows: String,
    /// The headers as they came, with names as sent.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Bytes,
    /// The key that signed it, as configured in the shop; absent where nothing was signed.
    pub key: Option<String>,
    /// What it must yield.
    pub expected: Option<Expected>,
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What a fixture must yield.
#[derive(Clone, Debug, PartialEq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// `events`, `ignored`, `unreadable` or `ping`.
    pub outcome: String,
    /// Of `ignored` and `unreadable`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The events: type, subject, authority, data without `raw`, and `time` where the payload tells it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Value>,
}

/// A fixture that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    /// The file or folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not in the format of `fixtures/README.md`.
    #[error("{path}: {what}")]
    Format {
        /// Which.
        path: String,
        /// What is wrong with it.
        what: String,
    },
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

/// The project's own fixtures, cases first.
///
/// # Errors
/// [`FixtureError`] where one is broken, which the golden tests would have shown.
pub fn embedded() -> Result<Vec<Fixture>, FixtureError> {
    let files = Embedded::iter()
        .filter_map(|path| {
            Embedded::get(&path).map(|file| (path.into_owned(), file.data.into_owned()))
        })
        .collect();
    parse(&files)
}

/// A key of the project's own fixtures: `signing` or `verification`. They are for tests and published with the source.
#[must_use]
pub fn test_key(platform: &dyn Platform, name: &str) -> Option<String> {
    let file = Embedded::get(&format!("keys/{}/{name}.key", platform.name()))?;
    String::from_utf8(file.data.into_owned()).ok()
}

/// The fixtures below a folder, or the one in a file.
///
/// # Errors
/// [`FixtureError`] where a file cannot be read or is no fixture.
pub fn read(path: &Path) -> Result<Vec<Fixture>, FixtureError> {
    // A path may begin inside the tree of fixtures, relative to where the command runs: complete it.
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
            what: "no fixture here; one is a folder PLATFORM/TOPIC/CASE with payload.json and case.toml, or a file below recorded/PLATFORM".to_owned(),
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

/// The fixtures among files, by their whole paths.
///
/// # Errors
/// [`FixtureError`] where one is broken.
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

fn known_platform(path: &str, name: &str) -> Result<&'static dyn Platform, FixtureError> {
    platform(name).ok_or_else(|| FixtureError::Format {
        path: path.to_owned(),
        what: format!("{name:?} is no platform"),
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
        std::str::from_utf8(about).map_err(|_| format("case.toml is no UTF-8".to_owned()))?;
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
        what: format!("no recorded delivery: {e}"),
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
                what: format!("not what is expected of a fixture: {e}"),
            })
        })
        .transpose()
}
