//! The network between the gateway and the broker.

use crate::fault::{Fault, nothing};

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "link-cut",
        says: "The network cuts every connection, again and again.",
        begin: |scene| {
            Box::pin(async {
                for _ in 0..3 {
                    scene.network.cut();
                    scene.last(500, 2_000).await;
                }
            })
        },
        ..FAULT
    },
    Fault {
        name: "link-slow",
        says: "Each piece takes 200 ms longer, each way.",
        may_repeat: false,
        begin: |scene| Box::pin(async { scene.network.delay(200) }),
        end: |scene| Box::pin(async { scene.network.delay(0) }),
        ..FAULT
    },
    Fault {
        name: "link-swallows",
        says: "No bytes pass and no side is notified; in the long version the connection never fails.",
        begin: |scene| Box::pin(async { scene.network.swallow(true) }),
        end: |scene| {
            Box::pin(async {
                scene.network.swallow(false);
                // Without the cut, the gateway detects the dead connection only after half a minute.
                if !scene.long {
                    scene.network.cut();
                }
            })
        },
        ..FAULT
    },
];

const FAULT: Fault = Fault {
    name: "",
    says: "",
    turned_away: &[],
    may_repeat: true,
    nodes: 1,
    only_long: false,
    prepare: None,
    has_honest_store: false,
    begin: nothing,
    end: nothing,
};
