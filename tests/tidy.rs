//! The house rules that a compiler does not know, held by reading `src` as text: who imports whom, which crate lives where,
//! what stays out of the platforms.
//!
//! It is no parser: comments, strings and test modules are cut out by a small lexer, and words are looked for in the rest.
//! What `cargo clippy` or the type system already refuses is not repeated here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cartwire::platforms::PLATFORMS;

/// The rooms from the ground up. One may import those before it and none after it. Those that are not there yet have their
/// place already.
const ROOMS: &[&str] = &[
    "delivery",
    "event",
    "report",
    "platforms",
    "sqlite",
    "connections",
    "journal",
    "entities",
    "outbound",
    "publisher",
    "receiver",
    "normalize",
    "relay",
    "monitor",
    "reconcile",
    "replay",
    "admin",
    "telemetry",
    "config",
    "app",
    "cli",
    "lib",
    "main",
];

/// Where each crate lives: files, and folders that end in a slash. Each place must be needed.
const HOMES: &[(&str, &[&str])] = &[
    (
        "rusqlite",
        &[
            "sqlite.rs",
            "connections/store.rs",
            "connections/directory.rs",
            "journal/",
            "outbound/subject.rs",
            "cli/exit.rs",
        ],
    ),
    (
        "lapin",
        &[
            "publisher/rabbitmq.rs",
            "publisher/session.rs",
            "publisher/topology.rs",
        ],
    ),
    ("actix_web", &["receiver/", "admin/", "app.rs", "app/"]),
    ("actix_http", &["app/listen.rs"]),
    ("actix_service", &["app/listen.rs"]),
    ("tokio_rustls", &["app/wire.rs"]),
    ("reqwest", &["outbound/", "replay/"]),
    ("clap", &["config.rs", "cli/", "main.rs"]),
    ("jsonwebtoken", &["platforms/"]),
];

/// What has no place in a pure function.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::net::ToSocketAddrs",
    "std::env",
    "std::process",
    "std::thread",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "tokio",
    "actix_web",
    "reqwest",
    "rusqlite",
    "lapin",
    "tracing",
    "metrics",
    "getrandom",
    "Timestamp::now",
    "Zoned::now",
    "SystemTime",
    "Instant",
    "async fn",
    "async move",
    ".await",
    "println!",
    "eprintln!",
];

/// Longer files are two files.
const WALL: usize = 600;

/// A source file.
struct Source {
    /// Below `src`, with slashes.
    path: String,
    /// As it is.
    text: String,
    /// Without comments and test modules.
    code: String,
    /// And without the insides of strings and character literals.
    words: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let (code, words) = without_comments(text);
        let (code, words) = without_tests(&code, &words);
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            words,
        }
    }

    /// The room it belongs to.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How deep its module lies below the root.
    fn depth(&self) -> usize {
        self.path.split('/').count() - usize::from(self.path.ends_with("/mod.rs"))
    }

    /// Does it hold tests only?
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs")
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| lies_in(&self.path, place))
    }
}

fn lies_in(path: &str, place: &str) -> bool {
    path == place || (place.ends_with('/') && path.starts_with(place))
}

/// Everything below `src` that is no test file.
fn sources() -> Vec<Source> {
    all_sources()
        .into_iter()
        .filter(|source| !source.is_test())
        .collect()
}

fn all_sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = BTreeSet::new();
    collect(&root, &mut paths);
    let sources: Vec<Source> = paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(root.join(path)).expect("a source file is UTF-8");
            Source::new(path, &text)
        })
        .collect();
    assert!(sources.len() > 50, "src was found");
    sources
}

fn collect(folder: &Path, paths: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("src can be listed") {
        let path = entry.expect("src can be listed").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
            let below = path.strip_prefix(root).expect("below src");
            paths.insert(below.to_string_lossy().replace('\\', "/"));
        }
    }
}

