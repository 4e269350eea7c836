//! Secrets: found when a request is made, carried by it, and nowhere else.
//!
//! A definition holds their names, a stored request open places, this process their values for as long as one request lasts.
//! What comes back is combed for them, because some servers repeat what they were sent.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::config;

mod spelling;

/// Bytes of a file that holds a secret.
const FILE_MAX: u64 = 64 * 1024;
/// Shorter ones are not combed for: too much else would be taken for them.
const COMBED_MIN: usize = 6;
/// What stands where a secret stood.
const HIDDEN: &str = "[secret]";

/// The secrets requests may carry. Holds names, not values.
#[derive(Debug, Clone)]
pub struct Secrets {
    names: Arc<BTreeSet<String>>,
    directory: Option<PathBuf>,
}

/// Secrets that one request carries.
#[derive(Default)]
pub struct Carried {
    count: usize,
    /// What is combed for: every spelling of each that is long enough, made once.
    spellings: Vec<SecretString>,
}

impl Secrets {
    /// Those that the settings allow.
    pub fn new(settings: &config::Secrets) -> Self {
        let directory = Some(&settings.directory).filter(|directory| !directory.is_empty()).map(PathBuf::from);
        Self { names: Arc::new(settings.names.iter().cloned().collect()), directory }
    }

    /// Whether a definition may ask for it.
    pub fn allows(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The value, as it is at this moment: a file that was changed is read as it is now. None if the name is not allowed or
    /// nothing is there.
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

/// The content of a file without the line end that editors write; none if it cannot be read, is empty or too long.
fn content(path: &Path) -> Option<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text));
    if let Err(error) = &read {
        tracing::warn!(path = %path.display(), %error, "the file of a secret cannot be read");
    }
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    let fits = read.is_ok_and(|bytes| bytes as u64 <= FILE_MAX) && !text.is_empty();
    fits.then(|| text.to_owned())
}

impl Carried {
    /// Finds a secret, and remembers that it is carried.
    pub fn reveal(&mut self, secrets: &Secrets, name: &str) -> Option<String> {
        let secret = secrets.find(name)?;
        Some(self.carry(secret.expose_secret().to_owned()))
    }

    /// Remembers that a text is carried that nobody is to read in what comes back, such as the token of an attempt.
    pub fn carry(&mut self, text: String) -> String {
        self.count += 1;
        if text.len() >= COMBED_MIN {
            self.spellings.extend(spelling::all(&text).into_iter().map(SecretString::from));
        }
        text
    }

    /// The text without them, in every spelling of [`spelling::all`].
    pub fn hide(&self, text: &str) -> String {
        let mut combed = text.to_owned();
        for spelling in self.spellings.iter().map(ExposeSecret::expose_secret) {
            if combed.contains(spelling) {
                combed = combed.replace(spelling, HIDDEN);
            }
        }
        combed
    }

    /// The value without them, in its texts and in the names of its members: however they were written, they are read by now.
    pub fn hide_in(&self, value: Value) -> Value {
        // As deep as what was read: that has a bound.
        match value {
            Value::String(text) => Value::String(self.hide(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.hide_in(item)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(name, value)| (self.hide(&name), self.hide_in(value))).collect()
            }
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
        }
    }

    /// The bytes without them, in every spelling of [`spelling::all`].
    pub fn hide_in_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut combed = bytes.to_vec();
        for spelling in self.spellings.iter().map(|spelling| spelling.expose_secret().as_bytes()) {
            let mut from = 0;
            while let Some(at) = combed[from..].windows(spelling.len()).position(|window| window == spelling) {
                combed.splice(from + at..from + at + spelling.len(), HIDDEN.bytes());
                from += at + HIDDEN.len();
            }
        }
        combed
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

    /// A folder of its own, gone at the end.
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
    fn only_allowed_names_are_found() {
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
    fn what_is_carried_is_hidden_and_never_shown() {
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
        assert_eq!(format!("{carried:?}"), "Carried(2)");
        assert!(!format!("{secrets:?} {:?}", secrets.find("TOKEN")).contains("ss w"));
    }
}
