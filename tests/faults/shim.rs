//! Errors of the machine below the gateway. The library `shim.c` injects them. This module compiles and controls the
//! library, and it constructs a disk's content after a power cut.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Dice, unique};
use tempfile::TempDir;

/// Size of the unit that a disk writes atomically, in bytes.
const SECTOR: usize = 512;

/// Linux errno values.
#[derive(Clone, Copy, Debug)]
#[repr(i64)]
pub(crate) enum Errno {
    Io = 5,
    NoSpace = 28,
    ReadOnly = 30,
}

/// Indices in the array that `shim.c` reads; see `struct control` there.
#[derive(Clone, Copy)]
enum Word {
    WriteError,
    SyncError,
    SyncDelayMs,
    ClockOffsetS,
    Met,
}

/// The controls of one gateway's preloaded library.
pub(crate) struct Shim {
    folder: TempDir,
    library: PathBuf,
    control: File,
}

impl Shim {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("cartwire-shim-")
            .tempdir()
            .expect("a temporary folder should be created");
        std::fs::create_dir(folder.path().join("shadow"))
            .expect("the shadow folder should be created");
        let path = folder.path().join("control");
        let control = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(path)
            .expect("the control file should be created");
        control
            .write_all_at(&[0; 5 * 8], 0)
            .expect("the control file should be writable");
        Self {
            folder,
            library: library(),
            control,
        }
    }

    /// Environment variables for a gateway with this data folder.
    pub(crate) fn environment(&self, data: &Path) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.library.clone().into()),
            ("FAULTS_CONTROL", self.folder.path().join("control").into()),
            ("FAULTS_SHADOW", self.shadow().into()),
            ("FAULTS_DATA", data.into()),
        ]
    }

    fn shadow(&self) -> PathBuf {
        self.folder.path().join("shadow")
    }

    /// Makes writes in the data folder fail with this error; `None` ends the fault.
    pub(crate) fn fail_writes(&self, error: Option<Errno>) {
        self.set(Word::WriteError, error.map_or(0, |error| error as i64));
    }

    /// Makes syncs in the data folder fail and drops the unsynced data; `None` ends the fault.
    pub(crate) fn fail_syncs(&self, error: Option<Errno>) {
        self.set(Word::SyncError, error.map_or(0, |error| error as i64));
    }

    pub(crate) fn slow_syncs(&self, milliseconds: i64) {
        self.set(Word::SyncDelayMs, milliseconds);
    }

    pub(crate) fn set_clock_off(&self, seconds: i64) {
        self.set(Word::ClockOffsetS, seconds);
    }

    /// How often the gateway met the fault. A run whose fault was never met proves nothing.
    pub(crate) fn met(&self) -> i64 {
        let mut bytes = [0; 8];
        self.control
            .read_exact_at(&mut bytes, Word::Met as u64 * 8)
            .expect("the control file should be readable");
        i64::from_ne_bytes(bytes)
    }

    fn set(&self, word: Word, value: i64) {
        self.control
            .write_all_at(&value.to_ne_bytes(), word as u64 * 8)
            .expect("the control file should be writable");
    }

    /// Marks the whole content of the data folder as synced. Called before the gateway starts.
    pub(crate) fn all_is_synced(&self, data: &Path) {
        std::fs::remove_dir_all(self.shadow()).expect("the shadow folder should be removed");
        std::fs::create_dir(self.shadow()).expect("the shadow folder should be created");
        for name in files(data) {
            std::fs::copy(data.join(&name), self.shadow().join(&name))
                .expect("the file should be copied to the shadow folder");
        }
    }

    /// Replaces the data folder with what a disk may hold after a power cut. Called after the gateway was killed. In
    /// one of three cases only synced data remains; otherwise each sector is randomly the synced or the last written
    /// one.
    pub(crate) fn cut_power(&self, data: &Path, dice: &mut Dice) {
        let only_synced = dice.below(3) == 0;
        for name in files(data) {
            let written =
                std::fs::read(data.join(&name)).expect("the data file should be readable");
            let synced = std::fs::read(self.shadow().join(&name)).unwrap_or_default();
            let longer = !only_synced && dice.below(2) == 0;
            let length = if longer { written.len() } else { synced.len() };
            let mut disk = vec![0; length];
            for (index, sector) in disk.chunks_mut(SECTOR).enumerate() {
                let from = if only_synced || dice.below(2) == 0 {
                    &synced
                } else {
                    &written
                };
                let from = from.get(index * SECTOR..).unwrap_or_default();
                let most = from.len().min(sector.len());
                sector[..most].copy_from_slice(&from[..most]);
            }
            std::fs::write(data.join(&name), disk).expect("the data file should be writable");
        }
        let _ = std::fs::remove_file(data.join(format!("{}-shm", cartwire::database::DATA_FILE)));
    }
}

/// The files that are on disk. SQLite's shared memory file (`-shm`) is not.
fn files(data: &Path) -> Vec<OsString> {
    let entries = std::fs::read_dir(data)
        .expect("the data folder can be listed")
        .map(|entry| entry.expect("the entry should be readable").file_name());
    entries
        .filter(|name| !name.to_string_lossy().ends_with("-shm"))
        .collect()
}

/// Compiles `shim.c`.
fn library() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults-shim.so");
    let normalized = library.with_extension(format!("{}-{}", std::process::id(), unique()));
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    command
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"])
        .arg("-o")
        .arg(&normalized)
        .arg(source);
    let output = command
        .args(["-ldl", "-lpthread"])
        .output()
        .expect("a C compiler (cc, or $CC) is required: tests/faults/run installs one");
    assert!(
        output.status.success(),
        "shim.c: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::rename(normalized, &library).expect("the library should be moved to its path");
    library
}
