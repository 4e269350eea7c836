//! The settings as they may be shown: with what came from defaults told apart, and without passwords.

use serde_json::Value;

use super::Config;
use crate::link::address::without_password;

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Its section and name, as in `http.listen`.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Where it comes from.
    pub source: Source,
}

/// Where a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It is the default.
    Default,
    /// The file or the environment sets it to something else.
    Set,
}

impl Config {
    /// Every effective setting as JSON, without passwords.
    ///
    /// # Errors
    /// If a setting cannot be written as JSON.
    pub fn shown(&self) -> Result<Value, serde_json::Error> {
        let mut shown = serde_json::to_value(self)?;
        for (section, url) in [("database", &self.database.url), ("broker", &self.broker.url)] {
            // An unset URL is null.
            shown[section]["url"] = match url.is_empty() {
                true => Value::Null,
                false => without_password(url).into(),
            };
        }
        if !self.outgoing.proxy.is_empty() {
            shown["outgoing"]["proxy"] = without_password(&self.outgoing.proxy).into();
        }
        Ok(shown)
    }

    /// The same as a list, each setting with where it comes from.
    ///
    /// # Errors
    /// As [`Config::shown`].
    pub fn listed(&self) -> Result<Vec<Shown>, serde_json::Error> {
        let (shown, default) = (self.shown()?, Config::default().shown()?);
        let mut list = Vec::new();
        for (section, values) in shown.as_object().into_iter().flatten() {
            for (name, value) in values.as_object().into_iter().flatten() {
                let source = if default[section][name] == *value { Source::Default } else { Source::Set };
                list.push(Shown { name: format!("{section}.{name}"), value: value.clone(), source });
            }
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown_and_what_is_set_is_told_apart() {
        let mut config = Config::default();
        config.database.url = "postgres://ada:hidden@localhost/leveret".into();
        config.broker.url = "amqp://ada:hidden@localhost/%2f".into();
        config.outgoing.proxy = "http://ada:hidden@proxy:3128".into();
        let list = config.listed().unwrap();
        assert!(!format!("{list:?}").contains("hidden"), "{list:?}");
        let set: Vec<&str> = list.iter().filter(|one| one.source == Source::Set).map(|one| one.name.as_str()).collect();
        assert_eq!(set, ["broker.url", "database.url", "outgoing.proxy"]);
        assert!(list.len() > 50, "{}", list.len());
    }
}
