//! Secrets: read when a request is built, carried by it, and kept nowhere else.
//!
//! A definition contains their names, a stored request contains placeholders, and this process holds their values while the
//! request lasts. They are redacted from what comes back, because some servers repeat what they were sent.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde_json::{Number, Value};

use crate::config;
use crate::link::secret;

mod escapes;
mod forms;

/// Shorter secrets are not redacted: too much else would be taken for them.
const REDACTED_MIN: usize = 6;
/// What replaces a secret.
const HIDDEN: &str = "[secret]";
/// How often escapes are read that escape escapes: a text in JSON, in a text in JSON, in a URL.
const ESCAPED_MAX: usize = 3;

/// The secrets that requests may carry. Holds names, not values.
#[derive(Debug, Clone)]
pub struct Secrets {
    names: Arc<BTreeSet<String>>,
    directory: Option<PathBuf>,
}

/// The secrets of one request.
#[derive(Default)]
pub struct Carried {
    count: usize,
    /// Every form of each secret that is long enough to be redacted.
    forms: Vec<SecretSlice<u8>>,
    /// Those that are numbers, as JSON may repeat them: the bits of their absolute values.
    numbers: Vec<u64>,
    /// Finds all forms in one pass. `None` inside if it could not be built.
    finder: OnceLock<Option<AhoCorasick>>,
}

impl Secrets {
    /// The secrets that the settings allow.
    pub fn new(settings: &config::Secrets) -> Self {
        let directory = Some(&settings.directory).filter(|directory| !directory.is_empty()).map(PathBuf::from);
        Self { names: Arc::new(settings.names.iter().cloned().collect()), directory }
    }

    /// Whether a definition may use this name.
    pub fn allows(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The current value; files are read each time. `None` if the name is not allowed or has no value.
    pub fn find(&self, name: &str) -> Option<SecretString> {
        if !self.allows(name) {
            return None;
        }
        let value = match config::variable(name) {
            Some(value) => bounded(name, value)?,
            None => config::variable(&format!("{name}_FILE"))
                .and_then(|file| content(Path::new(&file)))
                .or_else(|| content(&self.directory.as_ref()?.join(name)))?,
        };
        Some(SecretString::from(value))
    }
}

/// The value of a variable; `None` if it is too long, which is logged.
fn bounded(name: &str, value: String) -> Option<String> {
    if value.len() <= secret::BYTES_MAX {
        return Some(value);
    }
    tracing::warn!(name, "the variable has more than {} bytes, so it is not used as a secret", secret::BYTES_MAX);
    None
}

/// The content of a file; `None` if it cannot be used, which is logged.
fn content(path: &Path) -> Option<String> {
    secret::read(path).inspect_err(|problem| tracing::warn!(problem, "could not read the file of a secret")).ok()
}

impl Carried {
    /// Finds a secret, and redacts it from now on.
    pub fn reveal(&mut self, secrets: &Secrets, name: &str) -> Option<String> {
        let secret = secrets.find(name)?;
        Some(self.carry(secret.expose_secret().to_owned()))
    }

    /// Redacts a text from now on that the request carries, such as the token of an attempt.
    pub fn carry(&mut self, text: String) -> String {
        self.count += 1;
        if text.len() >= REDACTED_MIN {
            self.forms.extend(forms::all(&text, REDACTED_MIN).into_iter().map(SecretSlice::from));
            self.numbers.extend(number(&text));
            self.finder.take();
        }
        text
    }

