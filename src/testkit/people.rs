//! What people do in a scenario.

use serde_json::Value;

use crate::engine::{Act, Person, Task, TaskCommand};

use super::{Error, Scenario};

/// Tasks, and what people do with them.
impl Scenario {
    /// The newest task, open or closed.
    pub fn task(&self) -> Option<&Task> {
        self.memory.tasks.values().max_by_key(|task| task.bookmark)
    }

    /// Does the newest task, or casts a vote; then runs the instance until it waits or has ended.
    ///
    /// # Errors
    /// What [`Scenario::act`] says.
    pub fn complete(&mut self, user: &str, decision: Option<&str>, form: Value) -> Result<(), Error> {
        let decision = decision.map(str::to_owned);
        self.act(user, Act::Complete { decision, form, comment: None })
    }

    /// Lets a user do something with the newest task; then runs the instance until it waits or has ended.
    ///
    /// # Errors
    /// [`Error::Refused`] says why it cannot be done; and what [`Scenario::apply`] says.
    pub fn act(&mut self, user: &str, act: Act) -> Result<(), Error> {
        self.act_as(Person { user: user.to_owned(), groups: Vec::new() }, None, act)
    }

    /// The same as somebody who belongs to groups, and who has seen this revision of the task.
    ///
    /// # Errors
    /// As [`Scenario::act`].
    pub fn act_as(&mut self, person: Person, seen: Option<i64>, act: Act) -> Result<(), Error> {
        let bookmark = self.task().ok_or(Error::NoTask)?.bookmark;
        self.apply(TaskCommand { bookmark, person, seen, act })?;
        self.drive()
    }
}
