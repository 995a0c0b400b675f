//! A double of Wix's API for the gateway's tests: an HTTP server on loopback that responds as www.wixapis.com does.
//!
//! ```ignore
//! let wix = wix::Wixapis::start(wix::World::default());
//! // `--api-base {wix.url}` with APP_ID, APP_SECRET; INSTANCE has installed the app. API_KEY, ACCOUNT_ID, SITE_ID for a site.
//! wix.change(|world| world.app_secret = "rotated".to_owned());      // changes the data while the server runs
//! wix.fail("/stores-reader/v1/products", Failure::TooMany(Some(1)), 2);  // the next two such requests fail
//! assert_eq!(wix.tokens(wix::INSTANCE), 1);                         // tokens issued to an installation
//! assert_eq!(wix.asked("/apps/v1/instance").len(), 1);              // received requests, with headers and bodies
//! ```
//!
//! Its data is a [`World`]: one app on one site with both catalogs, and one account with two sites. Every path except
//! the token's requires an issued token, or an API key with either the site's or the account's header. The double runs
//! on its own threads, so it works with any runtime and any clock. It does not check that the right requests are sent,
//! and it keeps no connection open.

mod lists;
mod world;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

pub use world::{
    ACCOUNT_ID, API_KEY, APP_ID, APP_SECRET, INSTANCE, Installation, OTHER_SITE_ID, RefusalShape,
    SITE_ID, World,
};

/// An error instead of the normal response.
#[derive(Clone, Debug)]
pub enum Failure {
    /// 429, with a `Retry-After` of this many seconds or without one.
    TooMany(Option<u64>),
    /// This status with the body of the platform's own errors.
    Status(u16),
    /// This status with this HTML body, as from a firewall or a proxy.
    Html(u16, &'static str),
    /// The normal response after this delay.
    Slow(Duration),
    /// The first half of the normal response.
    CutOff,
    /// A redirect to this URL.
    Redirect(String),
}

/// Failures of the requests whose path starts with `path`.
#[derive(Debug)]
struct Planned {
    path: String,
    /// Number of requests that succeed before.
    after: usize,
    failure: Failure,
    times: usize,
}

/// A received request.
#[derive(Clone, Debug)]
pub struct WixRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Without the question mark.
    pub query: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Parsed as JSON, if possible.
    pub body: Value,
    /// Status of the response; 0 if the response was cut off.
    pub status: u16,
}

#[derive(Debug, Default)]
struct State {
    world: World,
    requested: Vec<WixRequest>,
    failures: Vec<Planned>,
    /// The installation of each issued token.
    given: BTreeMap<String, String>,
    ended: bool,
}