/// Blanks comments (first result), and the insides of literals as well (second result). Both keep every byte's place.
fn without_comments(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let (mut code, mut words) = (bytes.to_vec(), bytes.to_vec());
    let blank = |out: &mut Vec<u8>, from: usize, to: usize| {
        out[from..to]
            .iter_mut()
            .filter(|byte| **byte != b'\n')
            .for_each(|byte| *byte = b' ');
    };
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let before = at.checked_sub(1).map(|before| bytes[before]);
        let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if rest.starts_with(b"//") {
            let end = at
                + rest
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .unwrap_or(rest.len());
            blank(&mut code, at, end);
            blank(&mut words, at, end);
            at = end;
        } else if rest.starts_with(b"/*") {
            let end = at + text[at..].find("*/").map_or(rest.len(), |end| end + 2);
            blank(&mut code, at, end);
            blank(&mut words, at, end);
            at = end;
        } else if let Some(hashes) = raw_string(rest).filter(|_| !in_word || before == Some(b'b')) {
            let open = at + 2 + hashes;
            let close = format!("\"{}", "#".repeat(hashes));
            let end = open + text[open..].find(&close).expect("a raw string ends");
            blank(&mut words, open, end);
            at = end + close.len();
        } else if rest[0] == b'"' {
            let mut end = at + 1;
            while bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            blank(&mut words, at + 1, end);
            at = end + 1;
        } else if rest[0] == b'\'' {
            // A character, or a lifetime.
            let end = match rest.get(1) {
                Some(b'\\') => rest[3..]
                    .iter()
                    .position(|byte| *byte == b'\'')
                    .map(|end| at + 3 + end),
                _ => text[at + 1..]
                    .chars()
                    .next()
                    .map(|c| at + 1 + c.len_utf8())
                    .filter(|end| bytes.get(*end) == Some(&b'\'')),
            };
            if let Some(end) = end {
                blank(&mut words, at + 1, end);
                at = end + 1;
            } else {
                at += 1;
            }
        } else {
            at += 1;
        }
    }
    let text = |bytes| String::from_utf8(bytes).expect("only whole characters are blanked");
    (text(code), text(words))
}

/// The number of hashes of a raw string that begins here.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest
        .strip_prefix(b"r")?
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    (rest.get(1 + hashes) == Some(&b'"')).then_some(hashes)
}

/// Cuts out what stands below `#[cfg(test)]`.
fn without_tests(code: &str, words: &str) -> (String, String) {
    const TEST: &str = "#[cfg(test)]";
    let (mut kept_code, mut kept_words) = (String::new(), String::new());
    let mut at = 0;
    while let Some(found) = words[at..].find(TEST) {
        let start = at + found;
        kept_code.push_str(&code[at..start]);
        kept_words.push_str(&words[at..start]);
        let mut depth = 0;
        let end = words[start..].char_indices().find(|(_, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(c, '}' | ';')
        });
        at = end.map_or(words.len(), |(end, _)| start + end + 1);
    }
    kept_code.push_str(&code[at..]);
    kept_words.push_str(&words[at..]);
    (kept_code, kept_words)
}

