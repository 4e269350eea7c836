//! What strangers can do at each door: with harmless input.

mod connections;
mod pages;
mod terminal;
mod waits;
