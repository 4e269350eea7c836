//! What the connections to both servers share: URLs with several hosts, trusted certificates, and secrets from files.

pub mod address;
pub mod secret;
pub mod trust;

use trust::Check;

/// How a connection is protected, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    /// Host and port.
    pub place: String,
    /// Whether what is sent stays on this machine.
    pub is_local: bool,
    /// How far the server's certificate was checked; none if the connection is not encrypted.
    pub check: Option<Check>,
}
