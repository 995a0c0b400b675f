//! Writes the seed corpus: every fixture in the form of each target's input. `tests/fuzz/run` calls it.
//!
//! No copies of the fixtures are kept with the source: what is written here is made again whenever it is needed.

use std::collections::BTreeMap;
use std::path::Path;

use cartwire::platforms::{Platform, Unsigned};
use cartwire::replay::fixture::{Fixture, embedded};
use cartwire_fuzz::{RS256, Request, Sender, now};

/// Larger ones slow the search down and show nothing that smaller ones do not.
const LARGEST: usize = 16 << 10;

/// Paths, queries and headers of the admin listener.
const ADMIN: &[&str] = &[
    "/api/events",
    "/api/events?after=0&limit=2&type=cartwire.order.*&connection=store&subject=order%2F1",
    "/api/events?after=9223372036854775807",
    "/api/events/stream?after=1\nlast-event-id: 3",
    "/api/events/00000000000000000000000000000000-0",
    "/api/deliveries?before=7&limit=3&state=pending,logged,dead_lettered&connection=store&platform=woocommerce",
    "/api/deliveries?topic=order.updated&reason=a_reason&since=2020-01-01T00:00:00Z&until=2030-01-01T00:00:00%2B02:00",
    "/api/deliveries/00000000000000000000000000000000",
    "/api/connections",
    "/api/connections/store\nhost: localhost\norigin: http://localhost\nsec-fetch-site: cross-site\nauthorization: Bearer x",
    "/api/openapi.json",
    "/healthz",
    "/readyz",
    "/metrics",
];

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).expect("usage: seeds FOLDER");
    let write = |target: &str, name: &str, content: &[u8]| -> std::io::Result<()> {
        let folder = Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder)?;
        if content.len() > LARGEST { Ok(()) } else { std::fs::write(folder.join(name), content) }
    };
    let senders: BTreeMap<&str, Sender> = ["woocommerce", "wix"].into_iter().map(|name| (name, Sender::new(name))).collect();
    for (index, fixture) in embedded().expect("fixtures").into_iter().enumerate() {
        let name = format!("fixture-{index}");
        match fixture {
            Fixture::Case(case) => {
                let sender = &senders[case.platform.name()];
                let unsigned = Unsigned { topic: &case.topic, payload: &case.payload, nonce: 1, options: &case.options };
                let Ok(signed) = sender.platform.sign(&unsigned, &sender.signing_key, now()) else { continue };
                match case.platform.name() {
                    "wix" => {
                        let claims = claims(sender.platform, &signed.body);
                        write("wix_token", &name, &signed.body)?;
                        write("wix_token", &format!("{name}-claims"), &[RS256, b"\n", &claims].concat())?;
                        write("wix_normalise", &name, &claims)?;
                    }
                    _ => {
                        write("woocommerce_request", &name, &Request::write(&signed.headers, &signed.body))?;
                        let line = [case.topic.as_bytes(), b"\n", &case.payload].concat();
                        write("woocommerce_normalise", &name, &line)?;
                    }
                }
                let options: String = case.options.iter().map(|(name, value)| format!("{name} = {value:?}\n")).collect();
                let about = format!("shows = {:?}\n[options]\n{options}", case.shows);
                let expected = serde_json::to_vec(&case.expected).expect("JSON");
                let between = b"\n---\n";
                let files = [&case.payload, &between[..], about.as_bytes(), between, &expected].concat();
                write("fixture_reader", &name, &files)?;
            }
            Fixture::Recorded(recorded) => {
                write("woocommerce_request", &name, &Request::write(&recorded.headers, &recorded.body))?;
                let body = String::from_utf8_lossy(&recorded.body);
                let file = serde_json::json!({"headers": recorded.headers, "body": body, "shows": recorded.shows});
                write("fixture_reader", &name, file.to_string().as_bytes())?;
            }
        }
    }
    for (index, request) in ADMIN.iter().enumerate() {
        write("admin_query", &format!("request-{index}"), request.as_bytes())?;
    }
    Ok(())
}

/// The middle of a token: what the platform keeps of it.
fn claims(platform: &dyn Platform, token: &[u8]) -> Vec<u8> {
    let sender = Sender::new(platform.name());
    let delivery = sender.prove(&Request { headers: Vec::new(), body: token });
    delivery.map(|delivery| delivery.parts().body.to_vec()).unwrap_or_default()
}
