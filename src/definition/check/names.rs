//! The names that expressions may read and assign, and where they are available.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use crate::definition::model::SettingsRead;
use crate::definition::problem::{Place, Problems};
use crate::definition::yaml::cursor::NAME_MAX;
use crate::text::shortened;

/// Names that variables cannot have.
pub(crate) const RESERVED: [&str; 12] =
    ["input", "result", "error", "item", "index", "actors", "instance", "activity", "now", "env", "secrets", "data"];

/// Keywords of the expression language, which cannot be names.
const KEYWORDS: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Names that other systems have, and how their values are read here.
const ELSEWHERE: [(&[&str], &str); 3] = [
    (&["variables", "vars", "locals"], "read a variable by its name alone"),
    (&["inputs", "parameters"], "read the input as `input.<name>`, or by the name of the property alone"),
    (
        &["steps", "activities", "outputs", "nodes", "tasks"],
        "assign the result of an activity to a variable in its `output`, and read the variable",
    ),
];

/// Reserved names that are available only in some places: which of them an expression can read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sees {
    pub(crate) activity: bool,
    pub(crate) result: bool,
    pub(crate) error: bool,
    pub(crate) data: bool,
    /// `votes` and `voters`, the counts of a vote. They are not reserved: they hide variables of the same names.
    pub(crate) votes: bool,
    /// `${ secrets.NAME }` and `${ activity.token }`, which are filled in when a request is sent.
    pub(crate) marks: bool,
}

impl Sees {
    /// For keys of the document.
    pub(crate) const DOCUMENT: Sees =
        Sees { activity: false, result: false, error: false, data: false, votes: false, marks: false };
    /// For keys of an activity.
    pub(crate) const ACTIVITY: Sees = Sees { activity: true, ..Sees::DOCUMENT };

    /// The same with `error`.
    pub(crate) const fn and_error(self) -> Sees {
        Sees { error: true, ..self }
    }
}

/// The names that a document declares, and how its expressions use them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) variables: BTreeMap<String, Value>,
    pub(crate) properties: BTreeSet<String>,
    /// Properties that are lists or texts: their size is read with a function.
    pub(crate) sized: BTreeSet<String>,
    pub(crate) assigned: HashSet<String>,
    /// The document has a `task`, which sets `actors`.
    pub(crate) tasks: bool,
    /// The members of `env` and `secrets` that are read.
    pub(crate) settings: SettingsRead,
    first_reads: BTreeMap<String, Place>,
}

impl Names {
    /// Whether a name is a variable or an input property.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.variables.contains_key(name) || self.properties.contains(name)
    }

    /// Records members of `env` or `secrets` that are read.
    pub(crate) fn read_outside(&mut self, of: &str, members: &[String]) {
        let known = if of == "env" { &mut self.settings.env } else { &mut self.settings.secrets };
        known.extend(members.iter().cloned());
    }

    /// Records that an expression reads `name`; reports a problem if it is not available there.
    pub(crate) fn read(&mut self, name: &str, place: Place, sees: Sees, problems: &mut Problems) {
        let missing = match name {
            "input" | "instance" | "now" | "env" => None,
            "activity" => (!sees.activity).then_some("only keys of an activity can read it"),
            "result" => (!sees.result)
                .then_some("only `output` and `next` of a `run`, `receive`, `task`, `http` or `call` can read it"),
            "error" => (!sees.error).then_some("only `when` and `output` of an `on_error` entry can read it"),
            "data" => (!sees.data)
                .then_some("only `when` of a `receive` can read it; in `output` and `next` read `result.data`"),
            "secrets" if sees.marks => Some("write it alone in its `${ }`, as in `Bearer ${ secrets.NAME }`"),
            "secrets" => Some("only url, query, headers and body of an `http` can read it"),
            "item" | "index" => Some("it is reserved for `map`, which is not supported yet"),
            "actors" => (!self.tasks).then_some("only a `task` sets it, and this definition has none"),
            "votes" | "voters" if sees.votes => None,
            declared if self.declares(declared) => {
                self.first_reads.entry(name.into()).or_insert(place);
                return;
            }
            _ => return self.unknown(name, place, problems),
        };
        if let Some(hint) = missing {
            problems.error(place, format!("`{name}` is not available here"), Some(hint.into()));
        }
    }

    fn unknown(&self, name: &str, place: Place, problems: &mut Problems) {
        let known = self.variables.keys().chain(&self.properties).map(String::as_str);
        let elsewhere = ELSEWHERE.into_iter().find(|(names, _)| names.contains(&name)).map(|(_, hint)| hint.to_owned());
        let hint = elsewhere.or_else(|| problems.did_you_mean(name, known.chain(RESERVED))).unwrap_or_else(|| {
            format!("declare it in `variables` or `input`; a string needs quotes of its own: '\"{name}\"'")
        });
        problems.error(place, format!("unknown name `{name}`"), Some(hint));
    }

    /// Records that `name` is assigned; reports a problem if it is not a variable.
    pub(crate) fn assign(&mut self, name: &str, place: Place, problems: &mut Problems) {
        if self.variables.contains_key(name) {
            self.assigned.insert(name.into());
            return;
        }
        let hint = if self.properties.contains(name) {
            format!("an input cannot be changed: declare a variable `{name}`, which starts with the value of the input")
        } else {
            let near = problems.did_you_mean(name, self.variables.keys().map(String::as_str));
            near.unwrap_or_else(|| format!("declare it: `variables: {{ {name}: null }}`"))
        };
        problems.error(place, format!("`{name}` is not a declared variable"), Some(hint));
    }

    /// Warns of variables that are read and are always null.
    pub(crate) fn warn_of_never_assigned(&self, problems: &mut Problems) {
        for (name, place) in &self.first_reads {
            let null = self.variables.get(name).is_some_and(Value::is_null) && !self.properties.contains(name);
            if null && !self.assigned.contains(name) {
                let message = format!("`{name}` is always null: it is read, but never assigned");
                problems.warning(place.clone(), message, Some("assign it with `output` or `set`".into()));
            }
        }
    }
}

/// The message and the hint for an invalid variable name.
pub(crate) fn variable_problem(name: &str) -> Option<(String, &'static str)> {
    let identifier = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match () {
        () if RESERVED.contains(&name) => {
            Some((format!("`{name}` is a reserved name and cannot be a variable"), "choose another name"))
        }
        () if KEYWORDS.contains(&name) => {
            Some((format!("`{name}` is a keyword of expressions and cannot be a variable"), "choose another name"))
        }
        () if !identifier || name.len() > NAME_MAX => Some((
            format!("`{}` is not a valid variable name: expressions cannot read it", shortened(name)),
            "use letters, digits and `_`, starting with a letter or `_`",
        )),
        () => None,
    }
}
