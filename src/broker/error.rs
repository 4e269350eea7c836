//! What can go wrong between this process and the broker, sorted by what a caller may do about it.

use lapin::ErrorKind;

/// Precondition failed: what exists was declared with other arguments.
const MISMATCH_CODE: u16 = 406;
/// Not found.
const MISSING_CODE: u16 = 404;

/// A failure of the broker or of its use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The broker is away, blocked, too slow or refused to take the message: try again later.
    #[error("the broker is not available: {0}")]
    Unavailable(String),
    /// Something exists on the broker with other arguments than ours: a person has to decide.
    #[error("the broker holds something else than was declared: {0}")]
    Mismatch(String),
    /// This program or its settings are wrong: trying again will not help.
    #[error("wrong use of the broker: {0}")]
    Bug(String),
}

/// Sorts an error of the client library; `doing` says what failed.
pub(super) fn sort(doing: &str, error: &lapin::Error) -> Error {
    match error.kind() {
        ErrorKind::ProtocolError(amqp) if amqp.get_id() == MISMATCH_CODE => {
            Error::Mismatch(format!("{doing}: {}", amqp.get_message()))
        }
        ErrorKind::ProtocolError(amqp) => Error::Unavailable(format!("{doing}: {}", amqp.get_message())),
        _ => Error::Unavailable(format!("{doing}: {error}")),
    }
}

/// Whether the broker said that what was named does not exist.
pub(super) fn is_missing(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(amqp) if amqp.get_id() == MISSING_CODE)
}
