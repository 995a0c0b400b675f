//! The gateway process ends: by a signal or by a power cut.

use crate::fault::{Fault, UNANSWERED, UNAVAILABLE};

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "gateway-killed",
        says: "SIGKILL of the gateway.",
        begin: |scene| Box::pin(async { scene.gateway.kill() }),
        ..FAULT
    },
    Fault {
        name: "gateway-terminated",
        says: "SIGTERM of the gateway in full load: it ends well.",
        begin: |scene| {
            Box::pin(async {
                let ended = scene.gateway.terminate().await;
                assert!(ended.success(), "the gateway ended with {ended}");
            })
        },
        ..FAULT
    },
    Fault {
        name: "power-cut",
        says: "The machine loses power: of what was not synced, any sector may be missing.",
        begin: |scene| {
            Box::pin(async {
                scene.gateway.kill();
                scene
                    .machine
                    .cut_power(scene.gateway.data(), &mut scene.dice);
            })
        },
        ..FAULT
    },
];

const FAULT: Fault = Fault {
    name: "",
    says: "",
    turned_away: &[UNANSWERED, UNAVAILABLE],
    may_repeat: true,
    nodes: 1,
    only_long: false,
    prepare: None,
    has_honest_store: false,
    begin: crate::fault::nothing,
    end: |scene| Box::pin(scene.start_gateway()),
};
