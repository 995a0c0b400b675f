//! A RabbitMQ node of the test's own: own ports, own data, own epmd, ended with the test. It never touches another node.

use std::fs::File;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use lapin::{Connection, ConnectionProperties};
use tempfile::TempDir;

use super::consumer::{Consumer, EVENTS, quorum};
use super::{free_port, send_signal, tail, unique, until};

const BIN: &str = "/usr/lib/rabbitmq/bin";
const USER: &str = "rabbitmq";
/// What must be free on the disk: next to nothing.
const DISK_LIMIT: &str = "1MB";

/// A node, stopped or running.
pub(crate) struct RabbitNode {
    folder: TempDir,
    name: String,
    port: u16,
    dist_port: u16,
    /// Root starts nodes as the server's own user.
    as_user: bool,
    /// Nodes of one cluster share it.
    epmd: Arc<Epmd>,
    server: Option<Child>,
}

/// An epmd of our own, started by us, so that its end is ours to bring about.
struct Epmd {
    port: u16,
    child: Child,
}

impl Epmd {
    fn start(as_user: bool, home: &Path) -> Self {
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

impl RabbitNode {
    /// A node that is not started yet: its address is known already.
    pub(crate) fn new() -> Self {
        Self::named(new_name(), &[], None)
    }

    /// Nodes of one cluster that can be killed at any moment.
    pub(crate) async fn cluster_with_old_queue(many: usize) -> Vec<Self> {
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
            // It is the whole cluster once each knows the others: before, a queue would have too few replicas.
            until("the cluster's forming", || {
                let known = node.ctl(&["eval", "length(rabbit_nodes:all_running())."]);
                async move { (known.trim() == many.to_string()).then_some(()) }
            })
            .await;
        }
        nodes[0].write_down_a_queue(&nodes).await;
        nodes
    }

    /// A node of that name, in a cluster of these.
    fn named(name: String, peers: &[String], epmd: Option<Arc<Epmd>>) -> Self {
        assert!(
            Path::new(BIN).join("rabbitmq-server").exists(),
            "these tests need a RabbitMQ server of their own and there is none in {BIN}: apt-get install rabbitmq-server"
        );
        let folder = tempfile::Builder::new()
            .prefix("cartwire-rabbit-")
            .tempdir()
            .expect("a folder");
        let as_user = id("-u", None) == 0;
        let node = |file: &str| folder.path().join(file);
        std::fs::write(
            node(".erlang.cookie"),
            format!("cartwire{}", std::process::id()),
        )
        .expect("the cookie is written");
        std::fs::set_permissions(node(".erlang.cookie"), PermissionsExt::from_mode(0o400))
            .expect("the cookie is private");
        // The disk of a test machine may be small; alarms are raised by the tests alone.
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
    pub(crate) fn configure(&self, lines: &str, plugins: &str) {
        let path = self.folder.path().join("rabbitmq.conf");
        let before = std::fs::read_to_string(&path).expect("the configuration is read");
        std::fs::write(&path, before + lines).expect("the configuration is written");
        std::fs::write(self.folder.path().join("plugins"), format!("{plugins}\n"))
            .expect("the list of plugins is written");
    }

    /// Writes a file that the server may read.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
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

    /// A node that takes connections.
    pub(crate) async fn started() -> Self {
        let mut node = Self::new();
        node.start().await;
        node
    }

    /// A node that can be killed at any moment: its queue is written down.
    pub(crate) async fn started_with_old_queue() -> Self {
        let node = Self::started().await;
        node.write_down_a_queue(std::slice::from_ref(&node)).await;
        node
    }

    /// Declares the events' queue, and waits until these nodes have written it down. RabbitMQ (3.10.8, at least) writes down
    /// which quorum queues there are half a second after one was made; killed before, the queue comes back without a leader
    /// and never confirms anything again.
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

    /// Where it is, for the gateway and for consumers.
    pub(crate) fn url(&self) -> String {
        url_at(self.port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Does it run?
    pub(crate) fn runs(&self) -> bool {
        self.server.is_some()
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Starts it and waits until it takes connections.
    pub(crate) async fn start(&mut self) {
        self.launch();
        self.await_startup().await;
    }

    /// Starts it and does not wait.
    pub(crate) fn launch(&mut self) {
        assert!(self.server.is_none(), "the node runs");
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
            // The script then becomes the server instead of keeping it as a child: the process we started is the server.
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .env("RABBITMQ_SERVER_START_ARGS", "-noinput")
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output);
        self.server = Some(command.spawn().expect("the server starts"));
    }

    /// Waits until the node takes connections.
    pub(crate) async fn await_startup(&mut self) {
        let (url, output) = (self.url(), self.output());
        let server = self.server.as_mut().expect("the node was launched");
        until("the broker's start", || {
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

    /// Ends it as an operator does.
    pub(crate) async fn stop(&mut self) {
        // It takes connections a moment before it is up, and a signal that early could be lost.
        self.ctl(&["await_startup"]);
        let mut server = self.server.take().expect("the node runs");
        send_signal("TERM", server.id());
        until("the broker's end", || {
            let ended = server.try_wait().expect("the server can be waited for");
            async move { ended }
        })
        .await;
    }

    /// Ends it as a power cut does: SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut server = self.server.take().expect("the node runs");
        server.kill().expect("the server is killed");
        server.wait().expect("the server ends");
    }

    /// Kills it and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.start().await;
    }

    /// `rabbitmqctl`, for this node.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> String {
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

    /// Raises the memory alarm, or ends it.
    pub(crate) fn set_memory_alarm(&self, raised: bool) {
        self.ctl(if raised {
            &["set_vm_memory_high_watermark", "absolute", "1"]
        } else {
            &["set_vm_memory_high_watermark", "0.4"]
        });
    }

    /// Raises the disk alarm, or ends it.
    pub(crate) fn set_disk_alarm(&self, raised: bool) {
        self.ctl(&[
            "set_disk_free_limit",
            if raised { "100000GB" } else { DISK_LIMIT },
        ]);
    }

    /// Stops all that it does without its knowing, or lets it go on.
    pub(crate) fn set_frozen(&self, frozen: bool) {
        send_signal(
            if frozen { "STOP" } else { "CONT" },
            self.server.as_ref().expect("the node runs").id(),
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

/// A broker's address behind a port of this machine.
pub(crate) fn url_at(port: u16) -> String {
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

/// A command in an environment of nothing but what a node and its tools need.
fn environment(as_user: bool, home: &Path, epmd_port: u16, program: &str) -> Command {
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
        // Of the machine's own node nothing is to be read.
        .env("RABBITMQ_CONF_ENV_FILE", home.join("none"))
        .env("ERL_EPMD_PORT", epmd_port.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

/// The number of a user or group; without a name, our own.
fn id(option: &str, user: Option<&str>) -> u32 {
    let output = Command::new("id")
        .arg(option)
        .args(user)
        .output()
        .expect("id runs");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    text.parse().unwrap_or_else(|_| {
        panic!("there is no user {user:?}: is the rabbitmq-server package whole?")
    })
}
