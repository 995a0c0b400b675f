//! The accepted forms of keys, and the errors for other texts.

use super::*;

const PEM: &str = include_str!("../../../fixtures/keys/wix/verification.key");
const PRIVATE: &str = include_str!("../../../fixtures/keys/wix/signing.key");
const PKCS1: &str = "-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEApz9Geq0Zaz9IBn6vNqhpD8+sjMqkBAGPr4leMwqdcE4gqwHYaHwK
IzWN4ZGdFmYWEZKhY1Y9C/a8SCfRCMfPTPmi/UifiTtT8xUw0rpUjnx13tbnDx5c
w0iqypiB2/n3VHr46sj4QvgqGU9owhqRdcFp09lCBZddCDilGXNXBjNOJzfemTpP
R3lv4prDEHKAZ+e2QzW+YJtgYY4RxVBvzihi5yJryoQoIPw4BFXlyYalscBMix2W
b+y3KhqnYreVqk0H+5OPLH6smHGOiVsutyhI6gxM5MCoi8CEf22sB2I6+5yT+kw0
zV/IiE5IZCTVjXSQlYyyBD/gzpteDY7avwIDAQAB
-----END RSA PUBLIC KEY-----
";
const ELLIPTIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcxfnbMQVg/+Zeclu6hd9dlGDjrqg
gHsTaIqXzD9arvvwyBzgwaMPTFQlHWUlV7PK56CgfAdDQRmoxEIFRwIsCg==
-----END PUBLIC KEY-----
";
const SHORT: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDnD47lMBjFW+YeGqU6ziu/Rf3B
vqKE6W25mwVUZxsLK3htzo9DN0pgfkKr4J/p7exJ5/4J53zQrd3BI5IcRv6foSl3
7nlTxy613/mzfYz6Egsvlt+d9bHXROBI1utQrZiEgQvih1udK7+vvQMPIuxqyeSo
XMOeQB97JvS8K+P4nwIDAQAB
-----END PUBLIC KEY-----
";

fn body(pem: &str) -> String {
    pem.lines()
        .filter(|line| !line.starts_with("-----"))
        .collect()
}

#[test]
fn public_key_is_read_in_every_accepted_form() {
    let shapes = [
        PEM.to_owned(),
        PEM.replace('\n', "\r\n"),
        PEM.replace('\n', "\\n"),
        PEM.replace('\n', "\\r\\n"),
        PEM.replace('\n', ""),
        PEM.replace('\n', " "),
        format!("  \"{}\"  ", PEM.trim()),
        format!("'{}'\n", PEM.replace('\n', "\\n")),
        format!("\u{feff}{PEM}"),
        STANDARD.encode(PEM),
        STANDARD.encode(PEM.replace('\n', "\r\n")),
        body(PEM),
        format!("{}\n{}", &body(PEM)[..64], &body(PEM)[64..]),
    ];
    for shape in shapes {
        assert_eq!(
            public_key(&shape)
                .map(|key| key.pem)
                .map_err(|e| e.to_string())
                .as_deref(),
            Ok(PEM),
            "{shape}"
        );
    }
    for shape in [
        PKCS1.to_owned(),
        PKCS1.replace('\n', "\\n"),
        STANDARD.encode(PKCS1),
        body(PKCS1),
    ] {
        assert_eq!(
            public_key(&shape)
                .map(|key| key.pem)
                .map_err(|e| e.to_string())
                .as_deref(),
            Ok(PKCS1),
            "{shape}"
        );
    }
}

#[test]
fn error_for_an_invalid_key_contains_no_part_of_the_key() {
    let damaged = PEM.replacen("Geq0Zaz9", "Geq0Zaz", 1);
    let cut = PEM
        .lines()
        .enumerate()
        .filter(|(n, _)| *n != 3)
        .map(|(_, line)| format!("{line}\n"))
        .collect::<String>();
    let public_in_private = PRIVATE.replace("PRIVATE", "PUBLIC");
    for (bad, word) in [
        ("", "empty"),
        (" \"\" ", "empty"),
        ("hello!", "neither PEM"),
        ("aGVsbG8=", "damaged"),
        (damaged.as_str(), "damaged"),
        (cut.as_str(), "damaged"),
        (
            PEM.trim_end_matches("-----END PUBLIC KEY-----\n"),
            "damaged",
        ),
        (PRIVATE, "private key"),
        (&STANDARD.encode(PRIVATE), "private key"),
        (&body(PRIVATE), "private key"),
        (&public_in_private, "private key"),
        (ELLIPTIC, "not an RSA key"),
        (SHORT, "1024 bits"),
        (
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "certificate",
        ),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nMIIB\n-----END OPENSSH PRIVATE KEY-----",
            "private key",
        ),
        (&format!("{PEM}{PEM}"), "more than one"),
        (&"A".repeat(100_000), "too long"),
    ] {
        let message = public_key(bad).map(|_| ()).expect_err(bad).to_string();
        assert!(message.contains(word), "{bad}: {message}");
        assert!(
            !message.contains("MII")
                && !message.contains(
                    body(PEM)
                        .get(60..80)
                        .expect("the key should be long enough")
                ),
            "{message}"
        );
    }
}

#[test]
fn key_with_a_changed_header_or_length_is_rejected() {
    let der = STANDARD
        .decode(body(PEM))
        .expect("the key should be base64");
    // Bytes 17 and 18 are the parameters of the algorithm, which have no meaning for RSA.
    for index in (0..28).filter(|index| !matches!(index, 17 | 18)) {
        let mut changed = der.clone();
        changed[index] ^= 0x55;
        assert!(
            public_key(&STANDARD.encode(&changed)).is_err(),
            "byte {index}"
        );
    }
    for length in 0..der.len() {
        assert!(
            public_key(&STANDARD.encode(&der[..length])).is_err(),
            "cut at {length}"
        );
    }
    assert!(
        public_key(&STANDARD.encode([&der[..], b"\0"].concat())).is_err(),
        "one extra byte"
    );
}

#[test]
fn signing_key_must_be_an_rsa_private_key() {
    assert!(private_key(PRIVATE).is_ok() && private_key(&PRIVATE.replace('\n', "\\n")).is_ok());
    assert_eq!(
        tried_private_key(PRIVATE)
            .map_err(|e| e.to_string())
            .as_deref(),
        Ok(PRIVATE)
    );
    for bad in ["", "x", PEM, ELLIPTIC] {
        let message = private_key(bad).map(|_| ()).expect_err(bad).to_string();
        assert!(
            message.contains("signing key") || message.contains("neither"),
            "{message}"
        );
    }
}
