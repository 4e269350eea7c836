//! The delay of a command that cannot be executed now: its handler is unknown here, or another worker is moving its instance.

use std::time::Duration;

use crate::contract::Command;

/// The header that counts how often a command was delayed because no worker could execute it.
pub(super) const HEADER: &str = "leveret-bounces";
/// The delay after each bounce, in seconds; the last one is repeated. Another worker may execute the command next time, but a
/// handler that no worker has must not keep all of them busy.
const PAUSES: [u64; 5] = [1, 2, 5, 10, 30];
/// An internal command is dropped after this many bounces, a quarter of an hour: the role `timers` writes it again, and its
/// commands must not pile up.
const BOUNCES_MAX: usize = 34;

/// The delay of a command that has bounced `times` times before; `None` if it is dropped.
pub(super) fn pause(command: &Command, times: usize) -> Option<Duration> {
    let is_written_again = match command {
        Command::Continue(_) | Command::Fire(_) => true,
        Command::Start(_) | Command::Message(_) | Command::Cancel(_) | Command::Retry(_) => false,
        Command::TaskComplete(_) | Command::TaskClaim(_) | Command::TaskRelease(_) => false,
        Command::Suspend(_) | Command::Resume(_) | Command::Reschedule(_) | Command::Deliver(_) => false,
        Command::CallComplete(_) | Command::CallHeartbeat(_) | Command::CallProgress(_) => false,
    };
    if is_written_again && times >= BOUNCES_MAX {
        return None;
    }
    let last = PAUSES.len() - 1;
    Some(Duration::from_secs(PAUSES[times.min(last)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Continue, Start};

    fn step() -> Command {
        Command::Continue(Continue { instance: uuid::Uuid::nil(), branch: 0, sequence: 0 })
    }

    fn seconds(command: &Command, times: usize) -> Option<u64> {
        pause(command, times).map(|pause| pause.as_secs())
    }

    #[test]
    fn a_step_command_is_delayed_longer_each_time_and_dropped_after_a_quarter_of_an_hour() {
        let first: Vec<_> = (0..6).filter_map(|times| seconds(&step(), times)).collect();
        assert_eq!(first, [1, 2, 5, 10, 30, 30]);
        let whole: u64 = (0..).map_while(|times| seconds(&step(), times)).sum();
        assert!((14 * 60..=16 * 60).contains(&whole), "{whole} s");
    }

    #[test]
    fn a_command_from_outside_is_never_dropped() {
        assert_eq!(seconds(&Command::Start(Start::default()), usize::MAX), Some(30));
    }
}
