//! The environment of RabbitMQ's programs, and an `epmd` of their own.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::free_port;

pub(crate) const BIN: &str = "/usr/lib/rabbitmq/bin";
pub(crate) const USER: &str = "rabbitmq";
/// RabbitMQ's limit of free disk space; small, so that the test machine's disk raises no alarm.
pub(crate) const DISK_LIMIT: &str = "1MB";

/// A separate epmd that the test starts and can therefore stop.
pub(crate) struct Epmd {
    pub(crate) port: u16,
    pub(crate) child: Child,
}

impl Epmd {
    pub(crate) fn start(as_user: bool, home: &Path) -> Self {
        let port = free_port();
        let child = environment(as_user, home, port, "epmd")
            .args(["-port", &port.to_string(), "-address", "127.0.0.1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("epmd starts");
        Self { port, child }
    }
}

impl Drop for Epmd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command with a minimal environment for a node and its tools.
pub(crate) fn environment(as_user: bool, home: &Path, epmd_port: u16, program: &str) -> Command {
    let mut command = if as_user {
        let mut command = Command::new("setpriv");
        command.args([
            &format!("--reuid={USER}"),
            &format!("--regid={USER}"),
            "--clear-groups",
            program,
        ]);
        command
    } else {
        Command::new(program)
    };
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LANG", "C.UTF-8")
        .env("HOME", home)
        // Ignores the configuration of the machine's own node.
        .env("RABBITMQ_CONF_ENV_FILE", home.join("none"))
        .env("ERL_EPMD_PORT", epmd_port.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

/// The id of a user or group; without a name, of the current user.
pub(crate) fn id(option: &str, user: Option<&str>) -> u32 {
    let output = Command::new("id")
        .arg(option)
        .args(user)
        .output()
        .expect("id runs");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    text.parse().unwrap_or_else(|_| {
        panic!("there is no user {user:?}: is the rabbitmq-server package complete?")
    })
}
