//! How much of one store waits for the journal at once, so that a flood of one store does not queue before the others.
//!
//! The journal commits deliveries in the order in which they come. Each connection may have a bounded number of bytes in
//! that queue; its other deliveries wait here, and cost other stores nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::delivery::ConnectionId;

/// Every started unit of this many bytes counts.
const UNIT_BYTES: usize = 32 << 10;
/// Units of one connection in the journal's queue at once: 8 MiB, or that many small deliveries.
const UNITS: u32 = 256;

/// The turns of all connections.
#[derive(Debug, Default)]
pub(super) struct AppendTurns(Mutex<HashMap<ConnectionId, Arc<Semaphore>>>);

/// A delivery's turn. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a AppendTurns,
    connection: ConnectionId,
    permit: Option<OwnedSemaphorePermit>,
}

/// The connection has too much in the journal's queue for too long.
#[derive(Debug)]
pub(super) struct Crowded;

impl AppendTurns {
    /// Waits until a delivery of that many bytes may be given to the journal.
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
        // Made first: where the wait is cut off, its end still removes what nothing uses.
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
        // Only the map has it: no delivery of the connection holds or awaits a turn.
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