/// The rooms that a text names by `crate::room` or `crate::{room, …}`.
fn named_rooms(words: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in words.match_indices("crate::") {
        if words[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &words[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => drop(rooms.insert(word(rest).to_owned())),
            Some(group) => {
                let mut depth = 1;
                let mut start = true;
                for (index, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 1 => start = true,
                        _ if start && !c.is_whitespace() => {
                            rooms.insert(word(&group[index..]).to_owned());
                            start = false;
                        }
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    rooms
}

fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .unwrap_or_default()
}

/// Where a crate's or module's name stands as a whole word.
fn has_word(text: &str, wanted: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(wanted).any(|(at, _)| {
        let after = &text[at + wanted.len()..];
        let starts = !wanted.starts_with(is_part) || !text[..at].ends_with(is_part);
        let ends = !wanted.ends_with(|c: char| c.is_lowercase()) || !after.starts_with(is_part);
        starts && ends
    })
}

/// The longest run of `super::` in a text.
fn longest_climb(words: &str) -> usize {
    let mut longest = 0;
    let mut rest = words;
    while let Some(at) = rest.find("super::") {
        rest = &rest[at..];
        let mut climb = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            climb += 1;
            rest = next;
        }
        longest = longest.max(climb);
    }
    longest
}

fn assert_none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}\n  {}", found.join("\n  "));
}

#[test]
fn every_room_has_its_place_in_the_order() {
    let unknown: Vec<String> = all_sources()
        .iter()
        .filter(|source| !ROOMS.contains(&source.room()))
        .map(|source| source.path.clone())
        .collect();
    assert_none(
        &unknown,
        "these belong to no room of tests/tidy.rs: give the room its place in the order",
    );
}

#[test]
fn no_room_imports_a_room_above_it() {
    let place = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut wrong = Vec::new();
    for source in sources() {
        let own = place(source.room()).expect("a known room");
        for named in named_rooms(&source.words) {
            match place(&named) {
                Some(other) if other <= own => {}
                Some(_) => wrong.push(format!(
                    "{} imports {named}, which is above it",
                    source.path
                )),
                None => wrong.push(format!(
                    "{} names crate::{named}, which is no room",
                    source.path
                )),
            }
        }
    }
    assert_none(
        &wrong,
        "a room imports only rooms before it in the order of tests/tidy.rs:",
    );
}

#[test]
fn no_path_climbs_out_of_its_room() {
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| source.path != "lib.rs" && source.path != "main.rs")
        .filter(|source| longest_climb(&source.words) >= source.depth())
        .map(|source| source.path.clone())
        .collect();
    assert_none(
        &wrong,
        "another room is named by crate::ROOM, so that the order can be held:",
    );
}

#[test]
fn receiver_and_relay_never_import_each_other() {
    let wrong: Vec<String> = all_sources()
        .iter()
        .filter(|source| {
            let other = match source.room() {
                "receiver" => "relay",
                "relay" => "receiver",
                _ => return false,
            };
            named_rooms(&without_comments(&source.text).1).contains(other)
        })
        .map(|source| source.path.clone())
        .collect();
    assert_none(&wrong, "receiver and relay meet in the journal only:");
}

#[test]
fn every_crate_lives_where_it_belongs_and_nowhere_else() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (name, places) in HOMES {
        let users: Vec<&Source> = sources
            .iter()
            .filter(|source| has_word(&source.words, name))
            .collect();
        wrong.extend(
            users
                .iter()
                .filter(|user| !user.is_in(places))
                .map(|user| format!("{} uses {name}", user.path)),
        );
        for place in *places {
            if !users.iter().any(|user| lies_in(&user.path, place)) {
                wrong.push(format!(
                    "{place} needs {name} no more: take it out of tests/tidy.rs"
                ));
            }
        }
    }
    assert_none(&wrong, "each crate has one home:");
}

#[test]
fn no_platform_is_named_outside_its_folder() {
    let mut wrong = Vec::new();
    for source in sources() {
        // The slice of platforms and the modules themselves.
        if source.path == "platforms/mod.rs" {
            continue;
        }
        let code = source.code.to_lowercase();
        for platform in PLATFORMS {
            let name = platform.name();
            if !lies_in(&source.path, &format!("platforms/{name}/")) && code.contains(name) {
                let line = code
                    .lines()
                    .position(|line| line.contains(name))
                    .map_or(0, |line| line + 1);
                wrong.push(format!("{} names {name} (about line {line})", source.path));
            }
        }
    }
    assert_none(
        &wrong,
        "a platform is one folder and one line in PLATFORMS:",
    );
}

#[test]
fn platforms_are_pure() {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| source.room() == "platforms")
    {
        for impure in IMPURE
            .iter()
            .filter(|impure| has_word(&source.words, impure))
        {
            wrong.push(format!("{} has {impure}", source.path));
        }
    }
    assert_none(
        &wrong,
        "no I/O, no async, no clock and no logging in platforms: `now` is an argument",
    );
}

#[test]
fn only_platforms_make_a_verified_delivery() {
    let wrong: Vec<String> = all_sources()
        .iter()
        .filter(|source| {
            source.room() != "platforms"
                && without_comments(&source.text)
                    .1
                    .contains("VerifiedDelivery::new")
        })
        .map(|source| source.path.clone())
        .collect();
    assert_none(
        &wrong,
        "a VerifiedDelivery is the proof that verify was called:",
    );
    let makers = sources()
        .iter()
        .filter(|source| source.words.contains("VerifiedDelivery::new"))
        .count();
    assert!(makers >= PLATFORMS.len(), "each platform makes its own");
}

