//! Reads the escapes with which servers repeat a text: of JSON and most programming languages, of URLs and forms, of HTML and XML. Which
//! characters are escaped, and how, differs from library to library: so the escapes are read, not guessed.

use std::ops::Range;

/// The longest escape that is read, in bytes: `\ud83d\ude00`.
const ESCAPE_MAX: usize = 12;

/// A text whose escapes were read, and where each of its bytes was written.
#[derive(Debug)]
pub(super) struct Unescaped {
    pub(super) bytes: Vec<u8>,
    /// Where each byte begins and ends in the text that was first given.
    written: Vec<(u32, u32)>,
}

impl Unescaped {
    /// Where these bytes were written.
    pub(super) fn written(&self, bytes: Range<usize>) -> Option<Range<usize>> {
        let (first, last) = (self.written.get(bytes.start)?, self.written.get(bytes.end.checked_sub(1)?)?);
        Some(first.0 as usize..last.1 as usize)
    }

    /// The same with the escapes of this text read.
    pub(super) fn again(&self) -> Option<Unescaped> {
        let mut once = read(&self.bytes)?;
        for written in &mut once.written {
            let source = self.written(written.0 as usize..written.1 as usize)?;
            *written = (position(source.start)?, position(source.end)?);
        }
        Some(once)
    }
}

/// The text with its escapes read once; `None` if it has none. A text of 4 GiB is never read.
pub(super) fn read(text: &[u8]) -> Option<Unescaped> {
    position(text.len())?;
    // Most texts have none.
    text.iter().find(|byte| b"%\\&".contains(byte))?;
    let mut read = Unescaped { bytes: Vec::with_capacity(text.len()), written: Vec::with_capacity(text.len()) };
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let rest = &rest[..rest.len().min(ESCAPE_MAX)];
        let (length, bytes) = escape(rest).unwrap_or((1, Piece::Byte(rest[0])));
        let written = (position(at)?, position(at + length)?);
        match bytes {
            Piece::Byte(byte) => read.push(&[byte], written),
            Piece::Char(c) => read.push(c.encode_utf8(&mut [0; 4]).as_bytes(), written),
        }
        at += length;
    }
    (read.bytes.len() < text.len()).then_some(read)
}

impl Unescaped {
    fn push(&mut self, bytes: &[u8], written: (u32, u32)) {
        self.bytes.extend_from_slice(bytes);
        self.written.extend(bytes.iter().map(|_| written));
    }
}

fn position(at: usize) -> Option<u32> {
    u32::try_from(at).ok()
}

/// What an escape stands for.
#[derive(Clone, Copy)]
enum Piece {
    Byte(u8),
    Char(char),
}

/// The escape at the beginning of a text, and its length.
fn escape(text: &[u8]) -> Option<(usize, Piece)> {
    match text {
        [b'%', high, low, ..] => Some((3, Piece::Byte(byte(*high, *low)?))),
        [b'\\', b'x', high, low, ..] => Some((4, Piece::Byte(byte(*high, *low)?))),
        [b'\\', b'u', b'{', rest @ ..] => {
            let (digits, value) = number(rest, 16, b'}')?;
            Some((digits + 4, Piece::Char(char::from_u32(value)?)))
        }
        [b'\\', b'u', rest @ ..] => utf16(rest),
        [b'\\', c, ..] => {
            let plain = match c {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'b' => 0x08,
                b'f' => 0x0c,
                b'"' | b'\\' | b'/' | b'\'' => *c,
                _ => return None,
            };
            Some((2, Piece::Byte(plain)))
        }
        [b'&', b'#', b'x' | b'X', rest @ ..] => {
            let (digits, value) = number(rest, 16, b';')?;
            Some((digits + 4, Piece::Char(char::from_u32(value)?)))
        }
        [b'&', b'#', rest @ ..] => {
            let (digits, value) = number(rest, 10, b';')?;
            Some((digits + 3, Piece::Char(char::from_u32(value)?)))
        }
        [b'&', rest @ ..] => {
            let named = [("amp;", b'&'), ("lt;", b'<'), ("gt;", b'>'), ("quot;", b'"'), ("apos;", b'\'')];
            let (name, plain) = named.into_iter().find(|(name, _)| rest.starts_with(name.as_bytes()))?;
            Some((name.len() + 1, Piece::Byte(plain)))
        }
        _ => None,
    }
}

