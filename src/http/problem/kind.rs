//! The one table of problems: every `type` of an error, with its status, what it means, and what to do about it. docs/problems.md and
//! the pages below `/problems` are written from it.

/// What `type` begins with.
const URN: &str = "urn:leveret:";

/// What is said of a kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// The `type` of the answer. It is stable: programs compare it.
    pub(crate) urn: &'static str,
    /// The status of the answer.
    pub(crate) status: u16,
    /// The `title` of the answer.
    pub(crate) title: &'static str,
    /// What it means.
    pub(crate) means: &'static str,
    /// What to do.
    pub(crate) remedy: &'static str,
}

impl Kind {
    /// The part of the `type` after `urn:leveret:`, which is also the name of its page.
    pub(crate) fn name(self) -> &'static str {
        self.line().urn.trim_start_matches(URN)
    }

    /// The kind of this name.
    pub(crate) fn find(name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// Makes the kinds and their lines, so that neither can be missing.
macro_rules! kinds {
    ($($kind:ident { $($line:tt)* })*) => {
        /// A kind of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Kind {
            $($kind,)*
        }

        impl Kind {
            /// Every kind, by status.
            pub(crate) const ALL: &[Kind] = &[$(Kind::$kind,)*];

            /// Its line of the table.
            pub(crate) fn line(self) -> Line {
                match self {
                    $(Kind::$kind => Line { $($line)* },)*
                }
            }
        }
    };
}

