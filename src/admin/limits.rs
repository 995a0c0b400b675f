//! Limits of the admin listener, so that no client of the API uses up the memory or the threads of the gateway, and so that
//! probes are always answered.
//!
//! A read uses a slot while its thread works. A long response uses a slot until the client has read it. A stream uses a slot
//! until it ends. Probes have their own slots.

use std::pin::Pin;
use std::sync::Arc;
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
/// Maximum number of streams.
const STREAMS: usize = 64;
/// Maximum number of streams with a large buffer.
const LARGE_STREAM_BUFFERS: usize = 4;
/// Maximum wait of a request for a slot. Then it is answered 503.
const SLOT_TIMEOUT: Duration = Duration::from_secs(5);
/// A response is passed to the connection in pieces of this size, so that it is not copied as a whole.
const PIECE_BYTES: usize = 64 << 10;

/// The slots of the admin listener.
#[derive(Debug)]
pub struct Limits {
    reads: Arc<Semaphore>,
    probe_reads: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    pub(super) large_stream_buffers: Arc<Semaphore>,
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
    let bytes = serde_json::to_vec(value).map_err(|_| ApiError::Unwritable)?;
    let body = LongBody {
        rest: Bytes::from(bytes),
        _slot: slot,
    };
    Ok(HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(body))
}

struct LongBody {
    rest: Bytes,
    _slot: OwnedSemaphorePermit,
}

impl MessageBody for LongBody {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.rest.len() as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(self.rest.split_to(length))))
    }
}
