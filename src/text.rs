//! Helpers for the texts of messages: shorten a text, list names, find a similar name.

/// A text, cut to a length that fits into a sentence.
pub(crate) fn shortened(text: &str) -> String {
    const SHORT: usize = 60;
    cut_to(text, SHORT)
}

/// A text, cut to this number of characters.
pub(crate) fn cut_to(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.into();
    }
    text.chars().take(max).chain(['…']).collect()
}

/// `a, b and c`.
pub(crate) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    match names {
        [] => "none".into(),
        [name] => format!("`{}`", name.as_ref()),
        [names @ .., last] => {
            let names: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
            format!("{} and `{}`", names.join(", "), last.as_ref())
        }
    }
}

/// The most similar name, if it is similar enough to be a typing error.
pub(crate) fn nearest<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    const LENGTH_MAX: usize = 64;
    const NAMES_MAX: usize = 1_000;
    if written.len() > LENGTH_MAX {
        return None;
    }
    let length = written.chars().count();
    // With one edit, a name of one or two characters can become any other.
    let edits_max = if length < 3 { 0 } else { (length / 3).max(1) };
    names
        .into_iter()
        .take(NAMES_MAX)
        .filter(|name| name.len() <= LENGTH_MAX && name.len().abs_diff(written.len()) <= 4 * edits_max)
        .map(|name| (strsim::osa_distance(written, name), name))
        .filter(|(edits, _)| *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_recognised_and_another_word_is_not() {
        assert_eq!(nearest("ouptut", ["input", "output", "next"]), Some("output"));
        assert_eq!(nearest("banana", ["input", "output", "next"]), None);
        assert_eq!(nearest(&"x".repeat(10_000), ["input"]), None);
        assert_eq!((nearest("x", ["n"]), nearest("or", ["on"]), nearest("nto", ["not"])), (None, None, Some("not")));
    }
}
