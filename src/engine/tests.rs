//! What the engine does, shown on small definitions.
