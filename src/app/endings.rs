//! Requests of this process that wait for the end of an instance. A commit of this process ends the wait itself; what other processes
//! commit is found by one look at all of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::engine::InstanceId;

/// Who waits for what.
#[derive(Debug, Default)]
pub struct Endings {
    waits: Mutex<HashMap<InstanceId, Awaited>>,
    /// The number of instances in `waits`: a commit reads it without a lock.
    count: AtomicUsize,
    joined: Notify,
}

/// An instance that somebody waits for.
#[derive(Debug, Default)]
struct Awaited {
    waits: usize,
    ended: CancellationToken,
}

/// A wait for the end of an instance, until it is dropped.
#[derive(Debug)]
pub struct Wait<'a> {
    endings: &'a Endings,
    id: InstanceId,
    ended: CancellationToken,
}

impl Endings {
    /// Begins to wait. What has ended before is found by the next look.
    pub fn wait(&self, id: InstanceId) -> Wait<'_> {
        let mut waits = self.lock();
        let awaited = waits.entry(id).or_default();
        awaited.waits += 1;
        let ended = awaited.ended.clone();
        self.count.store(waits.len(), Ordering::Relaxed);
        drop(waits);
        self.joined.notify_one();
        Wait { endings: self, id, ended }
    }

    /// An instance has ended. Costs one read of a counter while nobody waits for any.
    pub fn ended(&self, id: InstanceId) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        if let Some(awaited) = self.lock().get(&id) {
            awaited.ended.cancel();
        }
    }

    /// The instances that somebody waits for.
    pub fn awaited(&self) -> Vec<InstanceId> {
        self.lock().iter().filter(|(_, awaited)| !awaited.ended.is_cancelled()).map(|(id, _)| *id).collect()
    }

    /// Resolves when another wait has begun.
    pub async fn joined(&self) {
        self.joined.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, Awaited>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wait<'_> {
    /// Resolves when the instance has ended.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut waits = self.endings.lock();
        if let Some(awaited) = waits.get_mut(&self.id) {
            awaited.waits -= 1;
            if awaited.waits == 0 {
                waits.remove(&self.id);
            }
        }
        self.endings.count.store(waits.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_wait_for_an_instance_ends_with_it_and_nothing_is_left() {
        let endings = Endings::default();
        let [one, other] = [1, 2].map(|id| InstanceId(Uuid::from_u128(id)));
        endings.ended(one);
        let waits = [endings.wait(one), endings.wait(one), endings.wait(other)];
        assert!(endings.joined().now_or_never().is_some());
        let has_ended = || waits.each_ref().map(|wait| wait.ended().now_or_never().is_some());
        assert_eq!((has_ended(), endings.awaited().len()), ([false; 3], 2), "what ended before is found by a look");
        endings.ended(one);
        assert_eq!((has_ended(), endings.awaited()), ([true, true, false], vec![other]));
        let late = endings.wait(one);
        assert!(late.ended().now_or_never().is_some());
        drop((waits, late));
        assert!(endings.lock().is_empty() && endings.count.load(Ordering::Relaxed) == 0);
    }
}
