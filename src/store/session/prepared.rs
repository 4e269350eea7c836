//! Whether statements stay prepared on a connection. Behind a pooler in transaction mode each transaction may have another server: the
//! names of prepared statements are then the pooler's task, or statements are prepared for one transaction only.

use crate::config::PreparedStatements;

/// How long a statement stays prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// As long as the connection: with the server itself, or with a pooler that keeps them for each client.
    Connection,
    /// For one transaction: it begins with none, and prepares what it needs.
    Transaction,
}

/// What the first statement of a connection has shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// The server has taken our start-up options, so no pooler in transaction mode is in between.
    pub(super) has_options: bool,
    /// The server knows the statement under another name than ours: a pooler keeps the names of its clients.
    pub(super) is_renamed: bool,
}

impl Prepared {
    /// As the setting says, or else as seen.
    pub(super) fn choose(setting: PreparedStatements, seen: Seen) -> Self {
        match setting {
            PreparedStatements::On => Self::Connection,
            PreparedStatements::Off => Self::Transaction,
            PreparedStatements::Auto if seen.has_options || seen.is_renamed => Self::Connection,
            PreparedStatements::Auto => Self::Transaction,
        }
    }

    /// Follows `BEGIN`. What another client has left prepared on this server could have one of our names.
    pub(super) fn begin(self) -> &'static str {
        match self {
            Self::Connection => "",
            Self::Transaction => "; DEALLOCATE ALL",
        }
    }
}

/// True if the server knows the statement that contains this text under a name that the client, tokio-postgres, does not give.
pub(super) fn is_renamed(text: &str) -> String {
    format!(
        "EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE strpos(statement, '{text}') > 0 AND name !~ '^s[0-9]+$')"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_stay_prepared_if_the_server_is_ours_or_the_pooler_keeps_them() {
        let auto =
            |has_options, is_renamed| Prepared::choose(PreparedStatements::Auto, Seen { has_options, is_renamed });
        assert_eq!(auto(true, false), Prepared::Connection);
        assert_eq!(auto(false, true), Prepared::Connection);
        assert_eq!(auto(false, false), Prepared::Transaction);
    }

    #[test]
    fn the_setting_decides_whatever_was_seen() {
        for (has_options, is_renamed) in [(true, true), (false, false)] {
            let seen = Seen { has_options, is_renamed };
            assert_eq!(Prepared::choose(PreparedStatements::On, seen), Prepared::Connection);
            assert_eq!(Prepared::choose(PreparedStatements::Off, seen), Prepared::Transaction);
        }
    }
}