/// The double. It stops on drop.
pub struct Wixapis {
    /// The base URL of the API.
    pub url: String,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Wixapis {
    /// Starts the double on a free loopback port.
    pub fn start(world: World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port should be available");
        let address = listener
            .local_addr()
            .expect("the listener should have an address");
        let state = Arc::new(Mutex::new(State {
            world,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if locked(&shared).ended {
                    break;
                }
                let shared = Arc::clone(&shared);
                // A client that disconnects early is not an error of the double.
                std::thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        Self {
            url: format!("http://{address}"),
            address,
            state,
        }
    }

    /// Changes the data.
    pub fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut locked(&self.state).world);
    }

    /// The next `times` requests whose path starts with `path` fail.
    pub fn fail(&self, path: &str, failure: Failure, times: usize) {
        self.fail_after(path, 0, failure, times);
    }

    /// As [`Wixapis::fail`], but `after` such requests succeed before.
    pub fn fail_after(&self, path: &str, after: usize, failure: Failure, times: usize) {
        locked(&self.state).failures.push(Planned {
            path: path.to_owned(),
            after,
            failure,
            times,
        });
    }

    /// Ends all failures.
    pub fn heal(&self) {
        locked(&self.state).failures.clear();
    }

    /// Invalidates all issued tokens.
    pub fn forget_tokens(&self) {
        locked(&self.state).given.clear();
    }

    /// The received requests whose path starts with `path`.
    pub fn requests(&self, path: &str) -> Vec<WixRequest> {
        locked(&self.state)
            .requested
            .iter()
            .filter(|requested| requested.path.starts_with(path))
            .cloned()
            .collect()
    }

    /// Number of tokens that were issued to an installation.
    pub fn tokens(&self, instance: &str) -> usize {
        let requested = self.requests("/oauth2/token");
        requested
            .iter()
            .filter(|requested| {
                requested.status == 200 && requested.body["instance_id"] == instance
            })
            .count()
    }
}

impl Drop for Wixapis {
    fn drop(&mut self) {
        locked(&self.state).ended = true;
        // Wakes the listener, so that it sees the stop flag.
        let _ = TcpStream::connect(self.address);
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Status, additional headers, body.
type Response = (u16, Vec<(&'static str, String)>, String);

fn serve(mut stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let Some(mut requested) = read(stream)? else {
        return Ok(());
    };
    let (failure, right) = {
        let mut state = locked(state);
        let failure = take_failure(&mut state.failures, &requested.path);
        // A request that fails before the API must not change the data, for example by issuing a token.
        let heard = matches!(failure, None | Some(Failure::Slow(_) | Failure::CutOff));
        (
            failure,
            if heard {
                answer(&mut state, &requested)
            } else {
                plain(500, &json!({}))
            },
        )
    };
    let (response, whole) = match failure {
        None => (right, true),
        Some(Failure::Slow(delay)) => {
            std::thread::sleep(delay);
            (right, true)
        }
        Some(Failure::CutOff) => (right, false),
        Some(Failure::TooMany(after)) => {
            let headers = after
                .map(|seconds| ("retry-after", seconds.to_string()))
                .into_iter()
                .collect();
            let body = json!({"message": "Too many requests", "details": {"applicationError": {"code": "RESOURCE_EXHAUSTED"}}});
            ((429, headers, body.to_string()), true)
        }
        Some(Failure::Status(status)) => {
            (plain(status, &json!({"message": "", "details": {}})), true)
        }
        Some(Failure::Html(status, body)) => (
            (
                status,
                vec![("content-type", "text/html".to_owned())],
                body.to_owned(),
            ),
            true,
        ),
        Some(Failure::Redirect(to)) => ((302, vec![("location", to)], String::new()), true),
    };
    requested.status = if whole { response.0 } else { 0 };
    // The request is stored before the response is sent, so that a client with a response always finds its request.
    locked(state).requested.push(requested);
    let (status, headers, body) = response;
    let mut head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n",
        body.len()
    );
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        head += "content-type: application/json\r\n";
    }
    head += "x-wix-request-id: 1700000000.0000000000000000000\r\n";
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let sent = if whole {
        body.as_bytes()
    } else {
        &body.as_bytes()[..body.len() / 2]
    };
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(sent)
}

fn take_failure(failures: &mut Vec<Planned>, path: &str) -> Option<Failure> {
    let mut taken = None;
    for planned in failures
        .iter_mut()
        .filter(|planned| path.starts_with(&planned.path))
    {
        if planned.after > 0 {
            planned.after -= 1;
        } else if taken.is_none() && planned.times > 0 {
            planned.times -= 1;
            taken = Some(planned.failure.clone());
        }
    }
    failures.retain(|planned| planned.times > 0);
    taken
}

/// Reads a request; `None` if the client sent nothing.
fn read(stream: &TcpStream) -> std::io::Result<Option<WixRequest>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Ok(Some(WixRequest {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body,
        status: 0,
    }))
}

fn plain(status: u16, body: &Value) -> Response {
    (status, Vec::new(), body.to_string())
}

/// The normal response.
fn answer(state: &mut State, requested: &WixRequest) -> Response {
    if requested.path == "/oauth2/token" {
        return token(state, requested);
    }
    let (status, body) = state.world.answer(
        &requested.method,
        &requested.path,
        &requested.query,
        &requested.body,
        &requested.headers,
        &state.given,
    );
    plain(status, &body)
}

fn token(state: &mut State, requested: &WixRequest) -> Response {
    let reported = |name: &str| requested.body[name].as_str().unwrap_or_default();
    match state.world.token_refusal(
        reported("grant_type"),
        reported("client_id"),
        reported("client_secret"),
        reported("instance_id"),
    ) {
        Some((status, body)) => plain(status, &body),
        None => {
            let token = format!(
                "OauthNG.JWS.{}.{}",
                state.requested.len(),
                reported("instance_id")
            );
            state
                .given
                .insert(token.clone(), reported("instance_id").to_owned());
            let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": state.world.token_seconds});
            plain(
                200,
                &if state.world.wraps_tokens {
                    json!({"body": body.to_string()})
                } else {
                    body
                },
            )
        }
    }
}
