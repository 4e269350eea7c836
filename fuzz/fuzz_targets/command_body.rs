//! Feeds any bytes to the door `command_body`.

#![no_main]

#[expect(dead_code, reason = "the other doors have targets of their own")]
#[path = "../../tests/corpora/doors.rs"]
mod doors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| doors::command_body(bytes));
