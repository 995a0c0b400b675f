//! A server under load: a process that listens on a port, with a folder of its own, ended with its row.
//!
//! It does not know which server it is.

use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::process::Usage;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder on the disk of the build, where benchmarks may write gigabytes.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

/// The process, ended when it is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
    _folder: TempDir,
}

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) fn start(mut command: Command, port: u16, folder: TempDir) -> Self {
        let mut process = command.spawn().expect("the server starts");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = process.try_wait().expect("the server can be waited for");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the server does not listen: {command:?} {ended:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            process,
            port,
            _folder: folder,
        }
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.process.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
