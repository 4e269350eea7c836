//! What an author writes: a document is parsed once, checked whole, and valid ever after.

mod accident;
mod activity;
mod call;
mod check;
pub mod codes;
pub mod content;
pub mod cron;
mod cursor;
mod decisions;
mod document;
mod draft;
pub mod expression;
mod flow;
mod frame;
pub mod graph;
mod http;
pub mod model;
mod names;
mod node;
mod problems;
mod read;
mod render;
mod retry;
mod scalar;
pub mod schema;
mod task;
#[cfg(test)]
mod tests;
mod work;
pub mod zone;

pub use check::STEPS_MAX;
pub use document::DEFAULT_QUEUE;
pub use model::*;
pub use render::render;

use draft::Draft;
use node::Node;

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
    pub fn parse(text: &str) -> Result<Parsed, Vec<Problem>> {
        let mut draft = Draft::default();
        let Some(root) = read::read(text, &mut draft.problems) else {
            return Err(draft.problems.into_sorted());
        };
        let (definition, warnings) = Self::from_tree(draft, &root)?;
        let content = root.to_value();
        let hash = content::hash(&content).map_err(|message| vec![Problem::whole(message)])?;
        Ok(Parsed { definition, content, hash, warnings })
    }

    /// Reads the stored form back. It was checked when it was stored, so problems mean an older or newer binary.
    ///
    /// # Errors
    /// Every problem, with paths but without lines and columns (0).
    pub fn from_content(content: &serde_json::Value) -> Result<Definition, Vec<Problem>> {
        let root = Node::from_value(content).ok_or_else(|| {
            vec![Problem::whole(format!("lists and maps nest deeper than {} levels", node::NESTING_MAX))]
        })?;
        Self::from_tree(Draft::default(), &root).map(|(definition, _)| definition)
    }

    fn from_tree(mut draft: Draft, root: &Node) -> Result<(Definition, Vec<Problem>), Vec<Problem>> {
        let definition = draft.document(root);
        let refuse = draft.problems.refuse();
        let problems = draft.problems.into_sorted();
        match definition {
            Some(definition) if !refuse => Ok((definition, problems)),
            Some(_) | None => Err(problems),
        }
    }
}

impl Problem {
    fn whole(message: String) -> Self {
        Problem { severity: Severity::Error, path: String::new(), line: 0, column: 0, message, hint: None }
    }
}
