//! Rules about the source that no compiler checks: imports between modules, the modules that may use a crate, pure
//! platforms, sizes, names and words.
//!
//! A small lexer removes comments, strings and test modules, and most rules search for words in the rest. The rules about
//! sizes and imports read the syntax tree. Rules of `cargo clippy` and of the type system are not repeated here.

mod circles;
mod documents;
mod shape;
mod source;
mod test_programs;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use cartwire::platforms::PLATFORMS;

use source::{Source, all_sources, lies_in, sources, without_comments};

/// The rooms from the ground up. One may import those before it and none after it. Those that are not there yet have their
/// place already.
const ROOMS: &[&str] = &[
    "backoff",
    "delivery",
    "event",
    "telemetry",
    "report",
    "platforms",
    "entities",
    "outbound",
    "database",
    "connections",
    "journal",
    "publisher",
    "receiver",
    "normalize",
    "relay",
    "monitor",
    "reconcile",
    "replay",
    "admin",
    "config",
    "app",
    "cli",
    "lib",
    "main",
];

/// Where each crate lives: files, and folders that end in a slash. Each place must be needed.
const HOMES: &[(&str, &[&str])] = &[
    ("rusqlite", &["database/", "connections/", "journal/"]),
    (
        "lapin",
        &[
            "publisher/channel.rs",
            "publisher/declare.rs",
            "publisher/exchange.rs",
            "publisher/inspect.rs",
            "publisher/keeper.rs",
            "publisher/live.rs",
            "publisher/session.rs",
            "publisher/supervisor.rs",
        ],
    ),
    ("actix_web", &["receiver/", "admin/", "app/"]),
    ("actix_http", &["app/listen.rs"]),
    ("actix_service", &["app/listen.rs"]),
    ("tokio_rustls", &["app/wire.rs"]),
    ("reqwest", &["outbound/", "replay/"]),
    ("clap", &["config/args.rs", "cli/", "main.rs"]),
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
        "these belong to no room of tests/tidy/main.rs: give the room its place in the order",
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
        "a room imports only rooms before it in the order of tests/tidy/main.rs:",
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
                    "{place} needs {name} no more: take it out of tests/tidy/main.rs"
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
        if ["platforms/mod.rs", "platforms/registry.rs"].contains(&source.path.as_str()) {
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

/// What is left of the old house. Each number may only fall; where it can, lower it.
mod left {
    /// Functions and tuples over the bounds of `shape`.
    pub(crate) const SHAPES: usize = 28;
    /// Names of public types that stand twice.
    pub(crate) const REPEATED_TYPES: usize = 0;
    /// Groups of files that import each other.
    pub(crate) const CIRCLES: usize = 0;
    /// Banned words in `src` and in the documents.
    pub(crate) const BANNED_WORDS: usize = 0;
}

fn assert_at_most(left: usize, found: &[String], rule: &str) {
    assert!(
        found.len() <= left,
        "{rule}: {} instead of at most {left}\n  {}",
        found.len(),
        found.join("\n  ")
    );
}

#[test]
fn functions_and_tuples_stay_small() {
    let shapes = all_sources();
    let findings: Vec<String> = shapes
        .iter()
        .flat_map(|source| shape::Shape::of(source).findings)
        .collect();
    assert_at_most(
        left::SHAPES,
        &findings,
        "functions and tuples over their bounds",
    );
}

#[test]
fn no_two_public_types_share_a_name() {
    let shapes: Vec<shape::Shape> = sources().iter().map(shape::Shape::of).collect();
    let repeated = shape::repeated_types(&shapes);
    assert_at_most(left::REPEATED_TYPES, &repeated, "public types of one name");
}

#[test]
fn no_file_is_in_an_import_circle() {
    let circles = circles::circles(&circles::imports(&sources()));
    let circles: Vec<String> = circles.iter().map(|circle| circle.join(" ~ ")).collect();
    assert_at_most(
        left::CIRCLES,
        &circles,
        "groups of files that import each other",
    );
}

#[test]
fn no_banned_word_is_written() {
    let sources = all_sources();
    let sources = sources
        .iter()
        .map(|source| (source.path.clone(), source.text.clone()));
    let found: Vec<String> = sources
        .chain(words::documents())
        .flat_map(|(path, text)| words::banned(&path, &text))
        .collect();
    assert_at_most(left::BANNED_WORDS, &found, "banned words");
}
