//! Responses of a store's API, through the platform's dialogue to its end. `store` describes the input.
#![no_main]

use cartwire_fuzz::store::{Store, Task, assert_talks_well};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let end = input
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(input.len());
    let Some(task) = std::str::from_utf8(&input[..end]).ok().and_then(Task::read) else {
        return;
    };
    assert_talks_well(&task, &mut Store::read(input, task.cycles));
});
