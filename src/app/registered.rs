//! Whether this process has what definitions name: handlers of its program, statements of its settings.

use super::App;
use crate::definition::{Definition, Runs, SettingsRead, Work};
use crate::expression::Data;

impl App {
    /// Whether the handler or statement of a `run` is registered in this process.
    pub fn knows(&self, runs: &Runs) -> bool {
        match runs {
            Runs::Handler(name) => self.handlers.knows(name),
            Runs::Statement(name) => self.statements.contains_key(name),
        }
    }

    /// Handlers, statements, and names of `env` and `secrets` that a definition uses and this process lacks, and arguments that do
    /// not fit. These are hints: other processes may have them.
    pub fn hints(&self, definition: &Definition) -> Vec<String> {
        let mut hints = Vec::new();
        for activity in &definition.activities {
            if let Work::Run { runs, input } = &activity.work {
                let found = self.problems_of_run(runs, input).into_iter();
                hints.extend(found.map(|problem| format!("activity `{}`: {problem}", activity.id)));
            }
        }
        hints.extend(self.problems_of_settings(&definition.settings));
        hints
    }

    fn problems_of_settings(&self, read: &SettingsRead) -> Vec<String> {
        let env = read.env.iter().filter(|name| !self.config.expressions.env.contains(*name));
        let env = env
            .map(|name| format!("`env.{name}` is read, but `expressions.env` in the settings here does not list it"));
        let secrets = read.secrets.iter().filter(|name| !self.secrets.allows(name));
        let secrets = secrets
            .map(|name| format!("`secrets.{name}` is read, but `secrets.names` in the settings here does not list it"));
        env.chain(secrets).collect()
    }

    fn problems_of_run(&self, runs: &Runs, input: &Data) -> Vec<String> {
        match runs {
            // The stock program has no handlers; a hint for each `run` would say nothing.
            Runs::Handler(_) if self.handlers.names().is_empty() => Vec::new(),
            Runs::Handler(name) if self.handlers.knows(name) => Vec::new(),
            Runs::Handler(name) => vec![format!("the handler `{name}` is not registered here")],
            Runs::Statement(name) => match self.statements.get(name) {
                None => vec![format!("the statement `{name}` is not registered here")],
                Some(statement) => {
                    let found = statement.argument_problems(&input.members()).into_iter();
                    found.map(|problem| format!("statement `{name}`: {problem}")).collect()
                }
            },
        }
    }
}
