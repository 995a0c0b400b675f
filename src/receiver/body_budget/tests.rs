//! Tests of the memory for bodies: shares, reclaim and release.

use std::net::IpAddr;

use futures_util::FutureExt;

use super::*;
use crate::delivery::ConnectionId;
use crate::receiver::body_pool_state::{RECHECK_INTERVAL, STALLED_AFTER};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const NO_TIME: Duration = Duration::ZERO;

fn sender(address: u8, connection: &str) -> Sender {
    let address = IpAddr::from([10, 0, 0, address]);
    Sender::new(Some(address), ConnectionId::new(connection).expect("an id"))
}

async fn held<'a>(budget: &'a BodyBudget, sender: Sender, bytes: usize) -> Reservation<'a> {
    let mut reservation = budget.open(sender);
    let reserved = reservation.reserve(bytes, NO_TIME).await;
    reserved.expect("memory");
    reservation
}

fn is_taken_away(reservation: &Reservation<'_>) -> bool {
    reservation.taken_away().now_or_never().is_some()
}

#[tokio::test(start_paused = true)]
async fn small_body_is_served_while_the_large_budget_is_used_up() {
    let budget = BodyBudget::of(MIB, 16 * MIB);
    let mut large = Vec::new();
    for number in 0..16 {
        large.push(held(&budget, sender(1, &format!("shop-{number}")), MIB).await);
    }
    let _small = held(&budget, sender(1, "shop-0"), 20 * KIB).await;
    assert!(!large.iter().any(is_taken_away));
}

#[tokio::test(start_paused = true)]
async fn sender_with_little_memory_takes_from_the_one_with_most() {
    // Distinguished by address, by connection id behind one proxy, and by connection id from many addresses.
    for (attackers, honest) in [
        ((1, 1, "shop-a"), (2, "shop-a")),
        ((1, 1, "shop-a"), (1, "shop-b")),
        ((1, 9, "shop-a"), (20, "shop-b")),
    ] {
        let budget = BodyBudget::of(MIB, 16 * MIB);
        let (first, last, connection) = attackers;
        let mut held_open = Vec::new();
        for number in 0..8 {
            let address = first + number % (last - first + 1);
            held_open.push(held(&budget, sender(address, connection), MIB).await);
        }
        let mut others = Vec::new();
        for number in 0..8 {
            let other = sender(100 + number, &format!("other-{number}"));
            others.push(held(&budget, other, MIB).await);
        }
        let _honest = held(&budget, sender(honest.0, honest.1), 512 * KIB).await;
        let taken = held_open.iter().filter(|body| is_taken_away(body)).count();
        assert_eq!(taken, 1, "{attackers:?} {honest:?}");
        assert!(!others.iter().any(is_taken_away));
    }
}

#[tokio::test(start_paused = true)]
async fn connection_id_uses_at_most_half_of_the_budget() {
    let budget = BodyBudget::of(MIB, 16 * MIB);
    let mut bodies = Vec::new();
    for address in 0..8 {
        let body = held(&budget, sender(address, "shop-a"), MIB).await;
        body.complete().expect("whole");
        bodies.push(body);
    }
    // One goes beyond, the next one waits; another connection has its part.
    bodies.push(held(&budget, sender(50, "shop-a"), MIB).await);
    let mut next = budget.open(sender(51, "shop-a"));
    assert_eq!(next.reserve(MIB, NO_TIME).await, Err(Full));
    let _other = held(&budget, sender(1, "shop-b"), 4 * MIB).await;
    assert!(!bodies.iter().any(is_taken_away), "whole ones stay");
}

#[tokio::test(start_paused = true)]
async fn stalled_body_loses_its_memory_to_one_of_the_same_sender() {
    let budget = BodyBudget::of(MIB, 16 * MIB);
    let sender = sender(1, "shop-a");
    let mut stalled = Vec::new();
    for _ in 0..9 {
        stalled.push(held(&budget, sender.clone(), MIB).await);
    }
    let mut body = budget.open(sender.clone());
    assert_eq!(body.reserve(MIB, NO_TIME).await, Err(Full));
    drop(body);
    tokio::time::sleep(STALLED_AFTER + RECHECK_INTERVAL).await;
    let _body = held(&budget, sender, MIB).await;
    assert!(stalled.iter().any(is_taken_away));
}

#[tokio::test(start_paused = true)]
async fn dripping_small_bodies_lose_their_memory_within_a_second() {
    let budget = BodyBudget::of(MIB, 16 * MIB);
    let sender = sender(1, "shop-a");
    let mut dripping = Vec::new();
    for _ in 0..17 {
        dripping.push(held(&budget, sender.clone(), 32 * KIB).await);
    }
    let began = Instant::now();
    let mut honest = budget.open(sender.clone());
    let reserved = honest.reserve(20 * KIB, Duration::from_secs(5)).await;
    reserved.expect("memory");
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn bodies_that_grow_together_are_all_served() {
    let budget = BodyBudget::of(MIB, 16 * MIB);
    let mut bodies = Vec::new();
    for _ in 0..8 {
        bodies.push(held(&budget, sender(1, "shop-a"), MIB).await);
    }
    let growing = bodies.into_iter().map(|mut body| async move {
        body.reserve(2 * MIB, Duration::from_secs(15)).await?;
        body.complete()
    });
    let grown = futures_util::future::join_all(growing).await;
    assert!(grown.iter().all(Result::is_ok), "{grown:?}");
}

#[tokio::test(start_paused = true)]
async fn dropped_reservations_release_all_memory() {
    let budget = BodyBudget::of(MIB, 16 * MIB);
    for _ in 0..3 {
        let mut body = held(&budget, sender(1, "shop-a"), 20 * KIB).await;
        body.reserve(2 * MIB, NO_TIME).await.expect("memory");
        assert_eq!(budget.small.state().used, 0, "it counts once");
    }
    for pool in [&budget.small, &budget.large] {
        let state = pool.state();
        assert_eq!((state.used, state.beyond), (0, None));
        assert!(state.bodies.is_empty() && state.by_address.is_empty());
        assert!(state.by_connection.is_empty());
    }
}
