//! The real program as an operator runs it: a process, a data folder, two ports. The tests see only its responses, its
//! output and its files.

use std::ffi::OsString;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use tempfile::TempDir;

use crate::store::{APP, Keys, SHOP, Store};
use crate::{eventually, free_port, program, send_signal, tail};

/// A gateway, stopped or running.
pub struct ProcessGateway {
    folder: TempDir,
    data: PathBuf,
    port: u16,
    admin_port: u16,
    options: Vec<String>,
    environment: Vec<(&'static str, OsString)>,
    process: Option<Child>,
    is_log_unread: bool,
    pub(crate) client: reqwest::Client,
}

impl ProcessGateway {
    /// A stopped gateway with the connections of a shop and an app. `options` are the options of `serve`.
    pub fn new(options: &[&str]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("cartwire-")
            .tempdir()
            .expect("a temporary folder should be created");
        let data = folder.path().join("data");
        let gateway = Self::on(folder, data, options);
        gateway.add_connections();
        gateway
    }

    /// As [`ProcessGateway::new`], with the URL of a broker.
    pub fn with_broker(url: &str) -> Self {
        Self::new(&["--amqp-url", url])
    }

    /// A stopped gateway on a copy of another gateway's data.
    pub fn on_copy(folder: TempDir) -> Self {
        let data = folder.path().join("data");
        Self::on(folder, data, &[])
    }

    fn on(folder: TempDir, data: PathBuf, options: &[&str]) -> Self {
        // The gateway ends an idle connection at the moment at which the client may use it again.
        let client = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .expect("the client should be created");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Self {
            folder,
            data,
            port: free_port(),
            admin_port: free_port(),
            options,
            environment: Vec::new(),
            process: None,
            is_log_unread: false,
            client,
        }
    }

    /// Sets the options of `serve` for the next start.
    pub fn set_options(&mut self, options: &[&str]) {
        self.options = options.iter().map(|option| (*option).to_owned()).collect();
    }

    /// From the next start on, the gateway logs everything into a pipe that is never read.
    pub fn leave_log_unread(&mut self) {
        self.options.extend(["--log", "trace"].map(str::to_owned));
        self.is_log_unread = true;
    }

    /// Sets the environment of all further processes.
    pub fn set_environment(&mut self, environment: Vec<(&'static str, OsString)>) {
        self.environment = environment;
    }

    /// Adds a variable to the environment of all further processes.
    pub fn add_environment(&mut self, name: &'static str, value: &str) {
        self.environment.push((name, value.into()));
    }

    /// The stores that have the keys of the connections.
    pub fn store(&self) -> Store {
        Store::new(&format!("http://127.0.0.1:{}", self.port))
    }

    /// The address of the public listener.
    pub fn public(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The address of the admin listener.
    pub fn admin_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.admin_port))
    }

