//! The check of names, keys and ids in commands, the same for every API.

/// The longest name, key or id in a command, in bytes.
pub const NAME_MAX: usize = 255;

/// Why a text cannot be a name, key or id in a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has {0} bytes; it must have from 1 to {NAME_MAX} and no \\u0000")]
pub struct InvalidName(usize);

/// Checks a name, key or id in a command.
///
/// # Errors
/// [`InvalidName`] if it is empty, longer than [`NAME_MAX`], or contains `\u0000`, which PostgreSQL cannot store.
pub fn check_name(text: &str) -> Result<(), InvalidName> {
    match text.is_empty() || text.len() > NAME_MAX || text.contains('\0') {
        true => Err(InvalidName(text.len())),
        false => Ok(()),
    }
}

/// Whether a sender has a name that Leveret uses itself: `leveret`, and what begins with `leveret.`.
pub fn is_reserved_sender(app_id: &str) -> bool {
    app_id.strip_prefix("leveret").is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_senders_of_leveret_are_reserved() {
        for reserved in ["leveret", "leveret.", "leveret.http", "leveret.sql/shop", "leveret.schedule/nightly"] {
            assert!(is_reserved_sender(reserved), "{reserved}");
        }
        for free in ["shop", "leverets", "leveret-shop", "my.leveret.sql", ""] {
            assert!(!is_reserved_sender(free), "{free}");
        }
    }

    #[test]
    fn a_name_has_from_1_to_255_bytes_and_no_nul() {
        assert_eq!(check_name("PO-17"), Ok(()));
        assert_eq!(check_name(&"x".repeat(NAME_MAX)), Ok(()));
        for invalid in ["", "a\0", &"x".repeat(NAME_MAX + 1)] {
            assert_eq!(check_name(invalid), Err(InvalidName(invalid.len())));
        }
    }
}
