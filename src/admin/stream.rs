//! The event log as server-sent events: what is there after a cursor, then what comes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use tokio::sync::watch;

use super::Admin;
use super::query::{ApiError, EventQuery, cursor};
use crate::journal::entry::Position;
use crate::journal::{EventFilter, Journal};
use crate::normalize::assemble_page;

/// Events read from the journal at once.
const PAGE: usize = 100;
/// A comment is sent after that long without an event, so that dead peers are noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Follower {
    journal: Journal,
    logged: watch::Receiver<u64>,
    shutdown: watch::Receiver<bool>,
    filter: EventFilter,
    after: Position,
    waiting: VecDeque<Bytes>,
}

/// `GET /api/events/stream`: from `Last-Event-ID`, else from `after`, else from the beginning of what is kept.
pub(super) async fn events(
    request: HttpRequest,
    admin: web::Data<Admin>,
    query: web::Query<EventQuery>,
) -> Result<HttpResponse, ApiError> {
    let query = query.into_inner();
    let last = request
        .headers()
        .get("last-event-id")
        .map(|value| value.to_str().unwrap_or_default());
    let after = match cursor("Last-Event-ID", last)? {
        Some(last) => last,
        None => query.after()?,
    };
    let follower = Follower {
        journal: admin.journal.clone(),
        logged: admin.journal.logged(),
        shutdown: admin.shutdown.clone(),
        filter: query.filter(),
        after,
        waiting: VecDeque::from([Bytes::from_static(b": cartwire\n\n")]),
    };
    let lines = stream::unfold(follower, |mut follower| async move {
        let line = follower.next().await?;
        Some((Ok::<_, Infallible>(line), follower))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("cache-control", "no-store"))
        .streaming(lines))
}

impl Follower {
    /// The next piece of the stream; `None` ends it.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.waiting.pop_front() {
                return Some(line);
            }
            self.logged.borrow_and_update();
            let (after, filter) = (self.after, self.filter.clone());
            let page = self.journal.read(move |reader| {
                let page = reader.log(after, PAGE, &filter)?;
                Ok((assemble_page(&page), page.next))
            });
            let (events, next) = page.await.ok()?;
            self.after = next;
            for (cursor, event) in events {
                let Ok(json) = serde_json::to_string(&event) else {
                    continue;
                };
                // A payload's line breaks must not end the field: JSON allows them between tokens only.
                let json = json.replace(['\n', '\r'], " ");
                self.waiting
                    .push_back(Bytes::from(format!("id: {cursor}\ndata: {json}\n\n")));
            }
            if !self.waiting.is_empty() || next > after {
                continue;
            }
            tokio::select! {
                changed = self.logged.changed() => changed.ok()?,
                _ = self.shutdown.wait_for(|shutdown| *shutdown) => return None,
                () = tokio::time::sleep(KEEP_ALIVE) => return Some(Bytes::from_static(b": keep-alive\n\n")),
            }
        }
    }
}
