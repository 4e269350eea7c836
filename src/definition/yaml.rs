//! The YAML reader: from text to a tree of nodes, each with its place in the text.
//!
//! Written by hand on top of a YAML parser, because it reports every problem at once with its line and column, and explains
//! what YAML made of an expression that should have been quoted. A deserializer stops at the first problem.

pub(crate) mod accident;
pub(crate) mod cursor;
mod frame;
mod indent;
pub(crate) mod node;
mod read;
mod scalar;
pub(crate) mod source;
mod tabs;

pub(crate) use read::read;
