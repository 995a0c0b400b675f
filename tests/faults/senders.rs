//! Unusual behavior of the platforms.

use crate::fault::Fault;

pub(crate) const FAULTS: &[Fault] = &[Fault {
    name: "redelivery-storm",
    says: "Each delivery comes five times at once, from different senders.",
    turned_away: &[],
    may_repeat: false,
    nodes: 1,
    only_long: false,
    prepare: None,
    has_honest_store: false,
    begin: |scene| Box::pin(async { scene.store.set_copies(5) }),
    end: |scene| Box::pin(async { scene.store.set_copies(1) }),
}];
