//! Faults of the machine: its clock, file descriptors and memory.

use std::process::Command;

use crate::fault::{Fault, UNANSWERED, UNAVAILABLE, nothing};
use crate::scene::Scene;

const DAY: i64 = 86_400;

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "clock-back",
        says: "The clock jumps a day back, and forward again.",
        begin: |scene| Box::pin(set_clock_off(scene, -DAY)),
        end: |scene| Box::pin(async { scene.machine.set_clock_off(0) }),
        ..FAULT
    },
    Fault {
        name: "clock-forward",
        says: "The clock jumps a day forward, within the life of Wix's tokens, and back again.",
        begin: |scene| Box::pin(set_clock_off(scene, DAY)),
        end: |scene| Box::pin(async { scene.machine.set_clock_off(0) }),
        ..FAULT
    },
    // The gateway must reject an expired token, and it cannot know that its own clock is wrong. The sender retries.
    Fault {
        name: "clock-far-forward",
        says: "The clock jumps two months forward: Wix's tokens are refused (401) until it is right again.",
        turned_away: &[401],
        begin: |scene| Box::pin(set_clock_off(scene, 60 * DAY)),
        end: |scene| Box::pin(async { scene.machine.set_clock_off(0) }),
        ..FAULT
    },
    Fault {
        name: "files-exhausted",
        says: "The process has no free file descriptor while it reconnects to the broker.",
        turned_away: &[UNANSWERED, UNAVAILABLE],
        may_repeat: true,
        begin: |scene| {
            Box::pin(async {
                let Some(pid) = scene.gateway.pid() else {
                    return;
                };
                let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
                    .expect("/proc/{pid}/fd should be readable")
                    .count();
                limit(scene, &format!("--nofile={open}:"));
                scene.store.set_copies(3);
                scene.network.cut();
            })
        },
        end: |scene| {
            Box::pin(async {
                limit(scene, "--nofile=1024:");
                scene.store.set_copies(1);
            })
        },
        ..FAULT
    },
    // A Rust program aborts when an allocation fails. If the process still runs, it is killed; then it is started
    // again, as a supervisor would do.
    Fault {
        name: "memory-exhausted",
        says: "Not one page of memory more is to be had (ulimit -d), while each webhook comes twenty times.",
        turned_away: &[UNANSWERED, UNAVAILABLE],
        may_repeat: true,
        begin: |scene| {
            Box::pin(async {
                let Some(pid) = scene.gateway.pid() else {
                    return;
                };
                let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
                    .expect("/proc/{pid}/status should be readable");
                let size = status
                    .lines()
                    .find_map(|line| line.strip_prefix("VmData:"))
                    .expect("the status should contain VmData");
                let kilobytes: u64 = size
                    .trim()
                    .trim_end_matches(" kB")
                    .parse()
                    .expect("VmData should be a number");
                limit(scene, &format!("--data={}:", kilobytes * 1024));
                scene.store.set_copies(20);
            })
        },
        end: |scene| {
            Box::pin(async {
                scene.store.set_copies(1);
                limit(scene, "--data=unlimited:");
                if scene.gateway.pid().is_some() {
                    scene.gateway.kill();
                    scene.start_gateway().await;
                } else if scene.gateway.has_ended() {
                    scene.start_gateway().await;
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
    may_repeat: false,
    nodes: 1,
    only_long: false,
    prepare: None,
    has_honest_store: false,
    begin: nothing,
    end: nothing,
};

async fn set_clock_off(scene: &mut Scene, seconds: i64) {
    scene.machine.set_clock_off(seconds);
    scene.until_met().await;
}

/// Sets one soft limit of the running gateway.
fn limit(scene: &mut Scene, limit: &str) {
    let Some(pid) = scene.gateway.pid() else {
        return;
    };
    let set = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), limit])
        .status()
        .expect("prlimit (util-linux) should be installed");
    assert!(set.success(), "prlimit could not set {limit}");
}
