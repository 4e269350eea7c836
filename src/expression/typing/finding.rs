//! What is wrong with the types of an expression.

/// One problem of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The byte of the source at which the wrong part begins.
    pub at: usize,
    /// How sure it is.
    pub certainty: Certainty,
    /// A sentence that names what was written.
    pub message: String,
    /// What to write.
    pub hint: Option<String>,
}

/// How sure a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// Whenever it is evaluated, it fails.
    Fails,
    /// It may fail, or never does what it says.
    Doubtful,
}
