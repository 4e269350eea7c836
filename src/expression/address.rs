//! A URL with values in it: a value must not change which server or which resource the URL names.
//!
//! Percent-encoding alone does not ensure that: parsers and servers treat `%2E%2E` like `..`, and many decode more than once.

use percent_encoding::percent_decode_str;
use url::Host;

use super::functions::percent_encoded;

/// How often a value is decoded to find what a server could make of it: proxies and frameworks decode one after the other.
const DECODED_MAX: usize = 8;

/// One piece of a URL.
pub(super) enum UrlPiece<'a> {
    /// Text of the author, a value that begins the URL, or a value of the operator.
    Fixed(String),
    /// A value; it is percent-encoded.
    Data {
        /// The expression, for messages.
        source: &'a str,
        /// The value as text.
        text: String,
    },
    /// A secret or a token, filled in when the request is sent.
    Later,
}

/// Where in the URL the next character is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Component {
    Scheme,
    Authority,
    Path,
    Query,
    Fragment,
}

/// What has been read of a URL.
struct Reader<'a> {
    component: Component,
    /// The text since the last separator of the component.
    part: String,
    /// The first value in it.
    value: Option<&'a str>,
    /// A value in the host that contains dots; allowed only if it is the whole host.
    dotted: Option<(&'a str, String)>,
}

/// Refuses a URL in which a value could lead elsewhere.
pub(super) fn check(pieces: &[UrlPiece<'_>]) -> Result<(), String> {
    if let [UrlPiece::Fixed(scheme), UrlPiece::Fixed(rest), ..] = pieces
        && rest.starts_with("://")
        && !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return Err("the value before `://` is neither `http` nor `https`".into());
    }
    let component = Component::Scheme;
    let mut reader = Reader { component, part: String::new(), value: None, dotted: None };
    if let [UrlPiece::Fixed(first), _, ..] = pieces
        && first.contains('#')
        && !pieces[1..].iter().all(|piece| matches!(piece, UrlPiece::Fixed(_)))
    {
        return Err("the URL has a value after a `#`, and what follows a `#` is never sent".into());
    }
    for piece in pieces {
        match piece {
            UrlPiece::Fixed(text) => reader.fixed(text)?,
            UrlPiece::Data { source, text } => reader.data(source, text)?,
            UrlPiece::Later => reader.part.push('x'),
        }
    }
    reader.end_of_part()
}

impl<'a> Reader<'a> {
    fn fixed(&mut self, text: &str) -> Result<(), String> {
        for letter in text.chars() {
            let next = match (self.component, letter) {
                (Component::Scheme, '/') if self.part.ends_with(":/") => Component::Authority,
                (Component::Authority | Component::Path, '/' | '\\') => Component::Path,
                (Component::Authority | Component::Path, '?') => Component::Query,
                (Component::Authority | Component::Path | Component::Query, '#') => Component::Fragment,
                (_, _) => {
                    self.part.push(letter);
                    continue;
                }
            };
            self.end_of_part()?;
            self.component = next;
        }
        Ok(())
    }

    fn data(&mut self, source: &'a str, text: &str) -> Result<(), String> {
        match self.component {
            Component::Scheme | Component::Query => {}
            Component::Fragment => {
                return Err(format!("`{source}` is after a `#` in the URL, and what follows a `#` is never sent"));
            }
            Component::Authority => self.host(source, text)?,
            Component::Path => {}
        }
        self.value.get_or_insert(source);
        self.part.push_str(text);
        Ok(())
    }

    /// Checks a value in the host or in the port.
    fn host(&mut self, source: &'a str, text: &str) -> Result<(), String> {
        let server = self.part.rsplit('@').next().unwrap_or_default();
        if server.contains(':') && !server.starts_with('[') {
            let is_port = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            return is_port.then_some(()).ok_or_else(|| format!("the value of `{source}` is not a valid port"));
        }
        // The parser of requests decides what a host is; `.x` keeps it from taking a number for an address.
        let parsed = Host::parse(&format!("{}.x", percent_encoded(text)));
        let Ok(Host::Domain(name)) = parsed else {
            return Err(format!("the value of `{source}` cannot be part of a host"));
        };
        let label = name.strip_suffix(".x").unwrap_or_default();
        if label.split('.').any(str::is_empty) {
            return Err(format!("the value of `{source}` cannot be part of a host: a part of it is empty"));
        }
        if label.contains('.') {
            self.dotted.get_or_insert((source, text.to_owned()));
        }
        Ok(())
    }

    /// Checks what is complete: the server, or one part of the path.
    fn end_of_part(&mut self) -> Result<(), String> {
        let (part, value, dotted) = (std::mem::take(&mut self.part), self.value.take(), self.dotted.take());
        match (self.component, value, dotted) {
            (Component::Authority, _, Some((source, text))) => {
                let server = part.rsplit('@').next().unwrap_or_default();
                let host = server.split(':').next().unwrap_or_default();
                match host == text {
                    true => Ok(()),
                    false => Err(format!(
                        "the value of `{source}` contains a dot, so it could name another server: only a value that is the whole host may"
                    )),
                }
            }
            (Component::Path, Some(source), _) => match leads_elsewhere(&part) {
                None => Ok(()),
                Some(why) => Err(format!("the value of `{source}` {why}, so the URL would name another resource")),
            },
            (_, _, _) => Ok(()),
        }
    }
}

