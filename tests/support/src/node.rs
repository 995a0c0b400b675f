//! A RabbitMQ node for one test, with its own ports, data and epmd. It ends with the test and never affects other nodes.

use std::fs::File;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;

use lapin::{Connection, ConnectionProperties};
use tempfile::TempDir;

use crate::consumer::{Consumer, EVENTS, quorum};
use crate::{eventually, free_port, send_signal, tail, unique};

use crate::erlang::{BIN, DISK_LIMIT, Epmd, USER, environment, id};

/// A node, stopped or running.
pub struct RabbitNode {
    folder: TempDir,
    name: String,
    port: u16,
    dist_port: u16,
    /// The server's user, if the test runs as root.
    as_user: bool,
    /// Shared by the nodes of one cluster.
    epmd: Arc<Epmd>,
    server: Option<Child>,
}

impl RabbitNode {
    /// A stopped node. Its address is already known.
    pub fn stopped() -> Self {
        Self::named(new_name(), &[], None)
    }

    /// The nodes of one cluster. They can be killed at any time.
    pub async fn cluster_with_old_queue(many: usize) -> Vec<Self> {
        let names: Vec<String> = (0..many).map(|_| new_name()).collect();
        let mut nodes: Vec<Self> = Vec::new();
        for name in &names {
            let epmd = nodes.first().map(|first| Arc::clone(&first.epmd));
            nodes.push(Self::named(name.clone(), &names, epmd));
        }
        for node in &mut nodes {
            node.launch();
        }
        for node in &mut nodes {
            node.await_startup().await;
            // Each node must know the others first, because a queue would otherwise have too few replicas.
            eventually("the cluster's forming", || {
                let known = node.ctl(&["eval", "length(rabbit_nodes:all_running())."]);
                async move { (known.trim() == many.to_string()).then_some(()) }
            })
            .await;
        }
        nodes[0].write_down_a_queue(&nodes).await;
        nodes
    }

    /// A node with this name in a cluster of these nodes.
    fn named(name: String, peers: &[String], epmd: Option<Arc<Epmd>>) -> Self {
        assert!(
            Path::new(BIN).join("rabbitmq-server").exists(),
            "these tests start a RabbitMQ server, and {BIN} has none: apt-get install rabbitmq-server"
        );
        let folder = tempfile::Builder::new()
            .prefix("cartwire-rabbit-")
            .tempdir()
            .expect("a temporary folder should be created");
        let as_user = id("-u", None) == 0;
        let node = |file: &str| folder.path().join(file);
        std::fs::write(
            node(".erlang.cookie"),
            format!("cartwire{}", std::process::id()),
        )
        .expect("the cookie is written");
        std::fs::set_permissions(node(".erlang.cookie"), PermissionsExt::from_mode(0o400))
            .expect("the cookie is private");
        // The disk of a test machine may be small. Only the tests raise alarms.
        let mut configuration = format!("disk_free_limit.absolute = {DISK_LIMIT}\n");
        for (index, peer) in peers.iter().enumerate() {
            configuration += &format!(
                "cluster_formation.classic_config.nodes.{} = {peer}\n",
                index + 1
            );
        }
        std::fs::write(node("rabbitmq.conf"), configuration).expect("the configuration is written");
        std::fs::write(node("plugins"), "[].\n").expect("the list of plugins is written");
        if as_user {
            let (user, group) = (id("-u", Some(USER)), id("-g", Some(USER)));
            for path in [
                folder.path().to_owned(),
                node(".erlang.cookie"),
                node("rabbitmq.conf"),
                node("plugins"),
            ] {
                chown(&path, Some(user), Some(group)).expect("the server's user gets the folder");
            }
        }
        let epmd = epmd.unwrap_or_else(|| Arc::new(Epmd::start(as_user, folder.path())));
        Self {
            folder,
            name,
            port: free_port(),
            dist_port: free_port(),
            as_user,
            epmd,
            server: None,
        }
    }

    /// Adds lines to the configuration, and enables plugins (`[name].`). Takes effect at the next start.
    pub fn configure(&self, lines: &str, plugins: &str) {
        let path = self.folder.path().join("rabbitmq.conf");
        let before = std::fs::read_to_string(&path).expect("the configuration is read");
        std::fs::write(&path, before + lines).expect("the configuration is written");
        std::fs::write(self.folder.path().join("plugins"), format!("{plugins}\n"))
            .expect("the list of plugins is written");
    }

