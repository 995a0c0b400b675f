//! Secrets: generated ones are shown once, old ones verify during the grace time, and none is stored or logged in plain text.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;
use support::eventually_blocking;

use crate::command::{Bench, key, order, states};

#[test]
fn generated_secret_is_shown_once() {
    let bench = Bench::new();
    let added = bench.run(&[
        "connections",
        "add",
        "woocommerce",
        "--id",
        "shop-a",
        "--url",
        "shop.example",
        "--no-register",
        "--json",
    ]);
    let added = added.assert(0).json();
    let secret = added["secret"].as_str().expect("a secret").to_owned();
    assert_eq!(secret.len(), 48);
    assert!(
        secret
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')),
        "{secret}"
    );
    assert_eq!(
        added["connection"]["settings"]["url"],
        "https://shop.example"
    );
    assert!(
        added["url"]
            .as_str()
            .is_some_and(|url| url.ends_with("/webhooks/woocommerce/shop-a"))
    );

    let other = bench.run(&[
        "connections",
        "add",
        "woocommerce",
        "--id",
        "shop-b",
        "--url",
        "b.example",
        "--no-register",
    ]);
    let line = other
        .assert(0)
        .out
        .lines()
        .find_map(|line| line.trim().strip_prefix("secret:").map(str::to_owned));
    let other = line
        .and_then(|line| line.split_whitespace().next().map(str::to_owned))
        .expect("a secret is shown");
    assert!(other.len() == 48 && other != secret, "each has its own");
    bench.add_app().assert(0);
    let given = bench.file("given", "this-secret-was-typed\n");
    let credentials = [("ck", "ck_0123456789abcdef"), ("cs", "cs_fedcba9876543210")]
        .map(|(name, value)| bench.file(name, value));
    let more = [
        "--consumer-key-file",
        &credentials[0],
        "--consumer-secret-file",
        &credentials[1],
        "--webhook-secret-file",
        &given,
    ];
    let add = [
        "connections",
        "add",
        "woocommerce",
        "--id",
        "shop-c",
        "--url",
        "c.example",
        "--no-register",
        "--json",
    ];
    let typed = bench.run(&[&add[..], &more].concat());
    assert_eq!(
        typed.assert(0).json()["secret"],
        Value::Null,
        "who typed it knows it"
    );

    let pem = key("wix", "signing");
    let private = pem.lines().nth(3).expect("a line");
    let public_pem = key("wix", "verification");
    let public = public_pem.lines().nth(3).expect("a line");
    let mut seen = vec![typed.all()];
    for arguments in [
        &["connections", "list"][..],
        &["connections", "list", "--json"],
        &["connections", "show", "shop-a"],
        &["connections", "show", "shop-b", "--json"],
        &["connections", "show", "shop-c", "--json"],
        &["connections", "show", "my-app", "--json"],
        &["deliveries", "list", "--json"],
        &["events", "list", "--json"],
    ] {
        seen.push(bench.run(arguments).assert(0).all());
    }
    for secret in [
        &secret,
        &other,
        "this-secret-was-typed",
        "ck_0123456789abcdef",
        "cs_fedcba9876543210",
        private,
        public,
    ] {
        assert!(
            seen.iter().all(|text| !text.contains(secret)),
            "a secret is shown again"
        );
        // Nor does it lie in the data folder as it is.
        for file in std::fs::read_dir(bench.data()).expect("the data folder") {
            let bytes = std::fs::read(file.expect("a file").path()).expect("a file");
            assert!(
                !bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes()),
                "it is sealed"
            );
        }
    }
}

#[test]
fn both_secrets_verify_during_the_grace_time_and_one_after_it() {
    let bench = Bench::new();
    bench.add_shop();
    let served = bench.serve(&[]);
    let first = key("woocommerce", "signing");
    let status = |secret: &str, n: u64| {
        served
            .post(
                "woocommerce",
                "shop-a",
                &order(&format!(r#"{{"id":{n}}}"#), n, secret),
            )
            .0
    };
    assert_eq!(status(&first, 1), 200);
    let rotated = bench
        .run(&[
            "connections",
            "rotate-secret",
            "shop-a",
            "--json",
            "--grace-hours",
            "1",
        ])
        .assert(0)
        .json();
    let second = rotated["secret"].as_str().expect("a secret").to_owned();
    eventually_blocking("the new secret verifies", || {
        (status(&second, 2) == 200).then_some(())
    });
    assert_eq!(status(&first, 3), 200, "the old one still does");
    assert_eq!(status("some other secret", 4), 401);
    let third = bench.file("third", "the third secret\n");
    bench
        .run(&[
            "connections",
            "rotate-secret",
            "shop-a",
            "--secret-file",
            &third,
            "--grace-hours",
            "0",
        ])
        .assert(0);
    eventually_blocking("the third secret verifies", || {
        (status("the third secret", 5) == 200).then_some(())
    });
    eventually_blocking("the second secret is over", || {
        (status(&second, 6) == 401).then_some(())
    });
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn log_contains_no_secret_body_or_token() {
    let bench = Bench::new();
    bench.add_shop();
    bench.add_app().assert(0);
    let token = bench.file("token", "the-token-of-the-admin\n");
    let served = bench.serve(&["--log", "debug", "--admin-token-file", &token]);
    let secret = key("woocommerce", "signing");
    let body = r#"{"id":7,"billing":{"email":"customer@example.com"}}"#;
    let good = order(body, 1, &secret);
    assert_eq!(served.post("woocommerce", "shop-a", &good).0, 200);
    assert_eq!(
        served
            .post("woocommerce", "shop-a", &order(body, 2, "wrong secret"))
            .0,
        401
    );
    let signature = good
        .headers
        .iter()
        .find(|(name, _)| name.contains("Signature"))
        .map(|(_, value)| value.clone());
    eventually_blocking("it is published", || {
        states(&bench, &["--state", "logged"]).first().cloned()
    });
    let (code, log) = served.stop();
    assert_eq!(code, Some(0));
    assert!(
        log.contains(
            r#""message":"webhooks refused","reason":"signature_wrong","count":1,"connections":1"#
        ),
        "refusals are summarized at the end: {log}"
    );
    let master = std::fs::read_to_string(bench.data().join("master.key")).expect("the key");
    let keys = key("wix", "signing");
    let pem = keys.lines().nth(3).expect("a line");
    for secret in [
        secret.trim(),
        "customer@example.com",
        "the-token-of-the-admin",
        &signature.expect("signed"),
        master.trim(),
        pem,
    ] {
        assert!(!log.contains(secret), "the log contains {secret}");
    }
}

#[test]
fn secret_is_read_from_standard_input() {
    use std::io::Write;
    let bench = Bench::new();
    let shop = [
        "--id",
        "shop-a",
        "--url",
        "shop.example",
        "--no-register",
        "--webhook-secret-file",
        "-",
    ];
    let mut command = bench.command(&[&["connections", "add", "woocommerce"], &shop[..]].concat());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"from a pipe\n")
        .expect("written");
    let mut out = String::new();
    child
        .stdout
        .take()
        .expect("a pipe")
        .read_to_string(&mut out)
        .expect("read");
    assert!(child.wait().expect("it ends").success());
    assert!(!out.contains("from a pipe"));
    let served = bench.serve(&[]);
    assert_eq!(
        served
            .post(
                "woocommerce",
                "shop-a",
                &order(r#"{"id":1}"#, 1, "from a pipe")
            )
            .0,
        200
    );
}
