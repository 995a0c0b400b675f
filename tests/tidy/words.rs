//! Words that the style bans, in comments, documentation, help and messages.

use std::fs;
use std::path::Path;

/// Words that are never right, each with what to write in its place.
const BANNED: &[(&str, &str)] = &[
    ("anew", "again, or recreated"),
    ("whoever", "the caller, client or sender"),
    ("whom", "repeat the noun"),
    ("nobody", "no client, no operator"),
    ("somebody", "an operator, a client"),
    ("mend", "repair"),
    ("mends", "repairs"),
    ("mended", "repaired"),
    ("mending", "repair"),
    ("stranger", "a client, an attacker"),
    ("strangers", "clients, attackers"),
];

/// `file:line: word`, for each banned word in a text.
pub(crate) fn banned(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        for word in words {
            let lower = word.to_lowercase();
            if let Some((_, better)) = BANNED.iter().find(|(banned, _)| *banned == lower) {
                found.push(format!("{path}:{number}: {word} ({better})"));
            }
        }
    }
    found
}

/// The documents that people read, with their paths.
pub(crate) fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = Vec::new();
    for folder in ["", "docs", "fixtures"] {
        let entries = fs::read_dir(root.join(folder)).expect("the folder can be listed");
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).expect("a document is UTF-8");
                documents.push((path.display().to_string(), text));
            }
        }
    }
    assert!(documents.len() > 5, "the documents were found");
    documents
}
