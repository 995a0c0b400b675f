//! Records which entries were in flight when a process ended uncleanly. An entry that ends the process is found and becomes a
//! dead letter, so that no store can keep the gateway from starting.
//!
//! The guard is for faults without a limit of their own: stack overflow, abort, lack of memory. It does not judge why a process
//! ended, and it stores nothing that the journal needs: without its file, every entry is claimed as usual.
//!
//! # Protocol
//! 1. The relay notes the positions that it claims ([`CrashGuard::claimed`]) before it normalizes them.
//! 2. A clean end removes the notes ([`CrashGuard::close`]). If notes are there at a start, the last process ended uncleanly,
//!    and those of its last [`RING`] claimed entries that are still pending are suspects.
//! 3. Before the relay claims anything, it tries each suspect alone: it notes the position ([`CrashGuard::trying`]), makes
//!    and renders the entry's events, drops them, and removes the note ([`CrashGuard::survived`]). Nothing is published, so
//!    a trial takes microseconds to milliseconds, and order per partition key is not touched.
//! 4. If the process ends during a trial, that entry has one end. After the next start, every other suspect is tried first.
//!    The entry with one end is tried again seconds later, when other traffic has long been flowing; until then only its own
//!    connection waits. If the process ends again during that trial, the entry has two ends and becomes a dead letter.
//!
//! # Guarantees
//! - Entries that were in flight beside the guilty entry have no end: only a trial counts.
//! - An operator's SIGKILL counts only if it hits the milliseconds of a trial. To make a dead letter of an innocent entry,
//!   two kills must hit two trials of the same entry, and the second trial only runs in a process that has been up for
//!   seconds. So kills in quick succession never do.
//! - The guilty entry ends the process at most three times: in flight, and in two trials.
//!
//! # Layout of `in-flight`
//! Integers are little-endian. Nothing is synced: a process that ends leaves its writes with the system, and marks that a
//! power cut takes are not missed. Each write is one `pwrite`, and a claim needs one or two.
//! ```text
//! offset 0       8           16          24             32                    32 + 16·ENDS
//! ┌──────────────┬───────────┬───────────┬──────────────┬─────────────────────┬──────────────────────────┐
//! │ "cartwire"   │ tried     │ claimed   │ entries with │ ENDS × (position,   │ RING × position: claimed │
//! │              │ alone, 0: │ in all    │ an end       │ number of ends)     │ entries, the newest over │
//! │              │ none      │           │              │                     │ the oldest               │
//! └──────────────┴───────────┴───────────┴──────────────┴─────────────────────┴──────────────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::entry::Position;
use crate::report::ErrorChain;

/// The file in the data folder.
const FILE: &str = "in-flight";
const MAGIC: [u8; 8] = *b"cartwire";
/// Number of claimed entries that are recorded: more than are in flight or wait for their stores.
const RING: usize = 16_384;
/// Number of recorded entries with an end.
const ENDS: usize = 64;
const HEADER_BYTES: usize = 32 + 16 * ENDS;
/// The number of trials that end the process, after which an entry is a dead letter.
const MAX_ENDS: u64 = 2;

/// The notes of a running relay.
#[derive(Debug)]
pub struct CrashGuard {
    /// `None` after the file failed: then nothing is recorded any more.
    file: Option<File>,
    tried_alone: Position,
    claimed: u64,
    ends: BTreeMap<Position, u64>,
}

/// What the last process left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Suspects {
    /// Entries that were in flight, or were not tried yet.
    pub untried: Vec<Position>,
    /// Entries that ended the process once during a trial.
    pub ended_once: Vec<Position>,
    /// Entries that ended the process as often as an entry may.
    pub guilty: Vec<Position>,
}

impl CrashGuard {
    /// Opens the notes of a data folder, and reads those of the last process. A file that cannot be used is given up.
    #[must_use]
    pub fn open(folder: &Path) -> (Self, Suspects) {
        let path = folder.join(FILE);
        let opened = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .and_then(|file| Ok((read(&file)?, file)));
        let mut guard = Self {
            file: None,
            tried_alone: 0,
            claimed: 0,
            ends: BTreeMap::new(),
        };
        let notes = match opened {
            Ok((notes, file)) => {
                guard.file = Some(file);
                notes
            }
            Err(error) => {
                guard.failed(&error);
                None
            }
        };
        let Some(notes) = notes else {
            guard.write_header();
            return (guard, Suspects::default());
        };
        guard.ends = notes.ends;
        if notes.tried_alone != 0 {
            *guard.ends.entry(notes.tried_alone).or_default() += 1;
        }
        // The most recent entries stay, should there be more than the file has places for.
        while guard.ends.len() > ENDS {
            guard.ends.pop_first();
        }
        let suspects = Suspects {
            untried: notes
                .claimed
                .iter()
                .filter(|position| !guard.ends.contains_key(position))
                .copied()
                .collect(),
            ended_once: guard.with_ends(|ends| ends < MAX_ENDS),
            guilty: guard.with_ends(|ends| ends >= MAX_ENDS),
        };
        // They stay suspects until they are tried, also if this process ends before.
        guard.claimed(&suspects.untried);
        guard.write_header();
        (guard, suspects)
    }

