//! Simple alternatives to the gateway (`tests/bench/peers`), with one process each, as they are usually run.
//!
//! `tests/bench/run` installs them below the build folder. If an installation failed, the peer's rows contain the
//! reason.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::broker::Broker;
use super::requests::Shop;
use super::server::{Server, folder};
use support::free_port;

/// An alternative implementation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// Express, crypto or jsonwebtoken, amqplib.
    Node,
    /// FastAPI on uvicorn, hmac or PyJWT, aio-pika.
    FastApi,
}

impl Peer {
    /// The name of its folder.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Node => "node",
            Peer::FastApi => "fastapi",
        }
    }

    fn installed(self) -> PathBuf {
        PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join("peers")
            .join(self.name())
    }

    /// Why the peer cannot be measured on this machine; `None` if it can.
    pub(crate) fn missing(self) -> Option<String> {
        let (needed, what) = match self {
            Peer::Node => ("node_modules", "Node.js with npm"),
            Peer::FastApi => ("venv/bin/uvicorn", "Python with venv"),
        };
        let why = || format!("it is not installed; tests/bench/run does it where there is {what}");
        (!self.installed().join(needed).exists()).then(why)
    }

    /// Starts the peer.
    pub(crate) fn start(self, broker: &Broker) -> Server {
        broker.purge();
        let (port, folder) = (free_port(), folder());
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/bench/peers")
            .join(self.name());
        let mut command = match self {
            Peer::Node => {
                let mut command = Command::new("node");
                // Node.js searches modules beside the program.
                std::fs::copy(source.join("server.js"), self.installed().join("server.js"))
                    .expect("the program should be copied");
                command
                    .arg(self.installed().join("server.js"))
                    .env("NODE_ENV", "production");
                command
            }
            Peer::FastApi => {
                let mut command = Command::new(self.installed().join("venv/bin/uvicorn"));
                command
                    .arg("server:app")
                    .arg("--app-dir")
                    .arg(source)
                    .args(["--port", &port.to_string()]);
                command
                    .args(["--no-access-log", "--log-level", "warning"])
                    .env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
        };
        let key = |name: &str, shop: Shop| {
            let path = folder.path().join(name);
            std::fs::write(&path, shop.key("verification"))
                .expect("the key file should be written");
            path
        };
        command
            .env("PORT", port.to_string())
            .env("AMQP_URL", broker.url())
            .env("WOOCOMMERCE_SECRET_FILE", key("secret", Shop::WooCommerce))
            .env("WIX_PUBLIC_KEY_FILE", key("public-key", Shop::Wix))
            .stdin(Stdio::null());
        Server::start(command, port, folder)
    }
}
