//! The event log as server-sent events: the events after a cursor, then new events as they arrive.
//!
//! A stream has a small buffer. A delivery that is larger than the buffer needs one of a few slots for large buffers, so that
//! clients that read nothing cannot fill the memory.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::event_log::{LogQuery, read_log};
use super::query::{ApiError, Parameters, STREAM_PARAMETERS, cursor};
use super::state::Admin;
use crate::event::Event;
use crate::journal::{EventCursor, EventFilter, PageLimit};
use crate::normalize::assemble_page;

/// Limit of one read of the journal for a stream.
const PAGE: PageLimit = PageLimit {
    rows: 100,
    bytes: 64 << 10,
};
/// Maximum bytes of a stream's buffer. A larger one needs a slot.
const BUFFER_BYTES: usize = 256 << 10;
/// A comment is sent after this time without an event, so that closed connections are noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Follower {
    admin: web::Data<Admin>,
    logged: watch::Receiver<u64>,
    shutdown: watch::Receiver<bool>,
    filter: EventFilter,
    after: EventCursor,
    waiting: VecDeque<Bytes>,
    large_buffer: Option<OwnedSemaphorePermit>,
    _slot: OwnedSemaphorePermit,
}

/// `GET /api/events/stream`: from `Last-Event-ID`, else from `after`, else from the oldest stored event.
pub(super) async fn events(
    request: HttpRequest,
    admin: web::Data<Admin>,
) -> Result<HttpResponse, ApiError> {
    let parameters = Parameters::of(&request, STREAM_PARAMETERS)?;
    let last = request.headers().get("last-event-id");
    let (parameter, after) = match last {
        Some(value) => {
            let text = value.to_str().unwrap_or_default();
            ("Last-Event-ID", cursor("Last-Event-ID", text)?)
        }
        None => ("after", parameters.after()?),
    };
    let filter = parameters.event_filter()?;
    let slot = admin.limits.stream()?;
    // A cursor that cannot be used is an error of the request, not an empty stream.
    let probe = LogQuery {
        parameter,
        after,
        limit: PageLimit { rows: 1, bytes: 1 },
        filter: filter.clone(),
    };
    let after = read_log(&admin, probe, |_, from| from).await?;
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/event-stream")
        .insert_header(("cache-control", "no-store"));
    if request.method() == Method::HEAD {
        return Ok(response.finish());
    }
    let follower = Follower {
        logged: admin.journal.logged(),
        shutdown: admin.shutdown.clone(),
        admin,
        filter,
        after,
        waiting: VecDeque::from([Bytes::from_static(b": cartwire\n\n")]),
        large_buffer: None,
        _slot: slot,
    };
    let lines = stream::unfold(follower, |mut follower| async move {
        let line = follower.next().await?;
        Some((Ok::<_, Infallible>(line), follower))
    });
    Ok(response.streaming(lines))
}

/// The end of a wait of a stream without events.
enum Awaited {
    /// New events may be there.
    Over,
    /// No event arrived for so long that a comment is due.
    Nothing,
    /// The gateway shuts down.
    End,
}

impl Follower {
    /// The next piece of the stream; `None` ends it.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.waiting.pop_front() {
                return Some(line);
            }
            self.logged.borrow_and_update();
            let Some((lines, next)) = self.read().await? else {
                // All readers were in use. The wait for one gave other streams their turn.
                if *self.shutdown.borrow() {
                    return None;
                }
                continue;
            };
            let held: usize = lines.iter().map(Bytes::len).sum();
            let awaited = if held > BUFFER_BYTES && self.large_buffer.is_none() {
                // The page is dropped, and read again when a slot is free.
                drop(lines);
                self.large_slot().await
            } else if next.position != self.after.position || held > 0 {
                if held <= BUFFER_BYTES {
                    self.large_buffer = None;
                }
                self.after = next;
                self.waiting = lines;
                continue;
            } else {
                self.large_buffer = None;
                self.more_logged().await
            };
            match awaited {
                Awaited::Over => {}
                Awaited::Nothing => return Some(Bytes::from_static(b": keep-alive\n\n")),
                Awaited::End => return None,
            }
        }
    }

    /// The next page as lines; empty if all readers are in use. A cursor that lost events ends the stream: the client gets the error
    /// when it connects again.
    async fn read(&self) -> Option<Option<(VecDeque<Bytes>, EventCursor)>> {
        let query = LogQuery {
            parameter: "after",
            after: self.after,
            limit: PAGE,
            filter: self.filter.clone(),
        };
        let page = read_log(&self.admin, query, |page, from| {
            let lines = assemble_page(page)
                .filter_map(|(position, event)| line(from.advanced(position), &event))
                .collect();
            (lines, from.advanced(page.next))
        });
        match page.await {
            Ok(page) => Some(Some(page)),
            Err(ApiError::Busy) => Some(None),
            Err(_) => None,
        }
    }

    async fn large_slot(&mut self) -> Awaited {
        let slots = Arc::clone(&self.admin.limits.large_stream_buffers);
        tokio::select! {
            slot = slots.acquire_owned() => match slot {
                Ok(slot) => {
                    self.large_buffer = Some(slot);
                    Awaited::Over
                }
                Err(_) => Awaited::End,
            },
            _ = self.shutdown.wait_for(|shutdown| *shutdown) => Awaited::End,
            () = tokio::time::sleep(KEEP_ALIVE) => Awaited::Nothing,
        }
    }

    async fn more_logged(&mut self) -> Awaited {
        tokio::select! {
            changed = self.logged.changed() => match changed {
                Ok(()) => Awaited::Over,
                Err(_) => Awaited::End,
            },
            _ = self.shutdown.wait_for(|shutdown| *shutdown) => Awaited::End,
            () = tokio::time::sleep(KEEP_ALIVE) => Awaited::Nothing,
        }
    }
}

/// An event as one message of the stream.
fn line(cursor: EventCursor, event: &Event) -> Option<Bytes> {
    let json = serde_json::to_string(event).ok()?;
    // Line breaks of a payload must not end the field. JSON allows them only between tokens.
    let json = json.replace(['\n', '\r'], " ");
    Some(Bytes::from(format!("id: {cursor}\ndata: {json}\n\n")))
}