kinds! {
    Invalid {
        urn: "urn:leveret:invalid",
        status: 400,
        title: "Invalid request",
        means: "the request is not valid: a parameter, a header or the body cannot be read; `errors` names the places in the body",
        remedy: "correct what `detail` names; the same request is refused again",
    }
    Origin {
        urn: "urn:leveret:origin",
        status: 403,
        title: "Foreign origin",
        means: "a page of another site sent the request",
        remedy: "if it is a page of your own, add its host to `http.hosts`",
    }
    TaskNotCandidate {
        urn: "urn:leveret:task-not-candidate",
        status: 403,
        title: "The user is not a candidate",
        means: "neither the user nor one of the groups is a candidate of the task",
        remedy: "let a candidate do it, or reassign the task",
    }
    TaskExcluded {
        urn: "urn:leveret:task-excluded",
        status: 403,
        title: "The user is excluded",
        means: "the definition excludes the user from the task",
        remedy: "let another candidate do it",
    }
    TaskAssigned {
        urn: "urn:leveret:task-assigned",
        status: 403,
        title: "The task is assigned to another user",
        means: "only its assignee may do this",
        remedy: "reassign the task, or let the assignee do it",
    }
    NotFound {
        urn: "urn:leveret:not-found",
        status: 404,
        title: "Not found",
        means: "the object or the path does not exist, or is deleted",
        remedy: "compare the id or name with the list; paths are under `/api/v1`",
    }
    Method {
        urn: "urn:leveret:method",
        status: 405,
        title: "Method not allowed",
        means: "the path does not support this method",
        remedy: "use a method of the header `Allow`",
    }
    Timeout {
        urn: "urn:leveret:timeout",
        status: 408,
        title: "Request timeout",
        means: "the body did not arrive within 30 s; nothing was done",
        remedy: "send it again, over a faster connection",
    }
    Refused {
        urn: "urn:leveret:refused",
        status: 409,
        title: "Command refused",
        means: "the command is not possible now: the key is in use, the instance has ended, there is no incident",
        remedy: "read the object again; the command may be possible later, or never",
    }
    Stale {
        urn: "urn:leveret:stale",
        status: 409,
        title: "The instance has changed",
        means: "the instance has changed since it was read (`If-Match`, `revision`)",
        remedy: "read it again, and decide with what it is now",
    }
    ScheduleStale {
        urn: "urn:leveret:schedule-stale",
        status: 409,
        title: "The schedule has changed",
        means: "the schedule has changed since it was read (`If-Match`)",
        remedy: "read it again, and decide with what it is now",
    }
    DefinitionStale {
        urn: "urn:leveret:definition-stale",
        status: 409,
        title: "The definition has changed",
        means: "the newest version is not the one that was read (`If-Match`)",
        remedy: "read it again, and apply a document that is made from it",
    }
    TaskClosed {
        urn: "urn:leveret:task-closed",
        status: 409,
        title: "The task is closed",
        means: "the task is closed; `detail` says how",
        remedy: "nothing: the work is done",
    }
    TaskStale {
        urn: "urn:leveret:task-stale",
        status: 409,
        title: "The task has changed",
        means: "the task has changed since it was read (`If-Match`)",
        remedy: "read it again, and decide with what it is now",
    }
    TaskClaimed {
        urn: "urn:leveret:task-claimed",
        status: 409,
        title: "The task is claimed by another user",
        means: "another user has claimed it, and the claim has not expired",
        remedy: "take another task, or ask the user to release it",
    }
    TaskNotHeld {
        urn: "urn:leveret:task-not-held",
        status: 409,
        title: "The user has not claimed the task",
        means: "the user has not claimed it, or the claim has expired",
        remedy: "claim it again",
    }
    TaskVoted {
        urn: "urn:leveret:task-voted",
        status: 409,
        title: "The user has voted already",
        means: "each user has one vote, and this one is cast",
        remedy: "nothing: the vote counts",
    }
    TaskVote {
        urn: "urn:leveret:task-vote",
        status: 409,
        title: "The task is a vote",
        means: "a vote can be neither claimed nor reassigned",
        remedy: "cast a vote: complete the task",
    }
    TooLarge {
        urn: "urn:leveret:too-large",
        status: 413,
        title: "Body too large",
        means: "the body is larger than `limits.message_max`, or a document larger than 1 MiB",
        remedy: "keep large data elsewhere, and send a reference to it",
    }
    MediaType {
        urn: "urn:leveret:media-type",
        status: 415,
        title: "Unsupported media type",
        means: "the body does not say that it is `application/json`, or a document `application/yaml`",
        remedy: "add the header `Content-Type`; `curl --json` does",
    }
    Host {
        urn: "urn:leveret:host",
        status: 421,
        title: "Wrong host",
        means: "the `Host` of the request is not this server",
        remedy: "if it is, add the name to `http.hosts`",
    }
    Input {
        urn: "urn:leveret:input",
        status: 422,
        title: "Invalid input",
        means: "the input does not match the schema of the definition, or variables do not match schema and types",
        remedy: "correct the places in `errors`",
    }
    Definition {
        urn: "urn:leveret:definition",
        status: 422,
        title: "Invalid definition",
        means: "the document has problems; `errors` lists them all, with lines",
        remedy: "correct them; `leveret definition check` shows them in the text",
    }
    Schedule {
        urn: "urn:leveret:schedule",
        status: 422,
        title: "Invalid schedule",
        means: "the schedule is not valid; `errors` lists every problem",
        remedy: "correct the places in `errors`",
    }
    IdempotencyKeyReused {
        urn: "urn:leveret:idempotency-key-reused",
        status: 422,
        title: "Command refused",
        means: "the same `Idempotency-Key` was used with another request",
        remedy: "use a new key for each command, and the same key only to repeat it",
    }
    TaskDecision {
        urn: "urn:leveret:task-decision",
        status: 422,
        title: "Invalid decision",
        means: "the decision is missing, or not one of the task",
        remedy: "send one of its `decisions`",
    }
    TaskForm {
        urn: "urn:leveret:task-form",
        status: 422,
        title: "Invalid form",
        means: "the form does not match its schema; `errors` has the places",
        remedy: "correct the places in `errors`",
    }
    Limited {
        urn: "urn:leveret:limited",
        status: 429,
        title: "A limit of starts is reached",
        means: "the definition or the sender has reached its limit of starts or of living instances",
        remedy: "try again after the seconds in `Retry-After`",
    }
    Bug {
        urn: "urn:leveret:bug",
        status: 500,
        title: "Internal error",
        means: "an error of Leveret; nothing was written",
        remedy: "look into the log of the server, and report it",
    }
    Full {
        urn: "urn:leveret:full",
        status: 503,
        title: "Too many requests at once",
        means: "too many requests wait, or too many bytes of bodies are handled at once; nothing was done",
        remedy: "send it again after the seconds in `Retry-After`",
    }
    Overloaded {
        urn: "urn:leveret:overloaded",
        status: 503,
        title: "Temporarily unavailable",
        means: "18 documents and schedules are being checked or wait for it; nothing was read",
        remedy: "send it again after the seconds in `Retry-After`",
    }
    Busy {
        urn: "urn:leveret:busy",
        status: 503,
        title: "Temporarily unavailable",
        means: "another command is changing the same at this moment; nothing was written",
        remedy: "send it again after the seconds in `Retry-After`",
    }
    Slow {
        urn: "urn:leveret:slow",
        status: 503,
        title: "Temporarily unavailable",
        means: "a statement exceeded `database.statement_timeout`; nothing was written",
        remedy: "ask for less, or send it again when the database has less to do",
    }
    Unfinished {
        urn: "urn:leveret:unfinished",
        status: 503,
        title: "Temporarily unavailable",
        means: "the request was not handled within two minutes; it is still being handled, and may take effect",
        remedy: "send it again with the same `Idempotency-Key`: it takes effect once",
    }
    Unavailable {
        urn: "urn:leveret:unavailable",
        status: 503,
        title: "Temporarily unavailable",
        means: "the database does not answer, or the process stops; a command may have been written",
        remedy: "send it again with the same `Idempotency-Key`: it takes effect once",
    }
}
