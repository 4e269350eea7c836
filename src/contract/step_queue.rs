//! The two queues of step commands behind one queue of the settings: one for urgent instances, one for all others.

use std::borrow::Cow;

/// The end of the name of the queue for urgent instances. No queue of a definition can end like this: their names have no dot.
pub const URGENT: &str = ".urgent";

/// Whether instances of this priority go before those that have none.
pub fn is_urgent(priority: i16) -> bool {
    priority > 0
}

/// The queue of the step commands of an instance of this priority, as the routing key says it. The statements that read due timers and
/// silent instances say the same in SQL.
pub fn step_queue(queue: &str, priority: i16) -> Cow<'_, str> {
    if is_urgent(priority) { Cow::Owned(urgent_queue(queue)) } else { Cow::Borrowed(queue) }
}

/// The queue for the urgent instances of a queue.
pub fn urgent_queue(queue: &str) -> String {
    format!("{queue}{URGENT}")
}

/// Whether a queue of step commands is one for urgent instances.
pub fn is_urgent_queue(step_queue: &str) -> bool {
    step_queue.ends_with(URGENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_priority_above_zero_is_urgent() {
        let step_queues = [i16::MIN, 0, 1, i16::MAX].map(|priority| step_queue("slow", priority));
        assert_eq!(step_queues, ["slow", "slow", "slow.urgent", "slow.urgent"]);
        assert!(is_urgent_queue(&step_queues[2]) && !is_urgent_queue(&step_queues[0]));
    }
}
