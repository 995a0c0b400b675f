//! Decides which calls are retried, and after which delay.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::platforms::api::{CallFailure, CallResult, Method, retry_after};

/// The wait before a retry, if the store requires none. Jitter shortens it by up to 50 %.
const RETRY_BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(500),
    max: Duration::from_secs(5),
};

/// Whether a call is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryDecision {
    Never,
    AfterBackoff,
    /// After the wait that the store requires.
    After(Duration),
}

impl RetryDecision {
    fn after(wait: Option<Duration>) -> Self {
        wait.map_or(Self::AfterBackoff, Self::After)
    }
}

pub(super) fn decide(result: &CallResult, method: Method) -> RetryDecision {
    let is_repeatable = match method {
        Method::Get | Method::PostIdempotent | Method::Put | Method::Delete => true,
        Method::Post => false,
    };
    match result {
        Err(CallFailure::RateLimited(wait)) => RetryDecision::After(*wait),
        Err(CallFailure::TokenRefused(answer)) if answer.status == 429 || answer.status >= 500 => {
            RetryDecision::after(retry_after(answer))
        }
        Err(failure) if is_repeatable && failure.is_passing() => RetryDecision::AfterBackoff,
        // The store refused the request before executing it, so a retry is safe for every method.
        Ok(answer) if answer.status == 429 => RetryDecision::after(retry_after(answer)),
        Ok(answer) if is_repeatable && matches!(answer.status, 500 | 502..=504) => {
            RetryDecision::after(retry_after(answer))
        }
        Ok(_) | Err(_) => RetryDecision::Never,
    }
}

/// The delay after this number of failed attempts.
pub(super) fn jittered_delay(attempts: u32) -> Duration {
    let mut byte = [0_u8];
    // If there is no randomness, the delay has no jitter. This is acceptable.
    let _ = getrandom::fill(&mut byte);
    let delay = RETRY_BACKOFF.delay(attempts);
    delay.mul_f64(0.5 + f64::from(byte[0]) / 512.0)
}

/// How long a connection sends no request after its store refused one for its rate.
pub(super) fn rate_limit_wait(result: &CallResult) -> Option<Duration> {
    match result {
        Ok(answer) if answer.status == 429 => {
            Some(retry_after(answer).unwrap_or(RETRY_BACKOFF.first))
        }
        Ok(_) | Err(_) => None,
    }
}