/// What may be a secret, or proof of one, by its name.
const SECRETS: &[&str] = &[
    "signature",
    "tag",
    "mac",
    "token",
    "secret",
    "guess",
    "digest",
    "expose_secret",
];

/// The names that a line compares with `==` or `!=`: the last of each path, without calls.
fn compared(line: &str) -> Vec<&str> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let last = |path: &'_ str| path.rfind('.').map_or(0, |at| at + 1);
    let operators = line.match_indices("==").chain(line.match_indices("!="));
    let sides = operators.flat_map(|(at, _)| {
        let left = line[..at].trim_end().trim_end_matches("()");
        let left = &left[left.rfind(|c| !is_path(c)).map_or(0, |at| at + 1)..];
        let right = line[at + 2..].trim_start().trim_start_matches(['&', '*']);
        let right = &right[..right.find(|c| !is_path(c)).unwrap_or(right.len())];
        [&left[last(left)..], &right[last(right)..]]
    });
    sides.collect()
}

#[test]
fn no_signature_token_or_secret_is_compared_with_an_operator() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, line) in (1..).zip(source.words.lines()) {
            if compared(line).iter().any(|name| SECRETS.contains(name)) {
                wrong.push(format!("{} line {number}: {}", source.path, line.trim()));
            }
        }
    }
    assert_none(
        &wrong,
        "`==` ends at the first byte that differs, and its time tells where: Mac::verify_slice does not",
    );
}

#[test]
fn every_file_says_first_what_it_is() {
    let silent: Vec<String> = all_sources()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path.clone())
        .collect();
    assert_none(&silent, "every file opens with //!");
}

#[test]
fn no_file_is_longer_than_the_wall() {
    let long: Vec<String> = all_sources()
        .iter()
        .filter(|source| source.text.lines().count() > WALL)
        .map(|source| format!("{}: {} lines", source.path, source.text.lines().count()))
        .collect();
    assert_none(&long, "longer files are two files:");
}

#[test]
fn no_room_is_called_after_nothing() {
    let mut wrong = BTreeMap::new();
    for source in all_sources() {
        if [
            "error", "errors", "util", "utils", "common", "helpers", "misc",
        ]
        .contains(&source.room())
        {
            wrong.insert(source.room().to_owned(), source.path.clone());
        }
    }
    assert_none(
        &wrong.into_values().collect::<Vec<_>>(),
        "what everybody imports ties the rooms into a cycle:",
    );
}

#[test]
fn the_reader_of_these_rules_sees_what_it_must() {
    let source = Source::new(
        "journal/mod.rs",
        r####"
        // use crate::app::A;
        /* crate::app */
        use crate::delivery::{Topic, Key};
        use crate::{event::{Event, crateful}, report};
        const TEXT: &str = "crate::cli \" // no comment"; fn f<'a>(c: char) -> bool { c == '"' || c == '\'' }
        fn g() -> u8 { crate::sqlite::open(r#"crate::main "quoted" "#) }
        #[cfg(test)]
        mod tests { fn h() { crate::relay::x("}") } }
        fn after() { crate::platforms::y() }
        #[cfg(test)]
        mod elsewhere;
        fn last() { super::super::x() }
        "####,
    );
    let rooms: Vec<String> = named_rooms(&source.words).into_iter().collect();
    assert_eq!(
        rooms,
        ["delivery", "event", "platforms", "report", "sqlite"]
    );
    assert!(source.code.contains("// no comment") && !source.words.contains("no comment"));
    assert_eq!(
        (source.room(), source.depth(), longest_climb(&source.words)),
        ("journal", 1, 2)
    );
    assert_eq!(
        compared("if self.tag != *raw.signature && a.b.len() == secret.name"),
        ["len", "name", "tag", "signature"]
    );
    assert!(
        has_word("use tokio::x", "tokio")
            && !has_word("my_tokio::x", "tokio")
            && !has_word("metrics_of", "metrics")
    );
    assert!(has_word("let x = y.await;", ".await") && has_word("println!()", "println!"));
}