    fn with_ends(&self, is_wanted: impl Fn(u64) -> bool) -> Vec<Position> {
        self.ends
            .iter()
            .filter(|(_, ends)| is_wanted(**ends))
            .map(|(position, _)| *position)
            .collect()
    }

    /// Records entries in flight. To be called before their events are made.
    pub fn claimed(&mut self, positions: &[Position]) {
        let newest = &positions[positions.len().saturating_sub(RING)..];
        if newest.is_empty() {
            return;
        }
        let start = usize::try_from(self.claimed % RING as u64).unwrap_or(0);
        let (until_end, from_start) = newest.split_at(newest.len().min(RING - start));
        self.write(HEADER_BYTES + 8 * start, &bytes(until_end));
        self.write(HEADER_BYTES, &bytes(from_start));
        self.claimed += newest.len() as u64;
        self.write(16, &self.claimed.to_le_bytes());
    }

    /// This entry is tried alone from now on.
    pub fn trying(&mut self, position: Position) {
        self.tried_alone = position;
        self.write(8, &position.to_le_bytes());
    }

    /// The trial is over, and the process still runs. Also called for an entry that became a dead letter.
    pub fn survived(&mut self, position: Position) {
        self.tried_alone = 0;
        if self.ends.remove(&position).is_some() {
            self.write_header();
        } else {
            self.write(8, &0_i64.to_le_bytes());
        }
    }

    /// Removes the notes: the process ends cleanly. Entries with an end stay noted.
    pub fn close(mut self) {
        self.claimed = 0;
        if self.ends.is_empty()
            && let Some(file) = &self.file
        {
            let _ = file.set_len(0);
        } else {
            self.write_header();
        }
    }

    fn write_header(&mut self) {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend(MAGIC);
        header.extend(self.tried_alone.to_le_bytes());
        header.extend(self.claimed.to_le_bytes());
        header.extend((self.ends.len() as u64).to_le_bytes());
        for (position, ends) in &self.ends {
            header.extend(position.to_le_bytes());
            header.extend(ends.to_le_bytes());
        }
        header.resize(HEADER_BYTES, 0);
        self.write(0, &header);
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let Some(file) = &self.file else {
            return;
        };
        if let Err(error) = file.write_all_at(bytes, offset as u64) {
            self.failed(&error);
        }
    }

    fn failed(&mut self, error: &io::Error) {
        tracing::warn!(
            error = %ErrorChain(error),
            "entries in flight cannot be noted; an entry that ends the process will not be found"
        );
        self.file = None;
    }
}

/// The notes of the last process.
struct Notes {
    tried_alone: Position,
    ends: BTreeMap<Position, u64>,
    claimed: BTreeSet<Position>,
}

/// Reads the notes; `None` where there are none, or none that this version can read.
fn read(file: &File) -> io::Result<Option<Notes>> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    let mut content = vec![0; length.min(HEADER_BYTES + 8 * RING)];
    file.read_exact_at(&mut content, 0)?;
    if content.len() < HEADER_BYTES || content[..8] != MAGIC {
        return Ok(None);
    }
    let number = |offset: usize| {
        let bytes = content.get(offset..offset + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let position = |offset: usize| {
        number(offset)
            .and_then(|number| Position::try_from(number).ok())
            .filter(|position| *position > 0)
    };
    let count = |offset: usize, most: usize| {
        number(offset).map_or(0, |count| usize::try_from(count).unwrap_or(most).min(most))
    };
    let ends = (0..count(24, ENDS))
        .filter_map(|index| Some((position(32 + 16 * index)?, number(40 + 16 * index)?)));
    let claimed = (0..count(16, RING)).filter_map(|index| position(HEADER_BYTES + 8 * index));
    Ok(Some(Notes {
        tried_alone: position(8).unwrap_or(0),
        ends: ends.collect(),
        claimed: claimed.collect(),
    }))
}

fn bytes(positions: &[Position]) -> Vec<u8> {
    positions
        .iter()
        .flat_map(|position| position.to_le_bytes())
        .collect()
}

#[cfg(test)]
mod tests;
