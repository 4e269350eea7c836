//! What the connections to both servers share: URLs with several hosts, trusted certificates, and secrets from files.

pub mod address;
#[cfg(feature = "server")]
pub mod identity;
pub mod secret;
#[cfg(feature = "server")]
pub mod token;
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
