//! Names in any letters: of decisions, which people read, and of work, which other programs choose.

/// The longest such name, in bytes: the name of work is part of the name of a queue, which has at most 255.
pub const FREE_NAME_MAX: usize = 127;

/// Whether a text is such a name: not empty, without control characters, and without blanks at its ends.
pub fn is_free_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= FREE_NAME_MAX && text.trim() == text && !text.contains(char::is_control)
}

/// What such a name must be, for messages.
pub fn free_name_rule() -> String {
    format!(
        "it must have from 1 to {FREE_NAME_MAX} bytes, no line end or other control character, and no blanks at its ends"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_any_letters_and_no_invisible_ones() {
        for name in ["pack", "Pack It", "Genehmigt ✓", "承認", "a.b/c#*", "1", &"x".repeat(FREE_NAME_MAX)] {
            assert!(is_free_name(name), "{name}");
        }
        for name in ["", " ", " pack", "pack\u{a0}", "a\nb", "a\0", "\u{7f}", &"ä".repeat(64)] {
            assert!(!is_free_name(name), "{name:?}");
        }
    }
}
