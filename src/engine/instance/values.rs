//! The values inside the branches of an instance, for checks that must see all of them.

use serde_json::Value;

use super::{Branch, Concluded, Phase, State, WaitOn};

impl State {
    /// Results and data of failures, which come from outside or from expressions.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.branches.iter().flat_map(Branch::values)
    }
}

impl Branch {
    fn values(&self) -> impl Iterator<Item = &Value> {
        let concluded = match &self.phase {
            Phase::Concluded(Concluded { result, failure, .. }) => (result.as_ref(), failure.as_ref()),
            Phase::Ready | Phase::Waiting(_) => (None, None),
        };
        let waits = self.waits().iter().map(|wait| match &wait.on {
            WaitOn::Intervention { failure, result } => (result.as_ref(), Some(failure)),
            WaitOn::Call { probing, .. } => (None, probing.as_ref().map(|probing| &probing.failure)),
            WaitOn::Timer(_) | WaitOn::Message { .. } | WaitOn::Task => (None, None),
        });
        let kept = waits.chain([concluded]);
        kept.flat_map(|(result, failure)| result.into_iter().chain(failure.map(|failure| &failure.data)))
    }
}