    /// The text without the secrets, in every form of [`forms::all`] and with every escape of [`escapes::read`].
    pub fn hide(&self, text: &str) -> String {
        let redacted = self.hide_in_bytes(text.as_bytes());
        String::from_utf8(redacted).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// The value without the secrets: in its texts, in its numbers, and in the names of its members.
    pub fn hide_in(&self, value: Value) -> Value {
        // The recursion is bounded, because the parser bounds the depth of JSON.
        match value {
            Value::String(text) => Value::String(self.hide(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.hide_in(item)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(name, value)| (self.hide(&name), self.hide_in(value))).collect()
            }
            Value::Number(number) if self.holds(&number) => HIDDEN.into(),
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
        }
    }

    /// Whether a number is a secret, in whatever form, or contains one.
    fn holds(&self, number: &Number) -> bool {
        !self.numbers.is_empty()
            && (number.as_f64().is_some_and(|number| self.numbers.contains(&number.abs().to_bits()))
                || !self.found(number.to_string().as_bytes()).is_empty())
    }

    /// The same for a value that may hold a secret and cannot be searched, because it is encoded in an unknown way.
    pub fn hide_unread(&self, value: Value) -> Value {
        if self.forms.is_empty() { value } else { HIDDEN.into() }
    }

    /// The bytes without the secrets, as in [`Self::hide`].
    pub fn hide_in_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        if self.forms.is_empty() {
            return bytes.to_vec();
        }
        let mut redacted = Vec::with_capacity(bytes.len());
        let mut shown = 0;
        for found in self.found(bytes) {
            redacted.extend_from_slice(&bytes[shown..found.start]);
            redacted.extend_from_slice(HIDDEN.as_bytes());
            shown = found.end;
        }
        redacted.extend_from_slice(&bytes[shown..]);
        redacted
    }

    /// Where secrets are, in order. They do not overlap: of two that do, nothing is left between them.
    fn found(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        // If it cannot be searched, all of it may be secret.
        let everything = || std::iter::once(0..bytes.len()).collect();
        let Some(finder) = self.finder() else { return everything() };
        let Ok(plain) = finder.try_find_overlapping_iter(bytes) else { return everything() };
        let mut found = Found::default();
        plain.for_each(|part| found.add(part.range()));
        let mut unescaped = escapes::read(bytes);
        for _ in 0..ESCAPED_MAX {
            let Some(text) = unescaped else { break };
            let Ok(parts) = finder.try_find_overlapping_iter(&text.bytes) else { return everything() };
            parts.filter_map(|part| text.written(part.range())).for_each(|part| found.add(part));
            unescaped = text.again();
        }
        found.merged()
    }

    /// `None` if the forms are too many to be found: then nothing at all may be shown.
    fn finder(&self) -> Option<&AhoCorasick> {
        let build = || {
            AhoCorasick::builder()
                // The names of headers and hosts come back in lower case.
                .ascii_case_insensitive(true)
                // All of them, also where they overlap: nothing of any is left.
                .match_kind(MatchKind::Standard)
                // Not the faster DFA: with a key of 64 KiB it would take gigabytes.
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(self.forms.iter().map(|form| form.expose_secret()))
                .inspect_err(|error| tracing::error!(%error, "secrets cannot be redacted, so the response is hidden"))
                .ok()
        };
        self.finder.get_or_init(build).as_ref()
    }
}

/// The number that a text is for a JSON library, if it has enough digits that no other is taken for it.
fn number(text: &str) -> Option<u64> {
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite())?.abs();
    let digits = number.to_string().bytes().filter(u8::is_ascii_digit).count();
    (digits >= REDACTED_MIN).then_some(number.to_bits())
}

/// Parts of a text in which secrets were found. Those found one after the other are merged at once, so that a text of nothing else does
/// not become a long list.
#[derive(Default)]
struct Found(Vec<Range<usize>>);

impl Found {
    fn add(&mut self, mut part: Range<usize>) {
        while let Some(last) = self.0.last_mut().filter(|last| overlap(last, &part)) {
            part = last.start.min(part.start)..last.end.max(part.end);
            self.0.pop();
        }
        self.0.push(part);
    }

    fn merged(mut self) -> Vec<Range<usize>> {
        self.0.sort_by_key(|part| part.start);
        let mut merged = Found::default();
        self.0.into_iter().for_each(|part| merged.add(part));
        merged.0
    }
}

