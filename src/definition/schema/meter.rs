//! What one validation may spend: looks at values, stack, and memory of its errors. A validation that has spent them ends.
//!
//! The validator has no bounds of its own, and a schema of a few lines can make it look at one value without end: `anyOf`s and
//! `$ref`s inside of each other multiply. But it takes its inputs in any representation of JSON, and reads them through it alone. So
//! the [representation](super::metered) counts, and ends the validation by unwinding, because no answer of a value could: whatever it
//! says, some schema goes on.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use serde_json::Value;

/// Bytes of stack of one validation. Threads have two mebibytes, of which the callers have taken a part.
const STACK_MAX: usize = 768 * 1024;
/// Bytes that the errors of one validation may take together.
pub(super) const ERROR_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one error, without what it copies.
const ERROR_BYTES: usize = 512;
/// Bytes of text that are read at the cost of one look.
pub(super) const TEXT_PER_VISIT: usize = 64;
/// States of a pattern, times bytes of text, that are matched at the cost of one look.
const MATCHES_PER_VISIT: usize = 16;

/// What a schema makes costly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weights {
    /// States of its largest pattern.
    pub(super) pattern_states: usize,
    /// Bytes of the schema that one error may copy.
    pub(super) error_bytes: usize,
    /// Whether errors copy what is inside of the value they are about.
    pub(super) copies_values: bool,
}

/// Why a validation has ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exhausted {
    /// It has looked at values too often, or too deeply.
    Visits,
    /// Its errors take too much memory.
    Errors,
}

struct Meter {
    visits: Cell<u32>,
    error_bytes: Cell<usize>,
    error_weight: Cell<usize>,
    copies_values: Cell<bool>,
    pattern_states: Cell<usize>,
    /// The lowest address that the stack may have.
    floor: Cell<usize>,
}

thread_local! {
    // Names of properties become nodes without a way to hand the meter over, so it is of the thread. Validations do not nest.
    static METER: Meter = const {
        Meter {
            visits: Cell::new(0),
            error_bytes: Cell::new(0),
            error_weight: Cell::new(0),
            copies_values: Cell::new(false),
            pattern_states: Cell::new(0),
            floor: Cell::new(0),
        }
    };
}

/// Validates with at most these looks at values; returns those that are left as well.
pub(super) fn within<T>(visits: u32, weights: Weights, validate: impl FnOnce() -> T) -> (Result<T, Exhausted>, u32) {
    METER.with(|meter| {
        meter.visits.set(visits);
        meter.error_bytes.set(ERROR_BYTES_MAX);
        meter.error_weight.set(ERROR_BYTES + weights.error_bytes);
        meter.copies_values.set(weights.copies_values);
        meter.pattern_states.set(weights.pattern_states);
        meter.floor.set(stack_address().saturating_sub(STACK_MAX));
    });
    let outcome = match catch_unwind(AssertUnwindSafe(validate)) {
        Ok(outcome) => Ok(outcome),
        Err(payload) => match payload.downcast::<Exhausted>() {
            Ok(exhausted) => Err(*exhausted),
            // A panic of the validator is one of this process.
            Err(payload) => resume_unwind(payload),
        },
    };
    (outcome, METER.with(|meter| meter.visits.get()))
}

/// The size of a value in memory and as text, roughly.
pub(super) fn size(value: &Value) -> usize {
    const VALUE: usize = 48;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => VALUE,
        Value::String(text) => VALUE + text.len(),
        Value::Array(items) => VALUE + items.iter().map(size).sum::<usize>(),
        Value::Object(members) => {
            VALUE + members.iter().map(|(name, value)| VALUE + name.len() + size(value)).sum::<usize>()
        }
    }
}

/// An address on the stack. It grows downwards on every machine that this runs on.
#[inline(never)]
fn stack_address() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

pub(super) fn spend(visits: usize) {
    METER.with(|meter| {
        let visits = u32::try_from(visits).unwrap_or(u32::MAX);
        match meter.visits.get().checked_sub(visits) {
            Some(left) if stack_address() > meter.floor.get() => meter.visits.set(left),
            Some(_) | None => {
                meter.visits.set(0);
                // No hook is called: it is not a panic.
                resume_unwind(Box::new(Exhausted::Visits))
            }
        }
    });
}

pub(super) fn spend_text(bytes: usize) {
    let states = METER.with(|meter| meter.pattern_states.get());
    spend(1 + bytes / TEXT_PER_VISIT + bytes.saturating_mul(states) / MATCHES_PER_VISIT);
}

pub(super) fn spend_error(about: &Value) {
    let copied = if METER.with(|meter| meter.copies_values.get()) { size(about) } else { 0 };
    spend(copied / TEXT_PER_VISIT);
    METER.with(|meter| match meter.error_bytes.get().checked_sub(meter.error_weight.get() + copied) {
        Some(left) => meter.error_bytes.set(left),
        None => resume_unwind(Box::new(Exhausted::Errors)),
    });
}

/// Spends for reading a value with all in it, more than once.
pub(super) fn spend_whole(value: &Value, times: usize) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => spend(times),
        Value::String(text) => spend((1 + text.len() / TEXT_PER_VISIT).saturating_mul(times)),
        Value::Array(items) => {
            spend(times);
            items.iter().for_each(|item| spend_whole(item, times));
        }
        Value::Object(members) => {
            spend(times);
            for (name, value) in members {
                spend((1 + name.len() / TEXT_PER_VISIT).saturating_mul(times));
                spend_whole(value, times);
            }
        }
    }
}
