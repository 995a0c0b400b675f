//! The rules of the test programs: sizes, names, words, and waiting for conditions.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};

use crate::source::{Source, all_sources, sources_below, test_sources};
use crate::{assert_at_most, assert_none, circles, shape, words};

/// Longer files are split by meaning.
const LONGEST_FILE_LINES: usize = 300;
/// Maximum length of a test's name.
const LONGEST_TEST_NAME: usize = 70;

/// Left over. Each number may only fall.
mod left {
    pub(super) const SHAPES: usize = 61;
    pub(super) const LONG_FILES: usize = 16;
    pub(super) const LONG_NAMES: usize = 0;
}

#[test]
fn every_test_file_opens_with_its_contents() {
    let silent = test_sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path);
    assert_none(&silent.collect::<Vec<_>>(), "every file opens with //!");
}

#[test]
fn test_files_stay_short() {
    let mut long = Vec::new();
    for source in test_sources() {
        let lines = source.text.lines().count();
        if lines > LONGEST_FILE_LINES {
            long.push(format!("{}: {lines} lines", source.path));
        }
    }
    assert_at_most(left::LONG_FILES, &long, "files over 300 lines");
}

#[test]
fn test_functions_and_tuples_stay_small() {
    let sources = test_sources();
    let findings: Vec<String> = sources
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
fn no_banned_word_is_written_in_tests() {
    // The list of the banned words itself is in `tidy/words.rs`.
    let found: Vec<String> = test_sources()
        .iter()
        .filter(|source| source.path != "tidy/words.rs")
        .flat_map(|source| words::banned(&source.path, &source.text))
        .collect();
    assert_none(&found, "banned words:");
}

#[test]
fn support_crate_has_no_import_circle_and_no_repeated_type() {
    let sources = sources_below("tests/support/src");
    let circles = circles::circles(&circles::imports(&sources));
    let circles: Vec<String> = circles.iter().map(|circle| circle.join(" ~ ")).collect();
    assert_none(&circles, "groups of files that import each other:");
    let shapes: Vec<shape::Shape> = sources.iter().map(shape::Shape::of).collect();
    assert_none(&shape::repeated_types(&shapes), "public types of one name:");
}

#[test]
fn names_of_tests_stay_short() {
    let sources = all_sources().into_iter().chain(test_sources());
    let long: Vec<String> = sources
        .flat_map(|source| test_names(&source))
        .filter(|name| name.len() > LONGEST_TEST_NAME)
        .collect();
    assert_at_most(left::LONG_NAMES, &long, "names over 70 characters");
}

/// The names of the functions that are tests.
fn test_names(source: &Source) -> BTreeSet<String> {
    let file =
        syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.path));
    let mut names = TestNames::default();
    names.visit_file(&file);
    names.0
}

#[derive(Default)]
struct TestNames(BTreeSet<String>);

impl<'ast> Visit<'ast> for TestNames {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let is_test = |attribute: &syn::Attribute| {
            let last = attribute.path().segments.last();
            last.is_some_and(|segment| segment.ident == "test")
        };
        if item.attrs.iter().any(is_test) {
            self.0.insert(item.sig.ident.to_string());
        }
        visit::visit_item_fn(self, item);
    }
}
