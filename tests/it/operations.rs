//! Operations of a person on instances: one at a time, found by a filter, and on many at once.

mod bulk;
mod control;
mod million;
mod search;
