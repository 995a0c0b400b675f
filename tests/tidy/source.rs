//! The sources as text: a small lexer blanks comments, literals and test modules.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A source file.
pub(crate) struct Source {
    /// The path below `src`, or below `tests` for tests. With slashes.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// Without comments and test modules.
    pub(crate) code: String,
    /// And without the insides of strings and character literals.
    pub(crate) words: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
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
    pub(crate) fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How deep its module lies below the root.
    pub(crate) fn depth(&self) -> usize {
        self.path.split('/').count() - usize::from(self.path.ends_with("/mod.rs"))
    }

    /// Does it hold tests only?
    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs")
    }

    pub(crate) fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| lies_in(&self.path, place))
    }
}

pub(crate) fn lies_in(path: &str, place: &str) -> bool {
    path == place || (place.ends_with('/') && path.starts_with(place))
}

/// Everything below `src` that is no test file.
pub(crate) fn sources() -> Vec<Source> {
    all_sources()
        .into_iter()
        .filter(|source| !source.is_test())
        .collect()
}

pub(crate) fn all_sources() -> Vec<Source> {
    let sources = sources_below("src");
    assert!(sources.len() > 50, "src was found");
    sources
}

/// Everything below `tests`. The paths begin below `tests`.
pub(crate) fn test_sources() -> Vec<Source> {
    let sources = sources_below("tests");
    assert!(sources.len() > 50, "tests was found");
    sources
}

/// The source files below a folder of the repository. The paths begin below this folder.
pub(crate) fn sources_below(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths = BTreeSet::new();
    collect(&root, &root, &mut paths);
    let read = |path: &String| {
        let text = fs::read_to_string(root.join(path)).expect("a source file is UTF-8");
        Source::new(path, &text)
    };
    paths.iter().map(read).collect()
}

fn collect(root: &Path, folder: &Path, paths: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            collect(root, &path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let below = path.strip_prefix(root).expect("a path below the root");
            paths.insert(below.to_string_lossy().replace('\\', "/"));
        }
    }
}

/// Blanks comments (first result), and the insides of literals as well (second result). Both keep every byte's place.
pub(crate) fn without_comments(text: &str) -> (String, String) {
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
