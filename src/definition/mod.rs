//! What an author writes: a document is parsed once, checked whole, and valid ever after.

pub mod codes;
pub mod expression;
pub mod model;
pub mod schema;

pub use model::*;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// `error` or `warning`.
    pub severity: Severity,
    /// Where in the document, as a path: `activities[2].next`.
    pub path: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is accepted; the author may have meant something else.
    Warning,
}

/// A document that was accepted.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The definition.
    pub definition: Definition,
    /// The document as JSON, the form in which it is stored and hashed.
    pub content: serde_json::Value,
    /// SHA-256 of the canonical JSON (RFC 8785) of `content`.
    pub hash: [u8; 32],
    /// Warnings only.
    pub warnings: Vec<Problem>,
}

impl Definition {
    /// Reads a document (YAML 1.2 core schema, or JSON) and checks it whole.
    ///
    /// # Errors
    /// Every problem, in the order of the document; warnings among them.
    pub fn parse(_text: &str) -> Result<Parsed, Vec<Problem>> {
        todo!()
    }

    /// Reads the stored form back. It was checked when it was stored, so problems mean an older or newer binary.
    pub fn from_content(_content: &serde_json::Value) -> Result<Definition, Vec<Problem>> {
        todo!()
    }
}
