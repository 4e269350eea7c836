//! The forms in which a text comes back when its escapes have been read: as it is, with what a protocol changes in it, and encoded.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::escapes;

/// Longer texts are not looked for in encoded forms: the search would take as much memory as the encodings of all secrets together.
const ENCODED_MAX: usize = 8 * 1024;

/// Every form that is looked for. None is shorter than `min` bytes: too much else would be taken for it.
pub(super) fn all(text: &str, min: usize) -> BTreeSet<Vec<u8>> {
    let texts = changed(text);
    let mut forms: BTreeSet<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    for text in &texts {
        // A secret may itself look like an escape, which is read wherever it comes back.
        let once = escapes::read(text.as_bytes());
        let twice = once.as_ref().and_then(escapes::Unescaped::again);
        forms.extend(once.into_iter().chain(twice).map(|read| read.bytes));
    }
    // As the host of a URL: `2130706433` is 127.0.0.1, and `ü` is `xn--tda`.
    forms.extend(url::Host::parse(text).ok().map(|host| host.to_string().into_bytes()));
    if text.len() <= ENCODED_MAX {
        forms.extend(encoded(text));
    }
    forms.retain(|form| form.len() >= min);
    forms
}

/// The text, and what becomes of it in the field of a header, in a form, and on another system.
fn changed(text: &str) -> BTreeSet<String> {
    let lines = text.replace("\r\n", "\n");
    [
        text.to_owned(),
        text.trim().to_owned(),
        // A form writes `+` for a space, and everything else as an escape.
        text.replace(' ', "+"),
        lines.replace('\n', "\r\n"),
        lines.replace('\n', ""),
        lines,
    ]
    .into()
}

/// Base64 wherever the text stands in what was encoded; hexadecimal digits; the bytes in Latin-1 and in UTF-16.
fn encoded(text: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![hex::encode(text).into_bytes()];
    for engine in [&STANDARD, &URL_SAFE] {
        forms.push(engine.encode(text).into_bytes());
        forms.extend(
            (0..3).map(|offset| {
                inside(&engine.encode([&[0; 3][..offset], text.as_bytes()].concat()), text.len(), offset)
            }),
        );
    }
    forms.extend([u16::to_le_bytes, u16::to_be_bytes].map(|bytes| text.encode_utf16().flat_map(bytes).collect()));
    let latin: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
    forms.extend(latin.ok());
    forms
}

/// The characters of base64 that this text alone decides, if `offset` other bytes stand before it.
fn inside(base64: &str, length: usize, offset: usize) -> Vec<u8> {
    // Each character holds six bits.
    let (first, last) = ((offset * 8).div_ceil(6), (offset + length) * 8 / 6);
    base64.as_bytes().get(first..last).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: usize = 6;

    fn knows(text: &str, form: impl AsRef<[u8]>) -> bool {
        all(text, MIN).contains(form.as_ref())
    }

    #[test]
    fn a_text_is_known_as_it_is_and_as_protocols_change_it() {
        assert!(knows(" hunter2-hunter2 ", "hunter2-hunter2"), "in a header");
        assert!(knows("pass word/7", "pass+word/7"), "in a form");
        assert!(
            knows("one\ntwo\n", "one\r\ntwo\r\n") && knows("one\r\ntwo", "one\ntwo") && knows("one\ntwo", "onetwo")
        );
        assert!(knows("2130706433", "127.0.0.1") && knows("geheimnüs", "xn--geheimns-d6a"), "as a host");
        assert!(knows("a%41%2541b!", "aA%41b!"), "it looks like an escape");
    }

    #[test]
    fn a_text_is_known_in_its_encodings() {
        for before in ["", "a", "ab", "abc"] {
            for after in ["", "x", "xy"] {
                let encoded = STANDARD.encode(format!("{before}hunter2?>hunter2{after}"));
                let is_known = all("hunter2?>hunter2", MIN).iter().any(|form| {
                    let form = String::from_utf8_lossy(form).into_owned();
                    form.len() > 16 && encoded.contains(&form)
                });
                assert!(is_known, "{before} {after}");
            }
        }
        assert!(knows("hunter2?>hunter2", URL_SAFE.encode("hunter2?>hunter2")));
        assert!(knows("hunter2", "68756e74657232"));
        assert!(knows("geheimnüs", b"geheimn\xfcs") && knows("hunter2", b"h\0u\0n\0t\0e\0r\x002\0"));
    }

    #[test]
    fn no_form_is_so_short_that_much_else_is_taken_for_it() {
        assert!(all("p%41%41n", MIN).iter().all(|form| form.len() >= MIN));
        assert!(all("hunter", MIN).iter().all(|form| form.len() >= MIN));
        assert!(all(&"x".repeat(64 * 1024), MIN).iter().map(Vec::len).sum::<usize>() < 300 * 1024);
    }
}
