//! Tests of the crash guard: suspects, trials, damaged files.

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn suspects(untried: &[Position], ended_once: &[Position], guilty: &[Position]) -> Suspects {
    Suspects {
        untried: untried.to_vec(),
        ended_once: ended_once.to_vec(),
        guilty: guilty.to_vec(),
    }
}

#[test]
fn a_clean_end_leaves_no_suspects() {
    let folder = folder();
    let (mut guard, found) = CrashGuard::open(folder.path());
    assert_eq!(found, Suspects::default());
    guard.claimed(&[1, 2, 3]);
    guard.close();
    assert_eq!(CrashGuard::open(folder.path()).1, Suspects::default());
}

#[test]
fn only_the_entry_that_is_tried_alone_at_two_ends_is_guilty() {
    let folder = folder();
    let (mut guard, _) = CrashGuard::open(folder.path());
    guard.claimed(&[1, 2, 3]);
    drop(guard);
    let (mut guard, found) = CrashGuard::open(folder.path());
    assert_eq!(found, suspects(&[1, 2, 3], &[], &[]));
    guard.trying(1);
    guard.survived(1);
    guard.trying(2);
    drop(guard);
    let (mut guard, found) = CrashGuard::open(folder.path());
    assert_eq!(found, suspects(&[1, 3], &[2], &[]));
    guard.trying(2);
    drop(guard);
    let (mut guard, found) = CrashGuard::open(folder.path());
    assert_eq!(found, suspects(&[1, 3], &[], &[2]));
    guard.survived(2);
    guard.close();
    assert_eq!(CrashGuard::open(folder.path()).1, Suspects::default());
}

#[test]
fn ends_without_a_trial_count_for_no_entry() {
    let folder = folder();
    for _ in 0..10 {
        let (mut guard, found) = CrashGuard::open(folder.path());
        assert!(found.ended_once.is_empty() && found.guilty.is_empty());
        guard.claimed(&[7]);
    }
}

#[test]
fn an_entry_that_survives_its_second_trial_is_innocent() {
    let folder = folder();
    let (mut guard, _) = CrashGuard::open(folder.path());
    guard.trying(5);
    drop(guard);
    let (guard, found) = CrashGuard::open(folder.path());
    assert_eq!(found.ended_once, [5]);
    // A clean end before the second trial does not clear it.
    guard.close();
    let (mut guard, found) = CrashGuard::open(folder.path());
    assert_eq!(found.ended_once, [5]);
    guard.trying(5);
    guard.survived(5);
    drop(guard);
    assert_eq!(CrashGuard::open(folder.path()).1, Suspects::default());
}

#[test]
fn the_newest_claimed_entries_replace_the_oldest() {
    let folder = folder();
    let (mut guard, _) = CrashGuard::open(folder.path());
    for first in (0..20_000).step_by(500) {
        let positions: Vec<Position> = (first + 1..=first + 500).collect();
        guard.claimed(&positions);
    }
    drop(guard);
    let found = CrashGuard::open(folder.path()).1.untried;
    assert_eq!(found.len(), RING);
    assert_eq!(found.first(), Some(&(20_000 - RING as Position + 1)));
    assert_eq!(found.last(), Some(&20_000));
}

#[test]
fn a_damaged_file_is_no_file() {
    let folder = folder();
    for content in [&b"x"[..], &[0xff; 50_000], b"cartwire", &[0; 2000]] {
        std::fs::write(folder.path().join(FILE), content).expect("written");
        assert_eq!(CrashGuard::open(folder.path()).1, Suspects::default());
    }
    std::fs::remove_file(folder.path().join(FILE)).expect("removed");
    std::fs::create_dir(folder.path().join(FILE)).expect("a folder in its place");
    let (mut guard, found) = CrashGuard::open(folder.path());
    assert_eq!(found, Suspects::default());
    guard.claimed(&[1]);
}
