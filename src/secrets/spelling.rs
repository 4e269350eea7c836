//! The spellings in which servers repeat a text: as it is, escaped for JSON, or percent-encoded.

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters that some JSON libraries escape so that the output is safe in HTML.
const HTML: [char; 4] = ['<', '>', '&', '\''];
/// What is not percent-encoded in a path.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The text as it is; as a JSON string, with or without escapes for `/`, for [`HTML`] and for non-ASCII characters (the defaults
/// of PHP, Go and Python); and percent-encoded, as in a path and as in a form. The longest first.
pub(super) fn all(text: &str) -> Vec<String> {
    let mut spellings = BTreeSet::from([text.to_owned()]);
    for choice in 0..16_u8 {
        let chosen = |bit: u8| choice >> bit & 1 == 1;
        let escapes = Escapes { slash: chosen(0), html: chosen(1), non_ascii: chosen(2), upper_hex: chosen(3) };
        spellings.insert(json(text, &escapes));
    }
    let form: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    for encoded in [utf8_percent_encode(text, UNRESERVED).to_string(), form] {
        spellings.insert(lower_hex(&encoded));
        spellings.insert(encoded);
    }
    let mut spellings: Vec<String> = spellings.into_iter().collect();
    spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
    spellings
}

/// What a JSON library escapes although it need not, and how.
struct Escapes {
    slash: bool,
    html: bool,
    non_ascii: bool,
    upper_hex: bool,
}

fn json(text: &str, escapes: &Escapes) -> String {
    let mut written = String::new();
    let escape = |written: &mut String, c: char| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            written.push_str(&if escapes.upper_hex { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") });
        }
    };
    for c in text.chars() {
        match c {
            '/' if escapes.slash => written.push_str("\\/"),
            c if escapes.html && HTML.contains(&c) => escape(&mut written, c),
            c if escapes.non_ascii && !c.is_ascii() => escape(&mut written, c),
            c => {
                let quoted = serde_json::to_string(&c).unwrap_or_default();
                written.push_str(quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default());
            }
        }
    }
    written
}

/// The same with `%2f` for `%2F`.
fn lower_hex(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |written, part| {
        let (hex, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        format!("{written}%{}{rest}", hex.to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_common_libraries_are_known() {
        let known = all("p\"ß/a&b c~*");
        for written in [
            r#"p"ß/a&b c~*"#,
            r#"p\"ß/a&b c~*"#,            // serde, JavaScript
            r#"p\"\u00df\/a&b c~*"#,      // PHP
            r#"p\"\u00df/a&b c~*"#,       // Python
            r#"p\"\u00DF/a\u0026b c~*"#,  // System.Text.Json
            r#"p\"ß/a\u0026b c~*"#,       // Go
            "p%22%C3%9F%2Fa%26b%20c~%2A", // in a path
            "p%22%c3%9f%2fa%26b%20c~%2a", // the same in lower case
            "p%22%C3%9F%2Fa%26b+c%7E*",   // in a form
        ] {
            assert!(known.iter().any(|spelling| spelling == written), "{written} is not among {known:#?}");
        }
        assert!(known.windows(2).all(|pair| pair[0].len() >= pair[1].len()));
    }

    #[test]
    fn a_plain_text_has_one_spelling() {
        assert_eq!(all("hunter2-hunter2"), ["hunter2-hunter2"]);
    }
}
