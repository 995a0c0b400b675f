//! Limits of the admin listener, so that no client of the API uses up the memory or the threads of the gateway, and so that
//! probes are always answered.
//!
//! A read uses a slot while its thread works. A long response uses a slot until the client has read it. A stream uses a slot
//! until it ends. Probes have their own slots.

use std::collections::VecDeque;
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::ContentType;
use actix_web::web::Bytes;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::query::ApiError;
use crate::journal::{Journal, ReadResult, Reader};

/// Maximum number of concurrent reads of the journal. Each uses a thread and a connection to the data file.
const READS: usize = 4;
/// The same for probes.
const PROBE_READS: usize = 1;
/// Maximum number of long responses in memory.
const ANSWERS: usize = 8;
/// Events that take more memory than this are large.
const LARGE_EVENT_BYTES: usize = 4 << 20;
/// Maximum number of streams.
const STREAMS: usize = 64;
/// Maximum number of streams with a large buffer.
const LARGE_STREAM_BUFFERS: usize = 4;
/// Maximum wait of a request for a slot. Then it is answered 503.
const SLOT_TIMEOUT: Duration = Duration::from_secs(5);
/// The size of the pieces of a long response.
const PIECE_BYTES: usize = 64 << 10;

/// The slots of the admin listener.
#[derive(Debug)]
pub struct Limits {
    reads: Arc<Semaphore>,
    probe_reads: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    pub(super) large_stream_buffers: Arc<Semaphore>,
    pub(super) large_events: LargeEvents,
}

/// Large events are made by one thread at a time: they take many times the memory of their delivery.
#[derive(Clone, Debug, Default)]
pub(super) struct LargeEvents(Arc<Mutex<()>>);

impl LargeEvents {
    /// Waits for the turn to make events of this size; small ones need none.
    pub(super) fn turn(&self, bytes: usize) -> Option<MutexGuard<'_, ()>> {
        let turn = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (bytes > LARGE_EVENT_BYTES).then(turn)
    }
}

impl Default for Limits {
    fn default() -> Self {
        let slots = |number| Arc::new(Semaphore::new(number));
        Self {
            reads: slots(READS),
            probe_reads: slots(PROBE_READS),
            answers: slots(ANSWERS),
            streams: slots(STREAMS),
            large_stream_buffers: slots(LARGE_STREAM_BUFFERS),
            large_events: LargeEvents::default(),
        }
    }
}

impl Limits {
    /// Reads the journal for the API.
    pub(super) async fn read<T, F>(&self, journal: &Journal, read: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> ReadResult<T> + Send + 'static,
    {
        read_with(slot(&self.reads).await?, journal, read).await
    }

    /// Reads the journal for a probe.
    pub(super) async fn read_for_probe<T, F>(
        &self,
        journal: &Journal,
        read: F,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> ReadResult<T> + Send + 'static,
    {
        read_with(slot(&self.probe_reads).await?, journal, read).await
    }

    /// A slot for a long answer, taken before the answer is read from the journal.
    pub(super) async fn answer(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        slot(&self.answers).await
    }

    /// A slot for a stream. Streams last long, so a request for another one does not wait.
    pub(super) fn stream(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.streams)
            .try_acquire_owned()
            .map_err(|_| ApiError::TooManyStreams { limit: STREAMS })
    }
}

async fn slot(slots: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    let slot = tokio::time::timeout(SLOT_TIMEOUT, Arc::clone(slots).acquire_owned()).await;
    match slot {
        Ok(Ok(slot)) => Ok(slot),
        Ok(Err(_)) | Err(_) => Err(ApiError::Busy),
    }
}

async fn read_with<T, F>(
    slot: OwnedSemaphorePermit,
    journal: &Journal,
    read: F,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: FnOnce(&Reader) -> ReadResult<T> + Send + 'static,
{
    // The thread owns the slot: it stays in use if the client disconnects before the read ends.
    let read = journal.read(move |reader| {
        let result = read(reader);
        drop(slot);
        result
    });
    Ok(read.await?)
}

/// A JSON answer that keeps its slot until the client has read it.
pub(super) fn long_answer(
    slot: OwnedSemaphorePermit,
    value: &impl Serialize,
) -> Result<HttpResponse, ApiError> {
    Ok(long_body(slot, Pieces::of_json(value)?))
}

/// As [`long_answer`], of written JSON.
pub(super) fn long_body(slot: OwnedSemaphorePermit, json: Pieces) -> HttpResponse {
    let body = LongBody { json, _slot: slot };
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(body)
}

/// A text in pieces. A text in one piece is copied whenever it grows, and stays in memory until the last byte is sent.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    full: VecDeque<Bytes>,
    last: Vec<u8>,
    length: u64,
}

impl Pieces {
    pub(super) fn of_json(value: &impl Serialize) -> Result<Self, ApiError> {
        let mut pieces = Self::default();
        serde_json::to_writer(&mut pieces, value).map_err(|_| ApiError::Unwritable)?;
        Ok(pieces)
    }

    fn next(&mut self) -> Option<Bytes> {
        let last = || Some(Bytes::from(std::mem::take(&mut self.last)));
        let next = self.full.pop_front().or_else(last)?;
        (!next.is_empty()).then_some(next)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.last.capacity() == 0 {
            self.last.reserve_exact(PIECE_BYTES);
        }
        let length = bytes.len().min(PIECE_BYTES - self.last.len());
        self.last.extend_from_slice(&bytes[..length]);
        self.length += length as u64;
        if self.last.len() == PIECE_BYTES {
            self.full.push_back(std::mem::take(&mut self.last).into());
        }
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct LongBody {
    json: Pieces,
    _slot: OwnedSemaphorePermit,
}

impl MessageBody for LongBody {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.json.length)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(self.json.next().map(Ok))
    }
}
