//! Connections to real RabbitMQ nodes: TLS with a private CA, client certificates, several addresses, frozen nodes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use support::consumer::{Consumer, EVENTS, events};
use support::node::RabbitNode;
use support::process::ProcessGateway;
use support::store::Order;
use support::{eventually, free_port};
use tempfile::TempDir;

/// A CA that the test creates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// A certificate for this name, and its private key, as PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.display().to_string()
    }
}

/// Starts a node that listens for TLS with a certificate of `authority`. Returns the node and its TLS port.
async fn tls_node(authority: &Authority) -> (RabbitNode, u16) {
    let mut node = RabbitNode::stopped();
    let port = free_port();
    let (certificate, key) = authority.issue("localhost");
    let shown = |path: PathBuf| path.display().to_string();
    let lines = format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\n\
         ssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
         ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = false\n\
         auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\nssl_cert_login_from = common_name\n",
        shown(node.file("ca.pem", &authority.pem)),
        shown(node.file("server.pem", &certificate)),
        shown(node.file("server.key", &key)),
    );
    node.configure(&lines, "[rabbitmq_auth_mechanism_ssl].");
    node.start().await;
    (node, port)
}

async fn connected(gateway: &ProcessGateway) {
    eventually("the gateway is connected", || async {
        (gateway.metric("cartwire_broker_connected", "").await == 1.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_with_a_private_ca_is_trusted_by_its_file_only() {
    let authority = Authority::new();
    let (node, port) = tls_node(&authority).await;
    let url = format!("amqps://guest:guest@localhost:{port}/%2f");
    let mut gateway = ProcessGateway::new(&["--amqp-url", &url]);
    gateway.start().await;
    eventually("the TLS failure is logged", || async {
        gateway
            .log_text()
            .contains("broker is not reached")
            .then_some(())
    })
    .await;
    assert_eq!(gateway.metric("cartwire_broker_connected", "").await, 0.0);
    assert!(gateway.terminate().await.success());
    let ca = authority.file("ca.pem", &authority.pem);
    gateway.set_options(&["--amqp-url", &url, "--amqp-ca-file", &ca]);
    gateway.start().await;
    connected(&gateway).await;
    let ledger = gateway.store().send_all(&Order::some(2), 0, 2).await;
    gateway.settled().await;
    let arrived = Consumer::connect(&node.url()).await.drain(EVENTS).await;
    ledger.assert_told_by(&events(&arrived));
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificate_is_the_login_if_the_url_has_no_user() {
    let authority = Authority::new();
    let (node, port) = tls_node(&authority).await;
    node.ctl(&["add_user", "cartwire", "unused"]);
    node.ctl(&["set_permissions", "cartwire", ".*", ".*", ".*"]);
    let (certificate, key) = authority.issue("cartwire");
    let ca = authority.file("ca.pem", &authority.pem);
    let certificate = authority.file("client.pem", &certificate);
    let key = authority.file("client.key", &key);
    let url = format!("amqps://localhost:{port}/%2f");
    let options = [
        "--amqp-url",
        &url,
        "--amqp-ca-file",
        &ca,
        "--amqp-client-cert-file",
        &certificate,
        "--amqp-client-key-file",
        &key,
    ];
    let mut gateway = ProcessGateway::new(&options);
    gateway.start().await;
    connected(&gateway).await;
    let users = node.ctl(&["list_connections", "user", "auth_mechanism"]);
    assert!(users.contains("cartwire\tEXTERNAL"), "{users}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_node_is_replaced_by_the_next_address_within_seconds() {
    let (mut first, second) = tokio::join!(RabbitNode::started(), RabbitNode::started());
    let list = format!("{},{}", first.url(), second.url());
    let mut gateway = ProcessGateway::with_broker(&list);
    gateway.start().await;
    connected(&gateway).await;
    let before = gateway.store().send_all(&Order::some(3), 0, 2).await;
    gateway.settled().await;
    let arrived = Consumer::connect(&first.url()).await.drain(EVENTS).await;
    before.assert_told_by(&events(&arrived));
    first.kill();
    let lost_at = Instant::now();
    let after = gateway.store().send_all(&Order::some(3), 2, 4).await;
    gateway.settled().await;
    assert!(
        lost_at.elapsed() < Duration::from_secs(30),
        "{:?}",
        lost_at.elapsed()
    );
    let arrived = Consumer::connect(&second.url()).await.drain(EVENTS).await;
    after.assert_told_by(&events(&arrived));
}

/// Number of entries in the folder `/proc/PID/{what}`.
fn count(pid: u32, what: &str) -> usize {
    std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join(what))
        .expect("the gateway should be running")
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_broker_leaks_neither_threads_nor_descriptors() {
    let node = RabbitNode::started().await;
    node.set_frozen(true);
    // Several addresses shorten the connect timeout, so the same address is listed three times.
    let list = vec![node.url(); 3].join(",");
    let mut gateway = ProcessGateway::with_broker(&list);
    gateway.start().await;
    let pid = gateway.pid().expect("the gateway should be running");
    let rounds = |many: f64| {
        let gateway = &gateway;
        async move {
            eventually("the connects fail", || async {
                let failed = gateway
                    .metric("cartwire_broker_connect_failures_total", "")
                    .await;
                (failed >= many).then_some(())
            })
            .await;
        }
    };
    rounds(1.0).await;
    let before = (count(pid, "task"), count(pid, "fd"));
    rounds(4.0).await;
    let after = (count(pid, "task"), count(pid, "fd"));
    // Nine attempts later. One attempt may be in progress, and the test's own requests use a few descriptors.
    assert!(
        after.0 <= before.0 + 3,
        "threads: {before:?}, then {after:?}"
    );
    assert!(
        after.1 <= before.1 + 4,
        "descriptors: {before:?}, then {after:?}"
    );
    node.set_frozen(false);
    connected(&gateway).await;
}
