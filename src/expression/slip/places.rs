//! Places for values in texts, in the manner of other languages: `{{ x }}`, `{x}`, `#{x}`, `$x`, `$.x`, `$(x)`.

/// A place for a value in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignPlace<'t> {
    /// Its first byte.
    pub at: usize,
    /// The whole place, as it is written.
    pub written: &'t str,
    /// What stands inside, without filters of Jinja.
    pub inside: &'t str,
}

/// The places in a text.
pub fn foreign_places(text: &str) -> Vec<ForeignPlace<'_>> {
    let mut places = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find(['{', '$']) {
        at += found;
        let escaped = text[..at].ends_with('$');
        let place =
            if escaped { None } else { jinja(text, at).or_else(|| braces(text, at)).or_else(|| dollar(text, at)) };
        match place {
            Some(place) => {
                at = place.at + place.written.len();
                places.push(place);
            }
            None => at += 1,
        }
    }
    places
}

fn jinja(text: &str, at: usize) -> Option<ForeignPlace<'_>> {
    let inner = text[at..].strip_prefix("{{")?;
    let end = inner.find("}}")?;
    let inside = inner[..end].trim_matches(|c: char| c.is_whitespace() || c == '-');
    Some(ForeignPlace { at, written: &text[at..at + end + 4], inside })
}

fn braces(text: &str, at: usize) -> Option<ForeignPlace<'_>> {
    let inner = text[at..].strip_prefix('{')?;
    let end = inner.find('}')?;
    let start = if text[..at].ends_with(['#', '%']) { at - 1 } else { at };
    let inside = &inner[..end];
    (path(inside) == inside).then(|| ForeignPlace { at: start, written: &text[start..at + end + 2], inside })
}

fn dollar(text: &str, at: usize) -> Option<ForeignPlace<'_>> {
    let rest = text[at..].strip_prefix('$')?;
    let (inside, length) = match rest.strip_prefix('(') {
        Some(inner) => {
            let name = path(inner);
            if !inner[name.len()..].starts_with(')') {
                return None;
            }
            (name, name.len() + 3)
        }
        None => {
            let dot = usize::from(rest.starts_with('.'));
            let name = path(&rest[dot..]);
            (name, 1 + dot + name.len())
        }
    };
    (!inside.is_empty()).then(|| ForeignPlace { at, written: &text[at..at + length], inside })
}

/// The name with its members, `a.b.c`, with which a text begins; empty if there is none.
fn path(text: &str) -> &str {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return "";
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(text.len());
    text[..end].trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_other_languages_are_found() {
        let found = |text: &'static str| -> Vec<(usize, &str, &str)> {
            foreign_places(text).into_iter().map(|place| (place.at, place.written, place.inside)).collect()
        };
        assert_eq!(found("a {{ b | upper }}"), [(2, "{{ b | upper }}", "b | upper")]);
        assert_eq!(
            found("#{a} {b.c} $d $.e $(f)."),
            [(0, "#{a}", "a"), (5, "{b.c}", "b.c"), (11, "$d", "d"), (14, "$.e", "e"), (18, "$(f)", "f"),]
        );
        for text in ["$5", "$${a}", "{\"a\": 1}", "{ }", "a{1,2}", "$$a", "{", "$", "{{ a", "costs 5$"] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
