//! The slots of a worker: one for each command that is executed. While commands wait for one, those of urgent instances go first, and
//! every fourth is one of the others.
//!
//! Commands do not wait for the semaphore themselves, because it serves them in the order in which they came. One at a time has the turn
//! to wait for it; who gets the turn next is decided when it is free.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Urgent commands that may be begun one after the other while others wait: so the others get one slot of four, and are never starved.
const URGENT_IN_A_ROW_MAX: u32 = 3;

/// Which commands go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Those of instances with a priority above 0.
    Urgent,
    /// All others.
    Ordinary,
}

/// The slots of all queues together.
#[derive(Clone)]
pub(super) struct Slots {
    semaphore: Arc<Semaphore>,
    turns: Arc<Mutex<Turns>>,
}

/// Who waits for the turn.
#[derive(Default)]
struct Turns {
    is_taken: bool,
    urgent: VecDeque<oneshot::Sender<Turn>>,
    ordinary: VecDeque<oneshot::Sender<Turn>>,
    urgent_in_a_row: u32,
}

impl Turns {
    /// Who is next.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let is_others_turn = self.urgent.is_empty() || self.urgent_in_a_row >= URGENT_IN_A_ROW_MAX;
        if is_others_turn && let Some(next) = self.ordinary.pop_front() {
            self.urgent_in_a_row = 0;
            return Some(next);
        }
        let next = self.urgent.pop_front();
        // Nobody waits for a share while only urgent ones come.
        self.urgent_in_a_row = if self.ordinary.is_empty() { 0 } else { self.urgent_in_a_row + 1 };
        next
    }
}

/// The right to wait for the semaphore. Passed on when it is dropped.
struct Turn(Option<Arc<Mutex<Turns>>>);

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        loop {
            let next = {
                let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
                let next = turns.next();
                turns.is_taken = next.is_some();
                next
            };
            let Some(next) = next else { return };
            match next.send(Turn(Some(turns.clone()))) {
                Ok(()) => return,
                // It waits no longer: the next one.
                Err(mut refused) => refused.0 = None,
            }
        }
    }
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        Self { semaphore: Arc::new(Semaphore::new(count)), turns: Arc::default() }
    }

    /// Waits for a slot. The semaphore is never closed. If it were, exceeding the limit would do less harm than stopping.
    pub(super) async fn take(&self, urgency: Urgency) -> Option<OwnedSemaphorePermit> {
        let turn = match self.enter(urgency) {
            Ok(turn) => turn,
            // The sender is in the list until it has sent.
            Err(waiting) => waiting.await.ok()?,
        };
        let slot = self.semaphore.clone().acquire_owned().await.ok();
        drop(turn);
        slot
    }

    /// The turn, or a place in the line.
    fn enter(&self, urgency: Urgency) -> Result<Turn, oneshot::Receiver<Turn>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if !turns.is_taken {
            turns.is_taken = true;
            return Ok(Turn(Some(self.turns.clone())));
        }
        let (sender, receiver) = oneshot::channel();
        match urgency {
            Urgency::Urgent => turns.urgent.push_back(sender),
            Urgency::Ordinary => turns.ordinary.push_back(sender),
        }
        Err(receiver)
    }

    /// Waits for all slots, before everyone who waits for the turn.
    pub(super) async fn take_all(&self, count: usize) -> Option<OwnedSemaphorePermit> {
        let all = u32::try_from(count).unwrap_or(u32::MAX);
        self.semaphore.clone().acquire_many_owned(all).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;
    use tokio_util::task::TaskTracker;

    use super::*;

    /// Waits for a slot, says its name, and gives the slot back.
    fn wait(slots: &Slots, urgency: Urgency, name: &str, said: &mpsc::Sender<String>) -> JoinHandle<()> {
        let (slots, name, said) = (slots.clone(), name.to_owned(), said.clone());
        TaskTracker::new().spawn(async move {
            let _slot = slots.take(urgency).await;
            said.send(name).await.unwrap();
        })
    }

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn urgent_commands_go_first_and_every_fourth_is_one_of_the_others() {
        let (slots, (said, mut heard)) = (Slots::new(1), mpsc::channel(32));
        let busy = slots.take(Urgency::Ordinary).await;
        // The first has the turn, whatever comes after it.
        for number in 0..4 {
            wait(&slots, Urgency::Ordinary, &format!("o{number}"), &said);
            settle().await;
        }
        for number in 0..8 {
            wait(&slots, Urgency::Urgent, &format!("u{number}"), &said);
        }
        settle().await;
        drop((busy, said));
        let mut order = Vec::new();
        while let Some(name) = heard.recv().await {
            order.push(name);
        }
        assert_eq!(order, ["o0", "u0", "u1", "u2", "o1", "u3", "u4", "u5", "o2", "u6", "u7", "o3"]);
    }

    #[tokio::test]
    async fn one_that_waits_no_longer_leaves_its_turn_to_the_next() {
        let (slots, (said, mut heard)) = (Slots::new(1), mpsc::channel(32));
        let busy = slots.take(Urgency::Ordinary).await;
        let first = wait(&slots, Urgency::Ordinary, "first", &said);
        settle().await;
        let gone = wait(&slots, Urgency::Urgent, "gone", &said);
        wait(&slots, Urgency::Ordinary, "last", &said);
        settle().await;
        gone.abort();
        settle().await;
        first.abort();
        drop((busy, said));
        assert_eq!(heard.recv().await.as_deref(), Some("last"));
        assert!(slots.take(Urgency::Urgent).await.is_some());
    }

    #[tokio::test]
    async fn all_slots_are_taken_before_those_who_wait_for_their_turn() {
        let slots = Slots::new(2);
        let (one, two) = (slots.take(Urgency::Urgent).await, slots.take(Urgency::Ordinary).await);
        let (all, waits) = (slots.clone(), slots.clone());
        let all = TaskTracker::new().spawn(async move { all.take_all(2).await });
        settle().await;
        let waits = TaskTracker::new().spawn(async move { waits.take(Urgency::Urgent).await });
        settle().await;
        drop((one, two));
        let all = all.await.unwrap();
        settle().await;
        assert!(all.is_some() && !waits.is_finished());
        drop(all);
        assert!(waits.await.unwrap().is_some());
    }
}
