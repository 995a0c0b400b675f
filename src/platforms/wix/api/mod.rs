//! What the store's API is asked, and what its answers mean. Pure: `outbound` executes it.

use crate::delivery::JournaledDelivery;
use crate::event::Draft;
use crate::platforms::api::{Dialogue, Examination, Intent, Pace, Scope, Subject, Told, Unanswered};

pub(super) const PACE: Pace = Pace { per_minute: 200, burst: 20 };

pub(super) const SCOPES: &[Scope] = &[];

pub(super) fn can_ask(_subject: &Subject) -> bool {
    false
}

pub(super) fn examine(_subject: &Subject, _intent: Intent, _dialogue: &mut Dialogue<'_>) -> Result<Examination, Unanswered> {
    Ok(Examination::default())
}

pub(super) fn lacks(_delivery: &JournaledDelivery, _drafts: &[Draft]) -> Option<String> {
    None
}

pub(super) fn complete(_lacking: &str, _subject: &Subject, _dialogue: &mut Dialogue<'_>) -> Result<Told, Unanswered> {
    Ok(Told::Nothing("not_asked"))
}
