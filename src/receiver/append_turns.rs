//! Limits the bytes of one store that wait for the journal, so that a flood of one store does not delay the others.
//!
//! The journal commits deliveries in the order in which they come. Each connection may have a bounded number of bytes in
//! that queue; its other deliveries wait here and do not delay other stores.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::delivery::ConnectionId;

/// Every started unit of this many bytes counts.
const UNIT_BYTES: usize = 32 << 10;
/// Units of one connection in the journal's queue at once: 8 MiB, or that many small deliveries.
const UNITS: u32 = 256;

#[derive(Debug, Default)]
pub(super) struct AppendTurns(Mutex<HashMap<ConnectionId, Arc<Semaphore>>>);

/// A delivery's turn. It ends on drop.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a AppendTurns,
    connection: ConnectionId,
    permit: Option<OwnedSemaphorePermit>,
}

/// The connection had too many bytes in the journal's queue until the time limit.
#[derive(Debug)]
pub(super) struct Crowded;

impl AppendTurns {
    /// Waits until a delivery of `bytes` bytes may be appended.
    pub(super) async fn turn(
        &self,
        connection: &ConnectionId,
        bytes: usize,
        timeout: Duration,
    ) -> Result<Turn<'_>, Crowded> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(UNITS);
        let units = units.clamp(1, UNITS);
        let slots = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let slots = all.get(connection).cloned();
            slots.unwrap_or_else(|| {
                let slots = Arc::new(Semaphore::new(UNITS as usize));
                all.insert(connection.clone(), Arc::clone(&slots));
                slots
            })
        };
        // Created before the wait: if the wait is cancelled, the drop still removes an unused semaphore.
        let mut turn = Turn {
            turns: self,
            connection: connection.clone(),
            permit: None,
        };
        let permit = tokio::time::timeout(timeout, slots.acquire_many_owned(units)).await;
        match permit {
            Ok(Ok(permit)) => {
                turn.permit = Some(permit);
                Ok(turn)
            }
            Ok(Err(_)) | Err(_) => Err(Crowded),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.permit = None;
        let mut all = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the map has the semaphore: no delivery of the connection has a turn or waits for one.
        let unused = all
            .get(&self.connection)
            .is_some_and(|slots| Arc::strong_count(slots) == 1);
        if unused {
            all.remove(&self.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ConnectionId {
        ConnectionId::new(text).expect("an id")
    }

    #[tokio::test(start_paused = true)]
    async fn connection_waits_for_its_own_deliveries_and_for_no_others() {
        let turns = AppendTurns::default();
        let wait = Duration::from_secs(1);
        let flood = turns.turn(&id("shop-a"), 100 << 20, wait).await;
        let flood = flood.expect("the first turn, however large");
        assert!(turns.turn(&id("shop-a"), 1, wait).await.is_err());
        let other = turns.turn(&id("shop-b"), 1, Duration::ZERO).await;
        assert!(other.is_ok());
        drop(flood);
        let next = turns.turn(&id("shop-a"), 1, Duration::ZERO).await;
        assert!(next.is_ok());
        drop((next, other));
        assert!(turns.0.lock().expect("the map").is_empty());
    }
}