/// Two that only touch are two secrets.
fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

impl fmt::Debug for Carried {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Carried({})", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is deleted at the end of the test.
    struct Folder(PathBuf);

    impl Folder {
        fn with(files: &[(&str, &str)]) -> Self {
            let path =
                std::env::temp_dir().join(format!("leveret-secrets-{}-{}", std::process::id(), fastrand::u64(..)));
            std::fs::create_dir(&path).unwrap();
            files.iter().for_each(|(name, text)| std::fs::write(path.join(name), text).unwrap());
            Self(path)
        }

        fn secrets(&self, names: &[&str]) -> Secrets {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            Secrets::new(&config::Secrets { names, directory: self.0.display().to_string() })
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn shown(secret: Option<SecretString>) -> Option<String> {
        secret.map(|secret| secret.expose_secret().to_owned())
    }

    #[test]
    fn only_allowed_secrets_are_found() {
        let folder = Folder::with(&[("TOKEN", "s3cret-value\r\n"), ("OTHER", "x"), ("EMPTY", "\n")]);
        let secrets = folder.secrets(&["TOKEN", "EMPTY", "ABSENT"]);
        assert_eq!(shown(secrets.find("TOKEN")).as_deref(), Some("s3cret-value"));
        for name in ["OTHER", "EMPTY", "ABSENT", "PATH", "../TOKEN", ""] {
            assert!(secrets.find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_changed_file_is_read_anew() {
        let folder = Folder::with(&[("TOKEN", "one")]);
        let secrets = folder.secrets(&["TOKEN"]);
        assert_eq!(shown(secrets.find("TOKEN")).as_deref(), Some("one"));
        std::fs::write(folder.0.join("TOKEN"), "two").unwrap();
        assert_eq!(shown(secrets.find("TOKEN")).as_deref(), Some("two"));
    }

    #[test]
    fn carried_secrets_are_redacted_and_never_shown() {
        let folder = Folder::with(&[("TOKEN", "p\"ss wörd/7"), ("PIN", "12")]);
        let secrets = folder.secrets(&["TOKEN", "PIN"]);
        let mut carried = Carried::default();
        let text = carried.reveal(&secrets, "TOKEN").unwrap();
        assert_eq!(carried.reveal(&secrets, "PIN").as_deref(), Some("12"));
        let sent = format!("a {text} b {} d 12", serde_json::to_string(&text).unwrap());
        assert_eq!(carried.hide(&sent), "a [secret] b \"[secret]\" d 12");
        let answer = serde_json::json!({ text.clone(): [format!("<{text}>"), 12] });
        assert_eq!(carried.hide_in(answer), serde_json::json!({ "[secret]": ["<[secret]>", 12] }));
        let bytes = [b"\xff\x00".as_slice(), text.as_bytes(), text.as_bytes(), b"\xfe"].concat();
        assert_eq!(carried.hide_in_bytes(&bytes), b"\xff\x00[secret][secret]\xfe");
        assert_eq!(carried.hide("nothing secret"), "nothing secret");
        assert_eq!(format!("{carried:?}"), "Carried(2)");
        assert!(!format!("{secrets:?} {:?}", secrets.find("TOKEN")).contains("ss w"));
    }

    #[test]
    fn of_secrets_that_overlap_nothing_is_left() {
        let mut carried = Carried::default();
        assert_eq!(carried.hide("abcdefgh"), "abcdefgh");
        for secret in ["abcdef", "abcdefgh", "cdefgh"] {
            carried.carry(secret.to_owned());
        }
        assert_eq!(carried.hide("abcdefgh-abcdef-cdefgh"), "[secret]-[secret]-[secret]");
        carried.carry("ghijkl".to_owned());
        assert_eq!(carried.hide("abcdefghijkl.abcdefabcdef"), "[secret].[secret][secret]");
        let repeated = carried.hide(&"abcdef".repeat(100_000));
        assert_eq!(repeated.len(), 100_000 * HIDDEN.len());
    }

    fn carrying(secret: &str) -> Carried {
        let mut carried = Carried::default();
        carried.carry(secret.to_owned());
        carried
    }

    #[test]
    fn a_long_secret_is_redacted_in_json() {
        let secret = "/é<".repeat(512);
        assert_eq!(carrying(&secret).hide(&serde_json::to_string(&secret).unwrap()), "\"[secret]\"");
    }

    #[test]
    fn a_secret_is_redacted_however_it_is_escaped() {
        let carried = carrying("p\"ss wörd/7");
        let json = |text: &str| serde_json::to_string(text).unwrap();
        let every: String = "p\"ss wörd/7".encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        for written in [
            json("p\"ss wörd/7"),
            json(&json("p\"ss wörd/7")),
            json(&json(&json("p\"ss wörd/7"))),
            "p&quot;ss w&#246;rd&#x2F;7".into(),
            "p%22ss+w%C3%B6rd%2F7".into(),
            "p%2522ss%2520w%25C3%25B6rd%252F7".into(),
            "P\"SS Wörd/7".into(),
            every,
        ] {
            let hidden = carried.hide(&format!("<{written}>"));
            assert!(
                hidden.contains("[secret]") && !hidden.contains("rd") && !hidden.to_lowercase().contains("ss"),
                "{written}: {hidden}"
            );
        }
        // In Latin-1 and in UTF-16, which are bytes.
        let sixteen: Vec<u8> = "p\"ss wörd/7".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [b"p\"ss w\xf6rd/7".to_vec(), sixteen] {
            assert_eq!(carried.hide_in_bytes(&[b"\xff".as_slice(), &bytes, b"\xff"].concat()), b"\xff[secret]\xff");
        }
    }

    #[test]
    fn a_secret_is_redacted_in_base64_wherever_it_stands() {
        use base64::Engine as _;
        let carried = carrying("hunter2-hunter2");
        for before in ["", "u", "us", "use", "user:"] {
            let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{before}hunter2-hunter2"));
            let hidden = carried.hide(&format!("Basic {encoded}"));
            assert!(hidden.contains("[secret]"), "{before}: {hidden}");
            assert!(hidden.len() <= "Basic ".len() + HIDDEN.len() + 12, "{before}: {hidden}");
        }
        assert_eq!(carried.hide(&format!("x{}", hex::encode("hunter2-hunter2").to_uppercase())), "x[secret]");
    }

    #[test]
    fn a_number_that_is_a_secret_is_redacted() {
        let carried = carrying("4711471147");
        let hidden = |json: &str| carried.hide_in(serde_json::from_str(json).unwrap());
        for json in ["4711471147", "4711471147.0", "4.711471147e9", "-4711471147", "94711471147", "0.4711471147"] {
            assert_eq!(hidden(json), HIDDEN, "{json}");
            assert_eq!(hidden(&format!("{{\"a\": [{json}]}}")), serde_json::json!({ "a": [HIDDEN] }));
        }
        for json in ["4711471148", "47", "0", "471147114.7", "true", "null"] {
            assert_ne!(hidden(json), HIDDEN, "{json}");
        }
        assert_eq!(carrying("0047114711").hide_in(47_114_711.into()), HIDDEN, "without its zeros");
        assert_eq!(carrying("1234567.50").hide_in(serde_json::json!(1_234_567.5)), HIDDEN);
        // Too many numbers would be taken for these.
        assert_eq!(carrying("000012").hide_in(12.into()), 12);
        assert_eq!(carrying("nan-infinity").hide_in(12.into()), 12);
    }

    #[test]
    fn what_cannot_be_searched_is_hidden_only_if_there_is_a_secret() {
        assert_eq!(carrying("hunter2").hide_unread("H4sI".into()), HIDDEN);
        assert_eq!(carrying("12").hide_unread("H4sI".into()), "H4sI");
    }
}
