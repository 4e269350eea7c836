//! Bugs that are put in on purpose, to prove that the tests of faults find them. Without the feature `seeded-bugs` there are none.

/// A bug. `SEEDED_BUG` picks one by the name that [`Bug::name`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum Bug {
    /// A delivery is acknowledged before its command is executed.
    AckBeforeCommit,
    /// An outbox row is deleted before the broker has confirmed it.
    DeleteBeforeConfirm,
    /// What a step publishes is kept in memory only, and not written with its commit.
    OutboxInMemoryOnly,
    /// A commit does not compare the revision of its instance.
    RevisionNotCompared,
    /// The sweeps of outbox and timers read what is due, and neither lock nor claim it.
    SweepWithoutClaim,
    /// A retry does not count the failures before it.
    RetryWithoutAttemptCount,
    /// Transactions run under whatever isolation the database defaults to.
    IsolationLeftToTheDatabase,
    /// A command is executed without a look for its earlier execution.
    InboxNotAsked,
    /// What a step ends stays an open bookmark.
    BookmarkNotConsumed,
    /// The outcome of a call is recorded whatever attempt it belongs to.
    LateOutcomeRecorded,
    /// A step is committed without its history.
    HistoryLeftOut,
    /// The cleaner deletes instances that live.
    CleanerDeletesTheLiving,
    /// A timer fires whenever it is asked to.
    TimerFiresEarly,
}

impl Bug {
    /// Its name, as `ack-before-commit`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Whether this bug is put in.
#[cfg(feature = "seeded-bugs")]
pub fn is(bug: Bug) -> bool {
    static PICKED: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "no setting: it exists only where tests are run")]
    let picked = *PICKED.get_or_init(|| std::env::var("SEEDED_BUG").ok()?.parse().ok());
    picked == Some(bug)
}

/// A text in which the bug replaces a part.
pub fn text(text: &'static str, bug: Bug, part: &str, by: &str) -> &'static str {
    if is(bug) { text.replace(part, by).leak() } else { text }
}

/// Whether this bug is put in: never, without the feature `seeded-bugs`.
#[cfg(not(feature = "seeded-bugs"))]
pub const fn is(_bug: Bug) -> bool {
    false
}
