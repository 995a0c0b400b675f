//! Fixture files with any content. `replay` reads such files of the operator.
//!
//! An input contains the files, separated by lines of dashes: payload, case and expected events, or a recorded delivery
//! and its expected events.
#![no_main]

use std::collections::BTreeMap;

use cartwire::replay::fixture::{Fixture, parse};
use libfuzzer_sys::fuzz_target;

/// Each input is read as a case of each platform and as a recording.
const FILES: [&[&str]; 3] = [
    &[
        "woocommerce/order.created/a/payload.json",
        "woocommerce/order.created/a/case.toml",
        "woocommerce/order.created/a/expected.json",
    ],
    &[
        "wix/order_created/a/payload.json",
        "wix/order_created/a/case.toml",
        "wix/order_created/a/expected.json",
    ],
    &[
        "recorded/woocommerce/1.json",
        "recorded/woocommerce/1.expected.json",
    ],
];

fuzz_target!(|input: &[u8]| {
    for names in FILES {
        let files: BTreeMap<String, Vec<u8>> = names
            .iter()
            .zip(split(input))
            .map(|(name, part)| ((*name).to_owned(), part.to_vec()))
            .collect();
        let Ok(fixtures) = parse(&files) else {
            continue;
        };
        assert_eq!(fixtures.len(), 1, "one folder should give one fixture");
        match &fixtures[0] {
            Fixture::Case(case) => assert_eq!(
                Some(&case.payload[..]),
                split(input).next(),
                "the payload should not be changed"
            ),
            Fixture::Recorded(recorded) => assert!(
                !format!("{recorded:?}").contains("body"),
                "a debug message should not contain the body"
            ),
        }
    }
});

/// The files of an input.
fn split(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    const BETWEEN: &[u8] = b"\n---\n";
    let mut rest = Some(input);
    std::iter::from_fn(move || {
        let part = rest?;
        let at = part
            .windows(BETWEEN.len())
            .position(|window| window == BETWEEN);
        rest = at.map(|at| &part[at + BETWEEN.len()..]);
        Some(at.map_or(part, |at| &part[..at]))
    })
}
