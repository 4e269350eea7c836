//! Votes: each user has one, and after each vote the rules are evaluated.

use serde_json::{Map, Value, json};

use super::super::admit::Position;
use super::super::transition::{Halt, Transition};
use super::super::{Effect, EntryKind, Failure, Step};
use super::act::{TaskAction, decision_details};
use super::{Ballot, Closed, Task, TaskOutcome, TaskRefusal};

impl<'a> Transition<'a> {
    /// Casts a vote, and closes the task if a rule holds.
    pub(super) fn vote(
        mut self,
        action: TaskAction<'a>,
        decision: String,
        comment: Option<String>,
    ) -> Result<Step, Halt> {
        let TaskAction { position, declared, mut task, user } = action;
        if task.ballots.iter().any(|ballot| ballot.user == user) {
            return Err(TaskRefusal::Voted(user).into());
        }
        self.record(
            EntryKind::TaskVoted,
            position,
            decision_details(&task, &user, Some(&decision), comment.as_deref()),
        );
        task.ballots.push(Ballot { user: user.clone(), decision, comment, at: self.context.now });
        let votes = counted(&task);
        let is_complete = task.users.iter().all(|user| task.ballots.iter().any(|ballot| ballot.user == *user));
        let mut decided = None;
        for rule in &declared.vote {
            let held = self.scope(position).votes(&votes, &json!(task.users)).holds(&rule.when);
            match held {
                Ok(false) => {}
                Ok(true) => {
                    decided = Some(rule.decide.clone());
                    break;
                }
                // The vote counts; the failure of a rule is an error of the activity.
                Err(failure) => return self.end_vote(position, task, failure),
            }
        }
        match decided {
            Some(decision) => self.close_vote(position, task, user, decision, votes),
            None if is_complete => {
                let message = "every candidate has voted, and no rule of the vote holds";
                let failure = Failure { data: json!({ "votes": votes }), ..Failure::new("task.undecided", message) };
                self.end_vote(position, task, failure)
            }
            None => {
                // The user who has voted is no longer offered the task.
                self.push(Effect::OfferTask(Box::new(task)));
                Ok(self.done())
            }
        }
    }

    fn close_vote(
        mut self,
        position: Position<'a>,
        task: Task,
        user: String,
        decision: String,
        votes: Value,
    ) -> Result<Step, Halt> {
        let mut details = Map::from_iter([("task".to_owned(), json!(task.id)), ("by".to_owned(), json!(user))]);
        details.insert("decision".to_owned(), json!(decision));
        details.insert("votes".to_owned(), votes.clone());
        self.record(EntryKind::TaskCompleted, position, Value::Object(details));
        let result = json!({
            "decision": decision, "actor": user, "form": null, "comment": null, "votes": votes, "ballots": task.ballots,
        });
        let ballots = task.ballots.clone();
        let closed = Closed { outcome: TaskOutcome::Completed, by: Some(user), result, ballots };
        self.close_task(position, &task, closed)
    }

    fn end_vote(mut self, position: Position<'a>, task: Task, failure: Failure) -> Result<Step, Halt> {
        self.take_wait(position, task.bookmark);
        let closed = Closed { outcome: TaskOutcome::Undecided, by: None, result: Value::Null, ballots: task.ballots };
        self.publish_task_closed(task.id, closed.outcome);
        self.push(Effect::CloseTask { id: task.id, closed });
        self.conclude(position, Err(failure))?;
        Ok(self.done())
    }
}

/// The number of votes for each decision.
pub fn counted(task: &Task) -> Value {
    let count = |name: &str| task.ballots.iter().filter(|ballot| ballot.decision == name).count();
    let counts = task.decisions.iter().map(|decision| (decision.name.clone(), json!(count(&decision.name))));
    Value::Object(counts.collect())
}
