//! A server under load: a process with a port and a temporary folder. It ends with its row.

use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::process::Usage;

/// Maximum time until a server listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder on the disk of the build, which has space for gigabytes.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder should be created")
}

/// A running process. It is killed on drop.
pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
    _folder: TempDir,
}

impl Server {
    /// Starts the process and waits until it listens.
    pub(crate) fn start(mut command: Command, port: u16, folder: TempDir) -> Self {
        let mut process = command.spawn().expect("the server should start");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = process
                .try_wait()
                .expect("the server's status should be readable");
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

    /// The server's resource usage so far.
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
