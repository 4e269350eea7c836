//! How much runs at once: a limit for all processes together, and the share of one process that a single target may take.

use std::collections::HashMap;

/// Whether one more may begin while `running` are under way.
pub fn has_room(limit: u32, running: u64) -> bool {
    running < u64::from(limit)
}

/// How much runs in this process, by target. A slow or silent target fills only its own share.
#[derive(Debug, Clone)]
pub struct Bulkhead {
    per_target: u32,
    running: HashMap<String, u32>,
}

impl Bulkhead {
    /// With this many slots for each target, at least one.
    pub fn new(per_target: u32) -> Self {
        Self { per_target: per_target.max(1), running: HashMap::new() }
    }

    /// Takes a slot of a target; false if none is free.
    pub fn enter(&mut self, target: &str) -> bool {
        if self.room(target) == 0 {
            return false;
        }
        *self.running.entry(target.to_owned()).or_default() += 1;
        true
    }

    /// Frees a slot of a target.
    pub fn leave(&mut self, target: &str) {
        let Some(running) = self.running.get_mut(target) else { return };
        *running = running.saturating_sub(1);
        if *running == 0 {
            self.running.remove(target);
        }
    }

    /// Free slots of a target.
    pub fn room(&self, target: &str) -> u32 {
        self.per_target.saturating_sub(self.running.get(target).copied().unwrap_or_default())
    }

    /// Targets with at least one slot taken.
    pub fn busy(&self) -> impl Iterator<Item = &str> {
        self.running.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_target_fills_its_own_share_only() {
        let mut bulkhead = Bulkhead::new(2);
        assert!(bulkhead.enter("dead") && bulkhead.enter("dead") && !bulkhead.enter("dead"));
        assert!(bulkhead.enter("alive"));
        bulkhead.leave("dead");
        assert_eq!((bulkhead.room("dead"), bulkhead.room("alive"), bulkhead.room("new")), (1, 1, 2));
    }

    #[test]
    fn a_limit_is_not_exceeded() {
        assert!(has_room(2, 1) && !has_room(2, 2) && !has_room(0, 0));
    }

    proptest! {
        #[test]
        fn slots_are_neither_lost_nor_created(per_target in 1u32..5, moves in proptest::collection::vec((any::<bool>(), 0u8..3), 0..100)) {
            let mut bulkhead = Bulkhead::new(per_target);
            let mut model = [0u32; 3];
            for (enters, which) in moves {
                let (name, count) = (which.to_string(), &mut model[usize::from(which)]);
                if enters {
                    let entered = bulkhead.enter(&name);
                    prop_assert_eq!(entered, *count < per_target);
                    *count += u32::from(entered);
                } else if *count > 0 {
                    bulkhead.leave(&name);
                    *count -= 1;
                }
                prop_assert_eq!(bulkhead.room(&name), per_target - *count);
            }
            prop_assert_eq!(bulkhead.busy().count(), model.iter().filter(|count| **count > 0).count());
        }
    }
}
