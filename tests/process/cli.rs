//! Exit codes, configuration errors, and the output of commands that need no running gateway.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::command::{APP_ID, Bench, private_key};

#[test]
fn exit_codes_distinguish_the_kinds_of_failure() {
    let bench = Bench::new();
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["serve", "--help"], 0),
        (&["connections", "add", "woocommerce", "--help"], 0),
        (&[], 64),
        (&["frobnicate"], 64),
        (&["serve", "--no-such-option"], 64),
        (&["connections"], 64),
        (&["connections", "add", "woocommerce"], 64),
        (&["connections", "show", "a b"], 64),
        (&["deliveries", "list", "--state", "lost"], 64),
        (&["deliveries", "show", "nonsense"], 64),
        (&["deliveries", "redrive"], 64),
        (&["events", "show", "nonsense"], 64),
        (&["replay", "fixtures", "--to", "nowhere"], 64),
        (&["connections", "list"], 0),
        (&["connections", "show", "unknown"], 1),
        (&["connections", "pause", "unknown"], 1),
        (&["connections", "rotate-secret", "unknown"], 1),
        (
            &["deliveries", "show", "00000000000000000000000000000000"],
            1,
        ),
        (&["deliveries", "redrive", "--all"], 1),
        (&["events", "show", "00000000000000000000000000000000-0"], 1),
    ] {
        let done = bench.run(arguments);
        assert_eq!(done.code, code, "{arguments:?}: {}", done.all());
        assert!(
            code != 64 || done.out.is_empty(),
            "{arguments:?}: mistakes go to standard error"
        );
        assert!(
            !done.all().trim().is_empty(),
            "{arguments:?} says something"
        );
    }
    let file = bench.file("file", "");
    bench
        .run(&["connections", "list", "--data-dir", &file])
        .assert(74);
    bench.add_shop();
    bench
        .run(&[
            "replay",
            "fixtures/woocommerce/order.created/guest",
            "--to",
            "http://127.0.0.1:1",
        ])
        .assert(69);
}

#[test]
fn all_configuration_errors_are_reported_at_once() {
    let bench = Bench::new();
    let done = bench.run(&[
        "serve",
        "--listen",
        "nowhere",
        "--admin-listen",
        "0.0.0.0:8081",
        "--amqp-url",
        "ampq://user:geheim@host",
        "--topology",
        "make",
        "--queue",
        "orders",
        "--max-body-bytes",
        "big",
        "--body-timeout-seconds",
        "0",
        "--log-format",
        "xml",
        "--tls-cert",
        "cert.pem",
    ]);
    done.assert(78);
    for option in [
        "--listen (CARTWIRE_LISTEN)",
        "--admin-token (CARTWIRE_ADMIN_TOKEN)",
        "--amqp-url (CARTWIRE_AMQP_URL)",
        "--topology",
        "--queue",
        "--max-body-bytes",
        "--body-timeout-seconds",
        "--log-format",
        "--tls-key",
    ] {
        assert!(done.err.contains(option), "{option} in {}", done.err);
    }
    assert!(!done.err.contains("geheim"));
    assert!(!bench.data().exists(), "nothing was begun");
}

#[cfg(unix)]
#[test]
fn master_key_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.add_shop();
    let mode = |path: &Path| {
        std::fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&bench.data().join("master.key")), 0o600);
    assert_eq!(mode(&bench.data()), 0o700);
}

#[test]
fn invalid_key_is_reported_with_all_other_configuration_errors() {
    let bench = Bench::new();
    let key = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA";
    let bad = bench.file(
        "bad.pem",
        &format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n"),
    );
    let app = [
        "connections",
        "add",
        "wix-app",
        "--id",
        "my-app",
        "--app-id",
        "no-uuid",
        "--public-key-file",
        &bad,
    ];
    let done = bench.run(&app);
    done.assert(78);
    assert!(
        done.err.contains("--app-id") && done.err.contains("--public-key-file"),
        "both at once: {}",
        done.err
    );
    assert!(!done.all().contains(key), "the key is not repeated");
    bench.run(&["connections", "show", "my-app"]).assert(1);
    let private = bench.file("private.pem", &private_key());
    let app = [
        "connections",
        "add",
        "wix-app",
        "--id",
        "my-app",
        "--app-id",
        APP_ID,
        "--public-key-file",
        &private,
    ];
    assert!(bench.run(&app).assert(78).err.contains("private key"));
    let missing = bench.0.path().join("missing").display().to_string();
    let app = [
        "connections",
        "add",
        "wix-app",
        "--id",
        "my-app",
        "--app-id",
        APP_ID,
        "--public-key-file",
        &missing,
    ];
    assert!(bench.run(&app).assert(78).err.contains("missing"));
    let shop = [
        "connections",
        "add",
        "woocommerce",
        "--id",
        "a/b",
        "--url",
        "https://shop.example",
        "--no-register",
    ];
    assert!(bench.run(&shop).assert(78).err.contains("--id"));
    let shop = [
        "connections",
        "add",
        "woocommerce",
        "--id",
        "shop",
        "--url",
        "ftp://shop.example",
        "--no-register",
    ];
    assert!(bench.run(&shop).assert(78).err.contains("--url"));

    bench.add_app().assert(0);
    bench
        .run(&["connections", "rotate-secret", "my-app"])
        .assert(64);
    let done = bench.run(&[
        "connections",
        "rotate-secret",
        "my-app",
        "--secret-file",
        &bad,
    ]);
    assert!(done.assert(78).err.contains("--secret-file") && !done.all().contains(key));
}

#[test]
fn invalid_master_key_is_a_configuration_error() {
    let bench = Bench::new();
    bench.add_shop();
    let short = bench.file("short.key", "c2hvcnQ=");
    let shop = [
        "connections",
        "add",
        "woocommerce",
        "--id",
        "b",
        "--url",
        "b.example",
        "--no-register",
        "--master-key-file",
        &short,
    ];
    assert!(bench.run(&shop).assert(78).err.contains("32 bytes"));
}

#[test]
fn event_schema_is_a_json_schema_that_rejects_other_json() {
    let schema = Bench::new().run(&["schema", "event"]).assert(0).json();
    assert!(jsonschema::meta::is_valid(&schema), "a valid schema");
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    assert!(!validator.is_valid(&json!({})) && !validator.is_valid(&json!([])));
}

#[test]
fn demo_exits_with_0_after_all_expected_events() {
    let done = Bench::new().run(&["demo", "--once", "--json"]);
    done.assert(0);
    let schema = serde_json::to_value(cartwire::event::json_schema()).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut platforms = BTreeMap::<String, u32>::new();
    for line in done.out.lines() {
        let event: Value = serde_json::from_str(line).expect("a line is an event");
        assert!(validator.is_valid(&event), "{line}");
        *platforms
            .entry(event["platform"].as_str().expect("a platform").to_owned())
            .or_default() += 1;
    }
    assert!(
        platforms.len() == 2 && platforms.values().all(|count| *count > 10),
        "events of both: {platforms:?}"
    );
}
