//! Profiles: sets of values in the settings file, of which one is chosen by name.

use config::{ConfigError, Map, Source, Value, ValueKind};

/// The table of the file that holds them.
const PROFILES: &str = "profiles";
/// What the environment makes of `LEVERET_PROFILE`.
const CHOSEN: &str = "profile";

/// The values of a profile.
#[derive(Debug, Clone)]
pub(super) struct Profile(Map<String, Value>);

impl Source for Profile {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// The profile of this name; the error names those that there are.
pub(super) fn find(file: &config::Config, name: &str) -> Result<Profile, String> {
    let mut profiles = file.get_table(PROFILES).unwrap_or_default();
    let known = || {
        let mut names: Vec<&String> = profiles.keys().collect();
        names.sort();
        match names.as_slice() {
            [] => "it has none".to_owned(),
            names => format!("it has {}", crate::text::listed(names)),
        }
    };
    if !profiles.contains_key(name) {
        return Err(format!("the settings file has no profile `{}`: {}", crate::text::shortened(name), known()));
    }
    let values = profiles.remove(name).map(Value::into_table).transpose();
    let values = values.map_err(|error| format!("the profile `{name}` cannot be read: {error}"))?;
    Ok(Profile(values.unwrap_or_default()))
}

/// The settings without what chooses a profile.
pub(super) fn settings(read: Value) -> Result<Value, ConfigError> {
    let mut settings = read.into_table()?;
    settings.remove(PROFILES);
    settings.remove(CHOSEN);
    Ok(Value::new(None, ValueKind::Table(settings)))
}
