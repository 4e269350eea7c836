//! What this process has of what definitions name: handlers of its program, statements of its settings.

use super::App;
use crate::definition::{Definition, Runs, Work};
use crate::expression::Data;

impl App {
    /// Whether this process has what a `run` names.
    pub fn knows(&self, runs: &Runs) -> bool {
        match runs {
            Runs::Handler(name) => self.handlers.knows(name),
            Runs::Statement(name) => self.statements.contains_key(name),
        }
    }

    /// What a definition names and this process does not have, or takes otherwise. Hints: other processes may have it.
    pub fn misses(&self, definition: &Definition) -> Vec<String> {
        let mut missed = Vec::new();
        for activity in &definition.activities {
            if let Work::Run { runs, input } = &activity.work {
                let wrong = self.misfits(runs, input);
                missed.extend(wrong.into_iter().map(|wrong| format!("activity `{}`: {wrong}", activity.id)));
            }
        }
        missed
    }

    fn misfits(&self, runs: &Runs, input: &Data) -> Vec<String> {
        match runs {
            // The stock program has none, and says nothing by that.
            Runs::Handler(_) if self.handlers.names().is_empty() => Vec::new(),
            Runs::Handler(name) if self.handlers.knows(name) => Vec::new(),
            Runs::Handler(name) => vec![format!("no handler is registered here as `{name}`")],
            Runs::Statement(name) => match self.statements.get(name) {
                None => vec![format!("no statement is registered here as `{name}`")],
                Some(statement) => {
                    let wrong = statement.misfits(&input.members()).into_iter();
                    wrong.map(|wrong| format!("statement `{name}`: {wrong}")).collect()
                }
            },
        }
    }
}
