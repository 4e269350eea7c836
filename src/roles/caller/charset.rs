//! The text of a response's body, in the character set that the response names. Pure.

use encoding_rs::{Encoding, UTF_8};

/// The text of a body without its byte order mark; `None` if it is not text in its character set.
pub(super) fn text(content_type: &str, body: &[u8]) -> Option<String> {
    let named = charset(content_type);
    let marked =
        Encoding::for_bom(body).filter(|(marked, _)| *marked == UTF_8 || named.is_some() || is_text(content_type));
    let (encoding, mark) = marked.unwrap_or((named.unwrap_or(UTF_8), 0));
    let text = encoding.decode_without_bom_handling_and_without_replacement(body.get(mark..)?)?;
    Some(text.into_owned())
}

/// The media type without its parameters, in lower case.
pub(super) fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a media type is JSON.
pub(super) fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || media_type.ends_with("+json")
}

/// The character set that the content type names, if it is a known one.
fn charset(content_type: &str) -> Option<&'static Encoding> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("charset").then(|| Encoding::for_label(value.as_bytes())).flatten()
    })
}

/// Whether the two bytes of a UTF-16 byte order mark can be taken for one: other formats may begin with the same bytes.
fn is_text(content_type: &str) -> bool {
    let kind = media_type(content_type);
    kind.is_empty()
        || kind.starts_with("text/")
        || is_json(&kind)
        || kind == "application/xml"
        || kind.ends_with("+xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_in_the_charset_that_its_type_names() {
        for (kind, body, expected) in [
            ("text/plain; charset=iso-8859-1", b"Z\xfcrich".as_slice(), "Zürich"),
            ("text/csv;header=present; Charset=\"Windows-1252\"", b"5 \x80", "5 €"),
            ("application/json; charset=iso-8859-15", b"{\"a\":\"\xe4\"}", "{\"a\":\"ä\"}"),
            ("text/plain; charset=shift_jis", b"\x83n", "ハ"),
            ("text/plain; charset=gb18030", b"\xc4\xe3", "你"),
            ("text/plain; charset=utf-16le", b"a\0\xe4\0", "aä"),
            ("text/plain; charset=utf-8", "ä".as_bytes(), "ä"),
            ("text/plain; charset=no-such-set", "ä".as_bytes(), "ä"),
            ("", "ä".as_bytes(), "ä"),
            ("image/png", b"plain", "plain"),
        ] {
            assert_eq!(text(kind, body).as_deref(), Some(expected), "{kind}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_names_the_encoding() {
        for (kind, body, expected) in [
            ("application/json", b"\xef\xbb\xbf{}".as_slice(), "{}"),
            ("application/octet-stream", b"\xef\xbb\xbfa", "a"),
            ("text/csv", b"\xff\xfea\0;\0", "a;"),
            ("application/xml", b"\xfe\xff\0a", "a"),
            ("text/plain; charset=utf-16", b"\xff\xfea\0", "a"),
            ("text/plain; charset=iso-8859-1", b"\xef\xbb\xbf\xc3\xa4", "ä"),
        ] {
            assert_eq!(text(kind, body).as_deref(), Some(expected), "{kind}");
        }
        assert_eq!(text("application/octet-stream", b"\xff\xfea\0"), None, "it may be anything");
    }

    #[test]
    fn what_is_no_text_in_its_charset_stays_bytes() {
        for (kind, body) in [
            ("text/plain", b"Z\xfcrich".as_slice()),
            ("text/plain; charset=utf-8", b"Z\xfcrich"),
            ("text/plain; charset=shift_jis", b"\x83"),
            ("text/plain; charset=utf-16le", b"a\0\xe4"),
            ("image/png", b"\x89PNG\r\n\xff"),
        ] {
            assert_eq!(text(kind, body), None, "{kind}");
        }
    }
}
