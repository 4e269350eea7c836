//! What follows from the settings of the worker role.

use super::Worker;
use crate::contract::step_queue::urgent_queue;

impl Worker {
    /// The queues of step commands that a worker consumes: each of [`Worker::queues`], and its queue for urgent instances.
    pub fn step_queues(&self) -> Vec<String> {
        self.queues.iter().flat_map(|queue| [queue.clone(), urgent_queue(queue)]).collect()
    }
}
