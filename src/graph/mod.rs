//! Drawings of definitions and instances: which activity leads to which, the path that was walked, and where time goes.
//!
//! `outline` reads the graph of a definition, `overlay` what is known of one instance or of many, `place` gives every box its place (the
//! only file that knows the crate for that), `svg` and `mermaid` write the drawing. Everything is pure.

mod mermaid;
mod outline;
mod overlay;
mod place;
mod svg;
#[cfg(test)]
mod tests;

pub use mermaid::mermaid;
pub use outline::{Edge, Graph, Node, Shape, Way};
pub use overlay::{Mark, Overlay, Passage, State, Walk};
pub use svg::svg;
