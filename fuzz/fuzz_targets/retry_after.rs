//! Feeds any bytes to the door `retry_after`.

#![no_main]

#[expect(dead_code, reason = "the other doors have targets of their own")]
#[path = "../../tests/corpora/doors.rs"]
mod doors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| doors::retry_after_header(bytes));