/// Why a part of a path would not be read as one part with a name of its own.
fn leads_elsewhere(part: &str) -> Option<&'static str> {
    let mut text = part.to_owned();
    for _ in 0..DECODED_MAX {
        // Some servers cut a parameter off before they resolve dots: `..;x`.
        let mut names = text.split(['/', '\\']).map(|name| name.split(';').next().unwrap_or_default());
        if names.clone().all(str::is_empty) {
            return Some("is an empty part of the path");
        }
        if names.any(|name| matches!(name, "." | "..")) {
            return Some("makes `.` or `..` a part of the path");
        }
        let decoded = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if decoded == text {
            break;
        }
        text = decoded;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a URL in which each value stands between `{` and `}`.
    fn checked(url: &str) -> Result<(), String> {
        let mut pieces = Vec::new();
        for (number, piece) in url.split(['{', '}']).enumerate() {
            match number % 2 {
                0 => pieces.push(UrlPiece::Fixed(piece.to_owned())),
                _ => pieces.push(UrlPiece::Data { source: "x", text: piece.to_owned() }),
            }
        }
        check(&pieces)
    }

    #[test]
    fn a_value_is_one_part_of_the_path_with_a_name_of_its_own() {
        for value in [
            "",
            ".",
            "..",
            "/",
            "\\",
            "../x",
            "..\\x",
            "x/..",
            "x\\..\\y",
            "a/./b",
            "%2e",
            "%2e%2e",
            ".%2e",
            "%2E.",
            "%252e%252e",
            "%2e%2e%2fx",
            "..%5cx",
            "%2f",
            "..;a",
            "%2e%2e;a=1",
            "..;/x",
            "x/%2e%2e",
        ] {
            for url in [
                "https://a.example/c/{}",
                "https://a.example/c/{}/d?x=1",
                "https://a.example/{}#top",
                "https://a.example\\{}\\",
            ] {
                let url = url.replace("{}", &format!("{{{value}}}"));
                assert!(checked(&url).is_err_and(|why| why.contains("`x`") && why.contains("resource")), "{url}");
            }
        }
        for value in [
            "7", "...", "a.b", ".a", "a..", "a/b", "..a", "a b", "%", "%zz", "100%25", "ä", " ", "a;b", "?", "#",
            "x\r\n",
        ] {
            assert_eq!(checked(&format!("https://a.example/c/{{{value}}}/d")), Ok(()), "{value}");
        }
    }

    #[test]
    fn a_part_is_checked_as_a_whole() {
        for url in ["https://a/{.}{.}", "https://a/.{.}", "https://a/%2e{.}/x", "https://a/{}{}", "https://a/{.}%2E"] {
            assert!(checked(url).is_err(), "{url}");
        }
        for url in ["https://a/{}.json", "https://a/v{..}x", "https://a/x-{}", "https://a/../{x}", "https://a/{a}{}"] {
            assert_eq!(checked(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn a_value_in_the_query_cannot_leave_it() {
        for url in ["https://a/x?q={}", "https://a/x?q={../..}&r={/}", "https://a?{..}=1", "https://a/?{}"] {
            assert_eq!(checked(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn a_value_in_the_host_is_one_name_unless_it_is_the_whole_host() {
        for url in [
            "https://{eu}.a.example/x",
            "https://{42}.a.example",
            "https://api-{eu-1}.a.example:8443/x",
            "https://{shop.example}/x",
            "https://{shop.example}:81/x",
            "https://{10.0.0.1}?x",
            "https://{münchen}.a.example/",
            "https://a.example:{8080}/x",
            "http://worker-{3}:80/",
        ] {
            assert_eq!(checked(url), Ok(()), "{url}");
        }
        for url in [
            "https://{}.a.example/x",
            "https://{}/x",
            "https://a.example{.evil.example}/x",
            "https://a{.evil}/x",
            "https://{x.}.a.example/",
            "https://{.x}.a.example/",
            "https://{a.b}.a.example/",
            "https://{a。b}.a.example/",
            "https://{evil.example/}.a.example/",
            "https://{evil.example#}.a.example/",
            "https://{evil.example?}.a.example/",
            "https://{evil@x}.a.example/",
            "https://{evil:80}.a.example/",
            "https://{a b}.a.example/",
            "https://{a\r\nb}.a.example/",
            "https://a.example:{}/x",
            "https://a.example:{80@evil}/x",
            "https://a.example:{-1}/x",
            "https://a.example:{123456}/x",
            "https://a.example{/x}",
        ] {
            assert!(checked(url).is_err_and(|why| why.contains("`x`")), "{url}");
        }
    }

    #[test]
    fn nothing_that_is_never_sent_holds_a_value() {
        assert!(checked("https://a/x#{y}").is_err_and(|why| why.contains("never sent")));
        assert_eq!(checked("https://a/x#top"), Ok(()));
        let base = |base: &str| {
            check(&[
                UrlPiece::Fixed(base.into()),
                UrlPiece::Fixed("/x/".into()),
                UrlPiece::Data { source: "x", text: "1".into() },
            ])
        };
        assert!(base("https://a/#").is_err_and(|why| why.contains("never sent")));
        assert_eq!(base("https://a/?b="), Ok(()));
    }

    #[test]
    fn a_value_before_the_host_is_a_scheme_and_nothing_else() {
        let scheme = |scheme: &str| check(&[UrlPiece::Fixed(scheme.into()), UrlPiece::Fixed("://a.example/x".into())]);
        assert_eq!((scheme("http"), scheme("HTTPS")), (Ok(()), Ok(())));
        assert!(scheme("https://evil.example/?x=").is_err() && scheme("").is_err() && scheme("ftp").is_err());
    }
}