/// `00fc`, or two of them for a character beyond 16 bits; the `\u` before it belongs to its length.
fn utf16(text: &[u8]) -> Option<(usize, Piece)> {
    let unit = |text: &[u8]| {
        let (high, low) = (byte(*text.first()?, *text.get(1)?)?, byte(*text.get(2)?, *text.get(3)?)?);
        Some(u16::from_be_bytes([high, low]))
    };
    let first = unit(text)?;
    if let Some(c) = char::from_u32(first.into()) {
        return Some((6, Piece::Char(c)));
    }
    let second = unit(text.get(4..)?.strip_prefix(b"\\u")?)?;
    let c = char::decode_utf16([first, second]).next()?.ok()?;
    Some((12, Piece::Char(c)))
}

/// The number before `end`, and how many digits it has.
fn number(text: &[u8], radix: u32, end: u8) -> Option<(usize, u32)> {
    let digits = text.iter().position(|byte| *byte == end)?;
    let text = std::str::from_utf8(&text[..digits]).ok().filter(|text| !text.starts_with('+'))?;
    Some((digits, u32::from_str_radix(text, radix).ok()?))
}

fn byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn once(text: &str) -> String {
        read(text.as_bytes()).map_or_else(|| text.to_owned(), |read| String::from_utf8(read.bytes).unwrap())
    }

    #[test]
    fn the_escapes_of_common_libraries_are_read() {
        for written in [
            r#"p\"ß/a&b <c>~*"#,                       // serde, JavaScript
            r#"p\"\u00df\/a&b <c>~*"#,                 // PHP
            r#"p\"\u00df/a&b <c>~*"#,                  // Python
            r"p\u0022\u00DF/a\u0026b \u003Cc\u003E~*", // System.Text.Json
            r#"p\"ß/a\u0026b \u003cc\u003e~*"#,        // Go
            r#"p\"\u{df}/a&b <c>~*"#,                  // Rust
            r#"p"\xc3\x9f/a&b <c>~*"#,                 // Python, of bytes
            "p%22%C3%9F%2Fa%26b%20%3Cc%3E~%2A",        // in a path
            "p%22%c3%9f%2fa%26b%20%3cc%3e~%2a",        // the same in lower case
            "p&quot;ß/a&amp;b &lt;c&gt;~*",            // HTML
            "p&#34;&#223;/a&#38;b &#60;c&#62;~*",      // the same of Go
            "p&#x22;&#xDF;&#x2F;a&#X26;b &lt;c&gt;~*", // the same of others
        ] {
            assert_eq!(once(written), "p\"ß/a&b <c>~*", "{written}");
        }
        assert_eq!(once(r"\ud83d\ude00\n\t\r\b\f\\\''"), "😀\n\t\r\u{8}\u{c}\\''");
    }

    #[test]
    fn what_is_not_an_escape_stays() {
        for text in [
            "",
            "plain",
            "100 %",
            "%",
            "%2",
            "%zz",
            "%é",
            r"\q",
            r"\",
            r"\u12",
            r"\ud83d",
            r"\u{",
            r"\u{}",
            r"\xz1",
            "&",
            "&nbsp;",
            "&#;",
            "&#x;",
            "&#x110000;",
            "&#+65;",
            "AT&T",
        ] {
            assert!(read(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn every_byte_knows_where_it_was_written() {
        let text = br"a%41\u00fc&amp;z";
        let read = read(text).unwrap();
        assert_eq!(read.bytes, "aAü&z".as_bytes());
        let at = |bytes| std::str::from_utf8(&text[read.written(bytes).unwrap()]).unwrap();
        assert_eq!(
            (at(0..1), at(1..2), at(2..4), at(4..6), at(0..6)),
            ("a", "%41", r"\u00fc", "&amp;z", r"a%41\u00fc&amp;z")
        );
        assert_eq!((at(2..3), at(3..4)), (r"\u00fc", r"\u00fc"), "half of a character is all of its escape");
        assert_eq!(read.written(6..7), None);
        let twice = super::read(b"%2541x").unwrap().again().unwrap();
        assert_eq!(
            (twice.bytes.as_slice(), twice.written(0..1), twice.written(1..2)),
            (b"Ax".as_slice(), Some(0..5), Some(5..6))
        );
    }

    proptest! {
        #[test]
        fn reading_ends_and_covers_the_text(text in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'%'), Just(b'\\'), Just(b'u'), Just(b'&'), Just(b'#'), Just(b'd'), Just(b'8')], 0..60)) {
            if let Some(read) = read(&text) {
                prop_assert_eq!(read.bytes.len(), read.written.len());
                prop_assert_eq!(read.written(0..read.bytes.len()), Some(0..text.len()));
            }
        }
    }
}
