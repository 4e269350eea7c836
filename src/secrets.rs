//! Secrets: read when a request is built, carried by it, and kept nowhere else.
//!
//! A definition contains their names, a stored request contains placeholders, and this process holds their values while the
//! request lasts. They are redacted from what comes back, because some servers repeat what they were sent.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::config;
use crate::link::secret;

mod spelling;

/// Shorter secrets are not redacted: too much else would be taken for them.
const REDACTED_MIN: usize = 6;
/// What replaces a secret.
const HIDDEN: &str = "[secret]";

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
    /// Every spelling of each secret that is long enough to be redacted.
    spellings: Vec<SecretString>,
    /// Finds them all in one pass. `None` inside if it could not be built.
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
        let value = config::variable(name)
            .or_else(|| content(Path::new(&config::variable(&format!("{name}_FILE"))?)))
            .or_else(|| content(&self.directory.as_ref()?.join(name)))?;
        Some(SecretString::from(value))
    }
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
            self.spellings.extend(spelling::all(&text).into_iter().map(SecretString::from));
            self.finder.take();
        }
        text
    }

    /// The text without the secrets, in every spelling of [`spelling::all`].
    pub fn hide(&self, text: &str) -> String {
        let mut redacted = String::with_capacity(text.len());
        match self.finder() {
            Some(finder) => finder.replace_all_with(text, &mut redacted, |_, _, redacted| {
                redacted.push_str(HIDDEN);
                true
            }),
            None => redacted.push_str(HIDDEN),
        }
        redacted
    }

    /// The value without the secrets, in its texts and in the names of its members.
    pub fn hide_in(&self, value: Value) -> Value {
        // The recursion is bounded, because the parser bounds the depth of JSON.
        match value {
            Value::String(text) => Value::String(self.hide(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.hide_in(item)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(name, value)| (self.hide(&name), self.hide_in(value))).collect()
            }
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
        }
    }

    /// The bytes without the secrets, in every spelling of [`spelling::all`].
    pub fn hide_in_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut redacted = Vec::with_capacity(bytes.len());
        match self.finder() {
            Some(finder) => finder.replace_all_with_bytes(bytes, &mut redacted, |_, _, redacted| {
                redacted.extend_from_slice(HIDDEN.as_bytes());
                true
            }),
            None => redacted.extend_from_slice(HIDDEN.as_bytes()),
        }
        redacted
    }

    /// `None` if the spellings are too many to be found: then nothing at all may be shown.
    fn finder(&self) -> Option<&AhoCorasick> {
        let build = || {
            AhoCorasick::builder()
                // Of two spellings that begin at the same place the longer one: nothing of it is left behind.
                .match_kind(MatchKind::LeftmostLongest)
                // Not the faster DFA: with a key of 64 KiB it would take gigabytes.
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(self.spellings.iter().map(|spelling| spelling.expose_secret()))
                .inspect_err(|error| tracing::error!(%error, "secrets cannot be redacted, so the response is hidden"))
                .ok()
        };
        self.finder.get_or_init(build).as_ref()
    }
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
    fn of_two_secrets_at_the_same_place_the_longer_one_is_redacted() {
        let mut carried = Carried::default();
        assert_eq!(carried.hide("abcdefgh"), "abcdefgh");
        for secret in ["abcdef", "abcdefgh", "cdefgh"] {
            carried.carry(secret.to_owned());
        }
        assert_eq!(carried.hide("abcdefgh-abcdef-cdefgh"), "[secret]-[secret]-[secret]");
    }

    #[test]
    fn a_long_secret_is_redacted_in_json() {
        let secret = "/é<".repeat(512);
        let mut carried = Carried::default();
        carried.carry(secret.clone());
        assert_eq!(carried.hide(&serde_json::to_string(&secret).unwrap()), "\"[secret]\"");
    }
}
