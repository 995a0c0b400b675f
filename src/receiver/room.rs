//! Room for the bodies that are being read: strangers cannot fill the memory, and to keep others out they have to send.
//!
//! Room is taken for what has arrived, not for what was announced: who holds it has sent as much. Small bodies need none.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// A body of up to this many bytes is read without asking for room.
const FREE: usize = 16 << 10;
/// Bytes of larger bodies that may be in memory at once.
const ROOM: usize = 256 << 20;
/// Bytes of a permit: what a growing body asks for at once.
const STEP: usize = 64 << 10;

/// The room of all bodies.
#[derive(Debug)]
pub struct BodyRoom {
    steps: Semaphore,
    /// Whoever finds no room may be the one who needs none: so bodies that grow together never wait for each other in a
    /// ring, and the memory holds one more at most.
    beyond: Semaphore,
}

/// What one body takes; it is given back when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Share<'a> {
    steps: Option<SemaphorePermit<'a>>,
    beyond: Option<SemaphorePermit<'a>>,
}

/// There is no room.
#[derive(Debug)]
pub(super) struct Full;

impl Default for BodyRoom {
    fn default() -> Self {
        Self {
            steps: Semaphore::new(ROOM / STEP),
            beyond: Semaphore::new(1),
        }
    }
}

impl BodyRoom {
    /// Waits until a body may grow to that many bytes.
    pub(super) async fn grow<'a>(
        &'a self,
        share: &mut Share<'a>,
        bytes: usize,
        patience: Duration,
    ) -> Result<(), Full> {
        let held = share.steps.as_ref().map_or(0, SemaphorePermit::num_permits);
        let missing = bytes
            .saturating_sub(FREE)
            .div_ceil(STEP)
            .saturating_sub(held);
        if missing == 0 || share.beyond.is_some() {
            return Ok(());
        }
        let missing = u32::try_from(missing).map_err(|_| Full)?;
        let granted = async {
            tokio::select! {
                biased;
                Ok(more) = self.steps.acquire_many(missing) => match &mut share.steps {
                    Some(steps) => steps.merge(more),
                    None => share.steps = Some(more),
                },
                Ok(beyond) = self.beyond.acquire() => share.beyond = Some(beyond),
                else => {}
            }
        };
        tokio::time::timeout(patience, granted)
            .await
            .map_err(|_| Full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_TIME: Duration = Duration::from_millis(1);

    async fn grown(room: &BodyRoom, bytes: usize) -> Option<Share<'_>> {
        let mut share = Share::default();
        room.grow(&mut share, bytes, NO_TIME)
            .await
            .ok()
            .map(|()| share)
    }

    #[tokio::test]
    async fn a_small_body_needs_no_room() {
        let room = BodyRoom::default();
        let _all = (
            grown(&room, FREE + ROOM).await.expect("all of it"),
            grown(&room, FREE + 1).await.expect("one beyond"),
        );
        assert!(grown(&room, FREE).await.is_some());
        assert!(
            grown(&room, FREE + 1).await.is_none(),
            "a larger one waits in vain"
        );
    }

    #[tokio::test]
    async fn bodies_that_grow_together_never_wait_for_each_other() {
        let room = BodyRoom::default();
        let mut shares = Vec::new();
        for _ in 0..64 {
            shares.push(
                grown(&room, FREE + ROOM / 64)
                    .await
                    .expect("room for all as they are"),
            );
        }
        // No room is left, and each wants more: one gets on, and when it is done, others do.
        let (mut grown, mut waiting) = (Vec::new(), Vec::new());
        for mut share in shares {
            match room.grow(&mut share, FREE + ROOM / 32, NO_TIME).await {
                Ok(()) => grown.push(share),
                Err(Full) => waiting.push(share),
            }
        }
        assert_eq!((grown.len(), waiting.len()), (1, 63), "one goes beyond");
        drop(grown);
        for mut share in waiting {
            assert!(
                room.grow(&mut share, FREE + ROOM / 32, NO_TIME)
                    .await
                    .is_ok()
            );
        }
    }

    #[tokio::test]
    async fn what_was_taken_is_given_back() {
        let room = BodyRoom::default();
        for _ in 0..3 {
            let mut share = grown(&room, FREE + 1).await.expect("room");
            room.grow(&mut share, FREE + ROOM, NO_TIME)
                .await
                .expect("all of it");
        }
        assert_eq!(
            (
                room.steps.available_permits(),
                room.beyond.available_permits()
            ),
            (ROOM / STEP, 1)
        );
    }
}
