//! Feeds any bytes to the door `document`.

#![no_main]

#[expect(dead_code, reason = "the other doors have targets of their own")]
#[path = "../../tests/corpora/doors.rs"]
mod doors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| doors::document(bytes));
