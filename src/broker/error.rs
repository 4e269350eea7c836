//! Errors between this process and the broker, by what a caller can do about them.

use lapin::ErrorKind;

/// Precondition failed: the queue or exchange exists with other arguments.
const MISMATCH_CODE: u16 = 406;
/// Not found.
const MISSING_CODE: u16 = 404;

/// An error of the broker or of its use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The broker is unreachable, blocked or too slow, or has refused the message: try again later.
    #[error("the broker is not available: {0}")]
    Unavailable(String),
    /// A queue or exchange exists with other arguments than ours: an operator has to decide.
    #[error("the broker has a queue or exchange with other arguments: {0}")]
    Mismatch(String),
    /// This program or its settings are wrong: trying again does not help.
    #[error("wrong use of the broker: {0}")]
    Bug(String),
}

/// Classifies an error of the client library; `doing` names the operation that failed.
pub(super) fn classify(doing: &str, error: &lapin::Error) -> Error {
    match error.kind() {
        ErrorKind::ProtocolError(amqp) if amqp.get_id() == MISMATCH_CODE => {
            Error::Mismatch(format!("{doing}: {}", amqp.get_message()))
        }
        ErrorKind::ProtocolError(amqp) => Error::Unavailable(format!("{doing}: {}", amqp.get_message())),
        _ => Error::Unavailable(format!("{doing}: {error}")),
    }
}

/// Whether the broker refused the arguments.
pub(super) fn is_mismatch(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(amqp) if amqp.get_id() == MISMATCH_CODE)
}

/// Whether the broker answered "not found".
pub(super) fn is_missing(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(amqp) if amqp.get_id() == MISSING_CODE)
}
