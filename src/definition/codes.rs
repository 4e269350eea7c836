//! Error codes: words separated by dots. A shorter code matches those that begin with it.

pub use crate::fault::matches;

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

/// Whether an activity that fails with this code is retried where its policy lists no codes: its class says so.
pub fn is_retried(code: &str) -> bool {
    crate::fault::class_of(code).is_retried()
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
    fn codes_with_a_temporary_cause_are_retried() {
        assert!(is_retried("timeout") && is_retried("http.500") && is_retried("database.lock"));
        assert!(!is_retried("database.unique") && !is_retried("database.error"));
        assert!(!is_retried("http.404") && !is_retried("handler.busy") && !is_retried("expression"));
    }
}