    /// Writes a file that the server may read.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("a file for the server is written");
        if self.as_user {
            chown(
                &path,
                Some(id("-u", Some(USER))),
                Some(id("-g", Some(USER))),
            )
            .expect("the server's user gets the file");
        }
        path
    }

    /// A started node that accepts connections.
    pub async fn started() -> Self {
        let mut node = Self::stopped();
        node.start().await;
        node
    }

    /// A node that can be killed at any time, because its queue is on disk.
    pub async fn started_with_old_queue() -> Self {
        let node = Self::started().await;
        node.write_down_a_queue(std::slice::from_ref(&node)).await;
        node
    }

    /// Declares the events' queue, and waits until these nodes have stored it. RabbitMQ 3.10.8 stores the list of quorum
    /// queues half a second after a declaration. If it is killed before, the queue has no leader after the restart and
    /// never confirms a message again.
    async fn write_down_a_queue(&self, nodes: &[Self]) {
        assert!(
            Consumer::connect(&self.url())
                .await
                .declares(EVENTS, quorum(&[]))
                .await,
            "a new queue can be declared"
        );
        for node in nodes {
            node.ctl(&["eval", "[dets:sync(Table) || Table <- dets:all()]."]);
        }
    }

    /// The AMQP URL for the gateway and consumers.
    pub fn url(&self) -> String {
        url_at(self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `true` if the node runs.
    pub fn runs(&self) -> bool {
        self.server.is_some()
    }

    /// The id of the server's process.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Starts the node and waits until it accepts connections.
    pub async fn start(&mut self) {
        self.launch();
        self.await_startup().await;
    }

    /// Starts the node without waiting.
    pub fn launch(&mut self) {
        assert!(self.server.is_none(), "the node should be stopped");
        let output = File::options()
            .create(true)
            .append(true)
            .open(self.output())
            .expect("a file for the server's output");
        let folder = self.folder.path();
        let mut command = self.command("rabbitmq-server");
        command
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}",
            )
            // The script then replaces itself by the server, so the started process is the server.
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .env("RABBITMQ_SERVER_START_ARGS", "-noinput")
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output);
        self.server = Some(command.spawn().expect("the server starts"));
    }

    /// Waits until the node accepts connections.
    pub async fn await_startup(&mut self) {
        let (url, output) = (self.url(), self.output());
        let server = self.server.as_mut().expect("the node was launched");
        eventually("the broker's start", || {
            if let Some(status) = server.try_wait().expect("the server can be waited for") {
                panic!("the broker ended with {status}:\n{}", tail(&output));
            }
            let url = url.clone();
            async move {
                let connection = Connection::connect(&url, ConnectionProperties::default())
                    .await
                    .ok()?;
                connection.close(200, "there".into()).await.ok()
            }
        })
        .await;
    }

    /// Stops the node as an operator does, with SIGTERM.
    pub async fn stop(&mut self) {
        // The node accepts connections shortly before its start is complete, and may lose a signal until then.
        self.ctl(&["await_startup"]);
        let mut server = self.server.take().expect("the node should be running");
        send_signal("TERM", server.id());
        eventually("the broker's end", || {
            let ended = server.try_wait().expect("the server can be waited for");
            async move { ended }
        })
        .await;
    }

    /// Ends the node with SIGKILL, as in a power failure.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("the node should be running");
        server.kill().expect("the server is killed");
        server.wait().expect("the server ends");
    }

    /// Kills the node and starts it again.
    pub async fn restart(&mut self) {
        self.kill();
        self.start().await;
    }

    /// Runs `rabbitmqctl` for this node.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let output = self
            .command("rabbitmqctl")
            .args(["-q", "-n", &self.name])
            .args(arguments)
            .output()
            .expect("rabbitmqctl");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "rabbitmqctl {arguments:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    /// Raises or clears the memory alarm.
    pub fn set_memory_alarm(&self, raised: bool) {
        self.ctl(if raised {
            &["set_vm_memory_high_watermark", "absolute", "1"]
        } else {
            &["set_vm_memory_high_watermark", "0.4"]
        });
    }

    /// Raises or clears the disk alarm.
    pub fn set_disk_alarm(&self, raised: bool) {
        self.ctl(&[
            "set_disk_free_limit",
            if raised { "100000GB" } else { DISK_LIMIT },
        ]);
    }

    /// Suspends or resumes the server's process.
    pub fn set_frozen(&self, frozen: bool) {
        send_signal(
            if frozen { "STOP" } else { "CONT" },
            self.server
                .as_ref()
                .expect("the node should be running")
                .id(),
        );
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    fn command(&self, program: &str) -> Command {
        let program = format!("{BIN}/{program}");
        environment(self.as_user, self.folder.path(), self.epmd.port, &program)
    }
}

/// The AMQP URL of a port on this machine.
pub fn url_at(port: u16) -> String {
    format!("amqp://guest:guest@127.0.0.1:{port}/%2f")
}

fn new_name() -> String {
    format!("cartwire_{}_{}@localhost", std::process::id(), unique())
}

impl Drop for RabbitNode {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self
                .folder
                .path()
                .join("log")
                .join(format!("{}.log", self.name));
            eprintln!("the broker's log:\n{}", tail(&log));
            if self.server.is_some() {
                let queues = self
                    .command("rabbitmqctl")
                    .args(["-n", &self.name, "list_queues", "name", "state", "messages"])
                    .output();
                eprintln!("its queues: {queues:?}");
            }
        }
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
