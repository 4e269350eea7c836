//! Where and how long a command waits that cannot be executed now: its handler is unknown here, or another worker is moving its instance.

use std::time::Duration;

use crate::contract::Command;

/// The header that counts how often a command was delayed because no worker could execute it.
pub(super) const HEADER: &str = "leveret-bounces";
/// The pause after each bounce, in seconds; the last one is repeated. Another worker may execute the command next time, but a
/// handler that no worker has must not keep all of them busy.
const PAUSES: [u64; 5] = [1, 2, 5, 10, 30];
/// An internal command is dropped after this many bounces, a quarter of an hour: the role `timers` writes it again, and its
/// commands must not pile up.
const BOUNCES_MAX: usize = 34;

/// What becomes of a command that cannot be executed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bounce {
    /// It waits in a delay queue. If it is lost there, the role `timers` writes it again.
    Delay(Duration),
    /// It waits in the outbox: nobody would write it again.
    PutOff(Duration),
    /// It is dropped.
    Drop,
}

impl Bounce {
    /// For a command that has bounced `times` times before.
    pub(super) fn of(command: &Command, times: usize) -> Self {
        let is_written_again = match command {
            Command::Continue(_) | Command::Fire(_) => true,
            Command::Start(_) | Command::Message(_) | Command::Cancel(_) | Command::Retry(_) => false,
            Command::TaskComplete(_) | Command::TaskClaim(_) | Command::TaskRelease(_) => false,
            Command::Suspend(_) | Command::Resume(_) | Command::Reschedule(_) | Command::Deliver(_) => false,
            Command::Operate(_) => false,
            Command::CallComplete(_) | Command::CallHeartbeat(_) | Command::CallProgress(_) => false,
        };
        let pause = Duration::from_secs(PAUSES[times.min(PAUSES.len() - 1)]);
        match (is_written_again, times >= BOUNCES_MAX) {
            (true, true) => Bounce::Drop,
            (true, false) => Bounce::Delay(pause),
            (false, _) => Bounce::PutOff(pause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Continue, Deliver, Start};

    fn step() -> Command {
        Command::Continue(Continue { instance: uuid::Uuid::nil(), branch: 0, sequence: 0 })
    }

    fn seconds(times: usize) -> Option<u64> {
        match Bounce::of(&step(), times) {
            Bounce::Delay(pause) => Some(pause.as_secs()),
            Bounce::Drop => None,
            Bounce::PutOff(_) => panic!("the role `timers` writes it again"),
        }
    }

    #[test]
    fn a_step_command_is_delayed_longer_each_time_and_dropped_after_a_quarter_of_an_hour() {
        let first: Vec<_> = (0..6).filter_map(seconds).collect();
        assert_eq!(first, [1, 2, 5, 10, 30, 30]);
        let whole: u64 = (0..).map_while(seconds).sum();
        assert!((14 * 60..=16 * 60).contains(&whole), "{whole} s");
    }

    #[test]
    fn a_command_that_nobody_writes_again_waits_in_the_database_and_is_never_dropped() {
        let (instance, data) = (uuid::Uuid::nil(), serde_json::Value::Null);
        let deliver = Deliver {
            instance,
            bookmark: 1,
            name: "paid".into(),
            key: "A-1".into(),
            data,
            sender: None,
            user_id: None,
        };
        for command in [Command::Start(Start::default()), Command::Deliver(deliver)] {
            assert_eq!(Bounce::of(&command, 0), Bounce::PutOff(Duration::from_secs(1)));
            assert_eq!(Bounce::of(&command, usize::MAX), Bounce::PutOff(Duration::from_secs(30)));
        }
    }
}
