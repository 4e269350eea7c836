//! Error codes: words separated by dots. A shorter code matches those that begin with it.

/// Codes that are retried if a policy does not list codes: the cause may be temporary.
const TRANSIENT: [&str; 15] = [
    "timeout",
    "http.connect",
    "http.408",
    "http.425",
    "http.429",
    "http.5xx",
    "worker.unavailable",
    "database.deadlock",
    "database.serialization",
    "database.lock",
    "database.timeout",
    "database.cancelled",
    "database.connection",
    "database.resources",
    "database.read_only",
];

/// Whether the code `pattern` of a definition matches `code`: equal, a prefix of its words, or `http.5xx` for any `http.5??`.
pub fn matches(pattern: &str, code: &str) -> bool {
    let mut parts = code.split('.');
    pattern.split('.').all(|wanted| {
        parts.next().is_some_and(|part| {
            part == wanted
                || (wanted.ends_with("xx")
                    && wanted.len() == 3
                    && part.len() == 3
                    && part.as_bytes()[0] == wanted.as_bytes()[0])
        })
    })
}

/// Whether one of the patterns matches `code`; an empty list matches every code.
pub fn any_matches(patterns: &[String], code: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, code))
}

/// Whether a text is a valid code: words of letters, digits, `_` and `-`, separated by dots.
pub fn is_code(text: &str) -> bool {
    const LENGTH_MAX: usize = 255;
    let word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    text.len() <= LENGTH_MAX && text.split('.').all(word)
}

/// Whether the cause of an error with this code may be temporary.
pub fn is_transient(code: &str) -> bool {
    TRANSIENT.iter().any(|pattern| matches(pattern, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_code_matches_codes_that_begin_with_it() {
        assert!(matches("http", "http.503"));
        assert!(matches("http.5xx", "http.503"));
        assert!(!matches("http.5xx", "http.409"));
        assert!(!matches("http.503", "http"));
        assert!(!matches("time", "timeout"));
    }

    #[test]
    fn codes_with_a_temporary_cause_are_transient() {
        assert!(is_transient("timeout") && is_transient("http.500") && is_transient("database.lock"));
        assert!(!is_transient("database.unique") && !is_transient("database.error"));
        assert!(!is_transient("http.404") && !is_transient("handler.busy") && !is_transient("expression"));
    }
}