    /// The peak memory of the running gateway in MiB.
    pub fn peak_memory(&self) -> u64 {
        let pid = self
            .process
            .as_ref()
            .expect("the gateway should be running")
            .id();
        let status =
            std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the gateway's status");
        let peak = status.lines().find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u64>()
                .ok()
        });
        peak.expect("a peak") >> 10
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    fn add_connections(&self) {
        let keys = Keys::test();
        let file = |name: &str, content: &str| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, content).expect("the key file should be written");
            path.display().to_string()
        };
        let secret = file("shop.key", &keys.shop);
        let public = file("app.key", &keys.app_public);
        let shop = [
            "woocommerce",
            "--id",
            SHOP,
            "--url",
            "https://shop.example",
            "--webhook-secret-file",
            &secret,
        ];
        let uuid = "4d4e1f2a-93a1-4c2a-8f0b-0c6f4f1b2a3d";
        let app = [
            "wix-app",
            "--id",
            APP,
            "--app-id",
            uuid,
            "--public-key-file",
            &public,
        ];
        for kind in [&shop[..], &app[..]] {
            let output = self.cli(&[&["connections", "add"], kind].concat());
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }

    /// Adds a WooCommerce shop that signs with this secret.
    pub fn add_shop(&self, id: &str, secret: &str) {
        let file = self.folder.path().join(format!("{id}.key"));
        std::fs::write(&file, secret).expect("the key file should be written");
        let file = file.display().to_string();
        let url = format!("https://{id}.example");
        let output = self.cli(&[
            "connections",
            "add",
            "woocommerce",
            "--id",
            id,
            "--url",
            &url,
            "--webhook-secret-file",
            &file,
        ]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Adds a WooCommerce shop by its REST key and secret, with a public URL.
    pub fn add_shop_by_key(&self, id: &str, url: &str, key: [&str; 2], public_url: &str) {
        let files = ["key", "secret"].map(|part| self.folder.path().join(format!("{id}.{part}")));
        for (file, content) in files.iter().zip(key) {
            std::fs::write(file, content).expect("the key file should be written");
        }
        let [key, secret] = files.map(|file| file.display().to_string());
        let output = self.cli(&[
            "connections",
            "add",
            "woocommerce",
            "--id",
            id,
            "--url",
            url,
            "--consumer-key-file",
            &key,
            "--consumer-secret-file",
            &secret,
            "--public-url",
            public_url,
            "--allow-private-stores",
        ]);
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Runs `doctor` with the options of `serve`.
    pub fn doctor(&self) -> Output {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        self.cli(&[&["doctor"], &options[..]].concat())
    }

    /// Starts the gateway and waits until it is alive and ready.
    pub async fn start(&mut self) {
        assert!(self.process.is_none(), "the gateway should be stopped");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("a file for the log");
        let mut command = self.serve();
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        command.args(["--admin-listen", &format!("127.0.0.1:{}", self.admin_port)]);
        let log = if self.is_log_unread {
            Stdio::piped()
        } else {
            log.into()
        };
        self.process = Some(command.stderr(log).spawn().expect("the gateway starts"));
        for url in [
            format!("http://127.0.0.1:{}/healthz", self.port),
            self.admin("/readyz"),
        ] {
            let (client, log) = (self.client.clone(), self.log());
            let process = self.process.as_mut().expect("it was started");
            eventually(&url, || {
                if let Some(status) = process.try_wait().expect("the gateway can be waited for") {
                    panic!("the gateway ended with {status}:\n{}", tail(&log));
                }
                let request = client.get(&url).send();
                async move {
                    request
                        .await
                        .is_ok_and(|answer| answer.status() == 200)
                        .then_some(())
                }
            })
            .await;
        }
    }

    /// Runs a second `serve` on the same data and other ports until it exits.
    pub fn serve_again(&self) -> Output {
        let mut command = self.serve();
        command.args(["--listen", &format!("127.0.0.1:{}", free_port())]);
        command.args(["--admin-listen", &format!("127.0.0.1:{}", free_port())]);
        command
            .stderr(Stdio::piped())
            .output()
            .expect("a second gateway runs")
    }

    /// The id of the process, if it runs.
    pub fn pid(&mut self) -> Option<u32> {
        let process = self.process.as_mut()?;
        process
            .try_wait()
            .expect("the gateway can be waited for")
            .is_none()
            .then(|| process.id())
    }

    /// `true` if the gateway was started and has exited by itself. It can then be started again.
    pub fn has_ended(&mut self) -> bool {
        let ended = self.process.is_some() && self.pid().is_none();
        if ended {
            self.process = None;
        }
        ended
    }

    /// Ends the gateway with SIGKILL.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("the gateway should be running");
        process.kill().expect("the gateway is killed");
        process.wait().expect("the gateway ends");
    }

    /// Sends SIGTERM and waits for the exit. Async, so that the senders on the same threads continue.
    pub async fn terminate(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the gateway should be running");
        send_signal("TERM", process.id());
        eventually("the gateway's end", || {
            let ended = process.try_wait().expect("the gateway can be waited for");
            async move { ended }
        })
        .await
    }

    /// Runs a command on the gateway's data.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.program()
            .args(arguments)
            .output()
            .expect("the program runs")
    }

    pub(crate) fn admin(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin_port)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("serve.log")
    }

    fn program(&self) -> Command {
        let mut command = Command::new(program());
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARTWIRE_"))
        {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().cloned());
        command
            .arg("--data-dir")
            .arg(&self.data)
            .stdin(Stdio::null());
        command
    }

    fn serve(&self) -> Command {
        let mut command = self.program();
        command
            .arg("serve")
            .args(&self.options)
            .stdout(Stdio::null());
        command
    }
}

impl Drop for ProcessGateway {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let log = tail(&self.log());
        if std::thread::panicking() {
            eprintln!("the gateway's log:\n{log}");
        } else {
            assert!(!log.contains("panicked"), "the gateway panicked:\n{log}");
        }
    }
}
