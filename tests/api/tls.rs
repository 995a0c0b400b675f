//! The public listener with TLS: webhooks are accepted, and an unfinished handshake delays no other sender.

use support::http::Peer;
use support::in_process::{InProcessGateway, SHOP, order};

#[tokio::test(flavor = "multi_thread")]
async fn tls_webhooks_are_accepted_beside_unfinished_handshakes() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (cert, private) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&private, made.signing_key.serialize_pem()).expect("written");
    let gateway =
        InProcessGateway::with(|args| (args.tls_cert, args.tls_key) = (Some(cert), Some(private)))
            .await;

    let mut unfinished = Vec::new();
    for hello in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut peer = Peer::connect(gateway.public).await;
        peer.write(hello).await;
        unfinished.push(peer);
    }
    let authority =
        reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).expect("a certificate");
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([authority])
        .build()
        .expect("a client");
    let url = format!("https://localhost:{}{SHOP}", gateway.public.port());
    for nonce in 0..3 {
        let signed = order("order.updated", r#"{"id":1}"#, nonce);
        let mut request = client.post(&url).body(signed.body);
        for (name, value) in &signed.headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), answer.version()),
            (200, reqwest::Version::HTTP_11)
        );
    }
    assert_eq!(gateway.kept().await.len(), 3);
}
