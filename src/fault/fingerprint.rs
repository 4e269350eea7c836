//! The fingerprint of an incident: equal for incidents that one cause explains and one mend resolves.

use sha2::{Digest, Sha256};

/// Letters of a fingerprint: 64 bits, so that a million different causes do not meet by chance.
pub const FINGERPRINT_LENGTH: usize = 16;
/// Bytes of a message that are read: what follows is seldom about the cause.
const READ_MAX: usize = 4_096;
/// Bytes that are compared.
const COMPARED_MAX: usize = 512;

/// What stands in place of a part that differs from incident to incident.
const VARIABLE: &str = "…";

/// The fingerprint of a failure: of its definition, activity and code, and of its message without the parts that vary.
pub fn fingerprint(definition: &str, activity: &str, code: &str, message: &str) -> String {
    let mut hash = Sha256::new();
    for part in [definition, activity, code, &without_variable_parts(message)] {
        // Each part with its length, so that no two lists of parts have the same bytes.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(FINGERPRINT_LENGTH);
    text
}

/// Whether a text has the form of a fingerprint.
pub fn is_fingerprint(text: &str) -> bool {
    text.len() == FINGERPRINT_LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A message without quoted values, the queries of URLs, and every word with a digit: numbers, times, ids, hashes, addresses.
pub fn without_variable_parts(message: &str) -> String {
    let message = &message[..message.floor_char_boundary(READ_MAX)];
    let mut kept = String::with_capacity(message.len().min(COMPARED_MAX));
    let mut rest = message.char_indices().peekable();
    let mut before = ' ';
    while let Some((at, c)) = rest.next() {
        if kept.len() >= COMPARED_MAX {
            break;
        }
        // An apostrophe inside of a word begins no quotation.
        let closes = closing(c).filter(|_| !before.is_alphanumeric());
        let quoted = closes.and_then(|closes| Some(message[at + c.len_utf8()..].find(closes)? + at + c.len_utf8()));
        let end = match quoted {
            Some(end) => end + closes.map_or(0, char::len_utf8),
            None if belongs_to_word(c) => word_end(message, at),
            None => {
                push(&mut kept, c);
                before = c;
                continue;
            }
        };
        match quoted {
            Some(_) => replace(&mut kept),
            None => push_word(&mut kept, &message[at..end]),
        }
        while rest.peek().is_some_and(|(next, _)| *next < end) {
            before = rest.next().map_or(before, |(_, last)| last);
        }
        if end == at + c.len_utf8() {
            before = c;
        }
    }
    kept.truncate(kept.floor_char_boundary(COMPARED_MAX));
    kept.trim_end().to_owned()
}

fn closing(c: char) -> Option<char> {
    match c {
        '"' | '\'' | '`' => Some(c),
        '“' => Some('”'),
        '‘' => Some('’'),
        '«' => Some('»'),
        _ => None,
    }
}

/// Letters, digits, and what joins them in numbers, ids, addresses and URLs.
fn belongs_to_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/' | '@' | '+' | '%' | '?' | '&' | '=' | '#' | '~')
}

fn word_end(message: &str, at: usize) -> usize {
    message[at..].find(|c| !belongs_to_word(c)).map_or(message.len(), |length| at + length)
}

fn push_word(kept: &mut String, word: &str) {
    let text = word.trim_end_matches(['.', ':', '?', '-']);
    let (text, rest) = word.split_at(text.len());
    match text.split_once("://") {
        Some((scheme, address)) => push_url(kept, scheme, address),
        None if is_variable(text) => replace(kept),
        None => text.chars().for_each(|c| push(kept, c)),
    }
    rest.chars().for_each(|c| push(kept, c));
}

/// A URL keeps its scheme and host, and those parts of its path that have no digit.
fn push_url(kept: &mut String, scheme: &str, address: &str) {
    let address = address.split(['?', '#']).next().unwrap_or_default();
    // A user and a password are neither compared nor kept.
    let address = address.rsplit_once('@').map_or(address, |(_, host)| host);
    let mut parts = address.split('/');
    kept.push_str(scheme);
    kept.push_str("://");
    kept.push_str(parts.next().unwrap_or_default());
    for part in parts {
        kept.push('/');
        if is_variable(part) { replace(kept) } else { kept.push_str(part) }
    }
}

/// A digit, or a long word of hexadecimal letters, is data.
fn is_variable(word: &str) -> bool {
    const HEX_MIN: usize = 12;
    let is_hex = |c: char| c.is_ascii_hexdigit() || c == '-';
    word.contains(|c: char| c.is_numeric()) || (word.len() >= HEX_MIN && word.chars().all(is_hex))
}

/// Several parts in a row that vary count as one: lists have different lengths.
fn replace(kept: &mut String) {
    let so_far = kept.trim_end_matches([' ', ',', '-']);
    if so_far.ends_with(VARIABLE) {
        kept.truncate(so_far.len());
    } else {
        kept.push_str(VARIABLE);
    }
}

/// Blanks and line ends in a row count as one.
fn push(kept: &mut String, c: char) {
    match c.is_whitespace() || c.is_control() {
        true if kept.is_empty() || kept.ends_with(' ') => {}
        true => kept.push(' '),
        false => kept.push(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_that_vary_are_left_out() {
        for (message, kept) in [
            ("the target answered 503", "the target answered …"),
            ("order 4711 of customer 12 is closed.", "order … of customer … is closed."),
            ("no stock of `lamp`", "no stock of …"),
            ("no stock of 'rug' in \"Berlin, Mitte\"", "no stock of … in …"),
            ("key (id)=(6f9619ff-8b86-d011-b42d-00c04fc964ff) already exists", "key (id)=(…) already exists"),
            ("the commit deadbeefcafe was refused", "the commit … was refused"),
            ("took 1.5s, at most 300ms are allowed", "took …, at most … are allowed"),
            ("due 2026-11-24T10:00:00.5Z", "due …"),
            ("GET https://a.example/orders/17?token=x&y=2 failed", "GET https://a.example/orders/… failed"),
            ("GET https://me:secret@a.example/stock#top failed", "GET https://a.example/stock failed"),
            ("no connection to 10.0.0.7:5432", "no connection to …"),
            ("the items 1, 2, 3 are missing", "the items … are missing"),
            ("the worker didn't answer; it wasn't there", "the worker didn't answer; it wasn't there"),
            ("an `open quotation stays", "an `open quotation stays"),
            ("two\n  lines\tand a tab", "two lines and a tab"),
            ("Größe „XL“ fehlt: 12 Stück", "Größe „XL“ fehlt: … Stück"),
            ("", ""),
        ] {
            assert_eq!(without_variable_parts(message), kept, "{message}");
        }
    }

    #[test]
    fn a_fingerprint_is_of_the_cause_and_not_of_the_case() {
        let of = |activity: &str, code: &str, message: &str| fingerprint("order", activity, code, message);
        let one = of("pay", "http.503", "order 17 was refused with `busy`");
        assert!(is_fingerprint(&one), "{one}");
        assert_eq!(one, of("pay", "http.503", "order 18 was refused with `late`"));
        for other in [
            of("ship", "http.503", "order 17 was refused with `busy`"),
            of("pay", "http.502", "order 17 was refused with `busy`"),
            of("pay", "http.503", "order 17 was accepted with `busy`"),
            fingerprint("orders", "pay", "http.503", "order 17 was refused with `busy`"),
            fingerprint("orderp", "ay", "http.503", "order 17 was refused with `busy`"),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_long_message_is_compared_by_its_beginning() {
        let long = |end: &str| fingerprint("a", "b", "c", &format!("{}{end}", "word ".repeat(200)));
        assert_eq!(long("one"), long("other"));
        assert_eq!(without_variable_parts(&"ä".repeat(1 << 20)).len(), COMPARED_MAX);
    }

    proptest! {
        #[test]
        fn any_message_has_a_fingerprint(message in "(?s).{0,80}") {
            prop_assert!(is_fingerprint(&fingerprint("a", "b", "c", &message)));
        }

        #[test]
        fn numbers_do_not_matter(one in 0_u64.., other in 0_u64..) {
            let of = |number: u64| without_variable_parts(&format!("item {number} of (x={number}), `{number}`"));
            prop_assert_eq!(of(one), of(other));
        }
    }
}
