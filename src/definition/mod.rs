//! What an author writes: a document is read once and checked as a whole; the model that comes of it is always valid.

mod check;
pub mod codes;
pub mod content;
mod document;
mod free_name;
mod language;
pub mod model;
mod number;
mod problem;
mod render;
pub mod schema;
#[cfg(test)]
mod tests;
mod variable_types;
mod yaml;

pub use check::STEPS_MAX;
pub use document::DEFAULT_QUEUE;
pub use free_name::{FREE_NAME_MAX, free_name_rule, is_free_name};
pub use language::json_schema;
pub use model::*;
pub use problem::{Problem, Severity};
pub use render::render;
pub use variable_types::VariableTypes;
pub(crate) use yaml::cursor::is_name;

use document::draft::Draft;
use yaml::node::{NESTING_MAX, Node};

/// An accepted document.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The definition.
    pub definition: Definition,
    /// The document as JSON, the form in which it is stored and hashed.
    pub content: serde_json::Value,
    /// SHA-256 of the canonical JSON of `content`, in which an integer and its double differ.
    pub hash: [u8; 32],
    /// Problems that do not refuse the document.
    pub warnings: Vec<Problem>,
}

/// Where a document comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It is new.
    Written,
    /// It was accepted: its types are not checked again, so that it can be read even if another version of Leveret knows more of them.
    Stored,
}

impl Definition {
    /// Reads and checks a document (YAML 1.2 core schema, or JSON).
    ///
    /// # Errors
    /// All problems in the order of the document, warnings included.
    pub fn parse(text: &str) -> Result<Parsed, Vec<Problem>> {
        let mut draft = Draft::default();
        let Some((mut root, source)) = yaml::read(text, &mut draft.problems) else {
            return Err(draft.problems.into_sorted());
        };
        draft.source = source;
        let (definition, warnings) = Self::from_tree(draft, &root, Origin::Written)?;
        document::decisions::list_decisions(&mut root);
        let content = root.to_value();
        let hash = content::hash(&content).map_err(|message| vec![Problem::whole(message)])?;
        Ok(Parsed { definition, content, hash, warnings })
    }

    /// Reads the stored form. It was checked when it was stored, so problems mean that another version of Leveret stored it.
    ///
    /// # Errors
    /// All problems, with paths; lines and columns are 0.
    pub fn from_content(content: &serde_json::Value) -> Result<Definition, Vec<Problem>> {
        let root = Node::from_value(content).ok_or_else(|| {
            vec![Problem::whole(format!("lists and maps are nested deeper than {NESTING_MAX} levels"))]
        })?;
        Self::from_tree(Draft::default(), &root, Origin::Stored).map(|(definition, _)| definition)
    }

    fn from_tree(mut draft: Draft, root: &Node, origin: Origin) -> Result<(Definition, Vec<Problem>), Vec<Problem>> {
        let definition = draft.document(root);
        match origin {
            Origin::Written => check::meaning(root, &draft.source, &mut draft.problems),
            Origin::Stored => {}
        }
        let refused = draft.problems.has_errors();
        let problems = draft.problems.into_sorted();
        match definition {
            Some(definition) if !refused => Ok((definition, problems)),
            Some(_) | None => Err(problems),
        }
    }
}
