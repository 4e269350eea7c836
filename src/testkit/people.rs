//! Actions of people in a scenario.

use serde_json::Value;

use crate::engine::{Act, Person, Task, TaskCommand};

use super::{Error, Scenario};

/// Tasks, and actions on them.
impl Scenario {
    /// The newest task, open or closed.
    pub fn task(&self) -> Option<&Task> {
        self.memory.tasks.values().max_by_key(|task| task.bookmark)
    }

    /// Completes the newest task, or casts a vote; then takes steps until the instance waits or has ended.
    ///
    /// # Errors
    /// Those of [`Scenario::act`].
    pub fn complete(&mut self, user: &str, decision: Option<&str>, form: Value) -> Result<(), Error> {
        let decision = decision.map(str::to_owned);
        self.act(user, Act::Complete { decision, form, comment: None })
    }

    /// Acts on the newest task as a user; then takes steps until the instance waits or has ended.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason; and the errors of [`Scenario::apply`].
    pub fn act(&mut self, user: &str, act: Act) -> Result<(), Error> {
        self.act_as(Person { user: user.to_owned(), groups: Vec::new() }, None, act)
    }

    /// The same as a person with groups, who has seen this revision of the task.
    ///
    /// # Errors
    /// Those of [`Scenario::act`].
    pub fn act_as(&mut self, person: Person, seen: Option<i64>, act: Act) -> Result<(), Error> {
        let bookmark = self.task().ok_or(Error::NoTask)?.bookmark;
        self.apply(TaskCommand { bookmark, person, seen, act })?;
        self.drive()
    }
}
