//! Reads the body of a request within its limits of length, time and memory.

use actix_web::web::{self, Bytes, BytesMut};
use futures_util::StreamExt;

use super::answer::Refusal;
use super::body_budget::{FREE_BYTES, Reservation, SMALL_BODY_BYTES};
use super::body_sender::Sender;
use super::state::Receiver;
use crate::platforms::Rejection;

/// The facts about a body that are known before it is read.
pub(super) struct ExpectedBody {
    pub(super) sender: Sender,
    pub(super) announced: Option<usize>,
    /// The longest body that the platform allows for these headers.
    pub(super) longest: usize,
    /// `true` if the body ends after the announced length. If a request asks for an upgrade to another protocol, the HTTP
    /// server takes all bytes that follow as the body.
    pub(super) ends_as_announced: bool,
}

/// Reads the body, within its limits of length, time and memory.
pub(super) async fn read(
    receiver: &Receiver,
    payload: web::Payload,
    expected: ExpectedBody,
) -> Result<(Bytes, Reservation<'_>), Refusal> {
    let mut reservation = receiver.body_budget.open(expected.sender.clone());
    let timeout = receiver.body_timeout;
    let read = read_within(&mut reservation, payload, &expected, receiver);
    let body = tokio::time::timeout(timeout, read)
        .await
        .map_err(|_| Refusal::TooSlow)??;
    reservation.complete().map_err(|_| Refusal::Overloaded)?;
    Ok((body, reservation))
}

async fn read_within(
    reservation: &mut Reservation<'_>,
    mut payload: web::Payload,
    expected: &ExpectedBody,
    receiver: &Receiver,
) -> Result<Bytes, Refusal> {
    let end = match expected.ends_as_announced {
        true => expected.announced.unwrap_or(0),
        false => usize::MAX,
    };
    let most = expected.announced.unwrap_or(receiver.max_body_bytes);
    let mut whole = BytesMut::with_capacity(most.min(FREE_BYTES));
    while whole.len() < end {
        let chunk = tokio::select! {
            biased;
            // The memory was given to another sender. This is no fault of the request, so never a 4xx.
            () = reservation.taken_away() => return Err(Refusal::Overloaded),
            chunk = payload.next() => chunk,
        };
        let Some(chunk) = chunk else { break };
        let mut chunk = chunk.map_err(|_| Refusal::BrokenBody)?;
        chunk.truncate(end - whole.len());
        let length = whole.len() + chunk.len();
        if length > receiver.max_body_bytes {
            return Err(Refusal::TooLarge);
        }
        if length > expected.longest {
            return Err(Refusal::Rejected(Rejection::SignatureMissing));
        }
        if length > whole.capacity() {
            // The buffer is as large as the reservation: all of a small body at once, a large body as it grows.
            let capacity = match expected.announced {
                Some(announced) if announced <= SMALL_BODY_BYTES => announced,
                _ => (whole.capacity() * 2).min(most),
            };
            let capacity = capacity.max(length);
            let reserved = reservation.reserve(capacity, receiver.body_timeout / 2);
            reserved.await.map_err(|_| Refusal::Overloaded)?;
            let mut larger = BytesMut::with_capacity(capacity);
            larger.extend_from_slice(&whole);
            whole = larger;
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// Discards the part of a refused body that has arrived, without waiting for more. If that was the whole body, the
/// connection stays open: a new connection for each refused request costs three times as much.
pub(super) async fn discard(payload: &mut web::Payload) {
    let arrived = async { while let Some(Ok(_)) = payload.next().await {} };
    tokio::select! {
        biased;
        () = arrived => {}
        () = tokio::task::yield_now() => {}
    }
}
