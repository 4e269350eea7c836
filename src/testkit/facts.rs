//! The facts of a decision, from memory.

use super::{Error, Scenario};
use crate::definition::{Runs, VariableTypes};
use crate::engine::{Facts, KeptMessages, Message, Missed, Need};

impl Scenario {
    pub(super) fn look_up(&mut self, need: Need) -> Result<Facts, Error> {
        match need {
            Need::Handler(call) => {
                let found = match &call.runs {
                    Runs::Handler(name) => self.handlers.get_mut(name),
                    Runs::Statement(name) => self.statements.get_mut(name),
                };
                match (found, call.runs.clone()) {
                    (Some(handler), _) => Ok(Facts { handler: Some(handler(&call)), ..Facts::default() }),
                    (None, Runs::Handler(name)) => Err(Error::NoHandler(name)),
                    (None, Runs::Statement(name)) => Err(Error::NoStatement(name)),
                }
            }
            Need::Messages { addresses, .. } => {
                let fits = |message: &&Message| {
                    addresses.iter().any(|(name, key)| *name == message.name && *key == message.key)
                };
                let list = self.memory.kept.values().filter(fits).cloned().collect();
                Ok(Facts { messages: Some(KeptMessages { list, more: false }), ..Facts::default() })
            }
            Need::Task(id) => Ok(Facts { task: Some(self.memory.tasks.get(&id).cloned()), ..Facts::default() }),
            Need::Ranks(asked) => Ok(Facts { ranks: Some(self.memory.ranks(&asked)), ..Facts::default() }),
            Need::Missed => {
                let (messages, outcomes) = (self.memory.missed(), self.memory.reported());
                Ok(Facts { missed: Some(Missed { messages, outcomes }), ..Facts::default() })
            }
            // The document is not kept: any type is accepted.
            Need::VariableTypes => Ok(Facts { variable_types: Some(VariableTypes::default()), ..Facts::default() }),
        }
    }
}
