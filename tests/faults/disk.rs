//! The disk below the journal. While writes fail, webhooks are answered 503. No event may be published twice because of
//! it.

use crate::fault::{Fault, UNAVAILABLE, nothing};
use crate::shim::Errno;

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "disk-full",
        says: "Writes fail with ENOSPC, half done.",
        begin: |scene| {
            Box::pin(async {
                scene.machine.fail_writes(Some(Errno::NoSpace));
                scene.until_met().await;
            })
        },
        end: |scene| Box::pin(async { scene.machine.fail_writes(None) }),
        ..FAULT
    },
    Fault {
        name: "disk-read-only",
        says: "The file system turns read-only (EROFS).",
        begin: |scene| {
            Box::pin(async {
                scene.machine.fail_writes(Some(Errno::ReadOnly));
                scene.until_met().await;
            })
        },
        end: |scene| Box::pin(async { scene.machine.fail_writes(None) }),
        ..FAULT
    },
    Fault {
        name: "disk-failing",
        says: "Syncs fail with EIO, and what they should have kept is dropped.",
        begin: |scene| {
            Box::pin(async {
                scene.machine.fail_syncs(Some(Errno::Io));
                scene.until_met().await;
            })
        },
        end: |scene| Box::pin(async { scene.machine.fail_syncs(None) }),
        ..FAULT
    },
    Fault {
        name: "disk-slow",
        says: "Each sync takes half a second.",
        turned_away: &[],
        begin: |scene| {
            Box::pin(async {
                scene.machine.slow_syncs(500);
                scene.until_met().await;
            })
        },
        end: |scene| Box::pin(async { scene.machine.slow_syncs(0) }),
        ..FAULT
    },
];

const FAULT: Fault = Fault {
    name: "",
    says: "",
    turned_away: &[UNAVAILABLE],
    may_repeat: false,
    nodes: 1,
    only_long: false,
    prepare: None,
    has_honest_store: false,
    begin: nothing,
    end: nothing,
};
