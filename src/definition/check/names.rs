//! Which names an expression may read, and where.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use crate::definition::problem::{Place, Problems};

/// Names no variable may bear.
pub(crate) const RESERVED: [&str; 12] =
    ["input", "result", "error", "item", "index", "actors", "instance", "activity", "now", "env", "secrets", "data"];

/// Words of the expression language that cannot be names.
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

/// The reserved names that have a value only in some places, and whether this is one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sees {
    pub(crate) activity: bool,
    pub(crate) result: bool,
    pub(crate) error: bool,
    pub(crate) data: bool,
    /// The counts of a vote. They hide variables of their names, which are no reserved ones.
    pub(crate) votes: bool,
    /// `${ secrets.NAME }` and `${ activity.token }`: places that are filled when a request is made.
    pub(crate) marks: bool,
}

impl Sees {
    /// What keys of the document see.
    pub(crate) const DOCUMENT: Sees =
        Sees { activity: false, result: false, error: false, data: false, votes: false, marks: false };
    /// What keys of an activity see.
    pub(crate) const ACTIVITY: Sees = Sees { activity: true, ..Sees::DOCUMENT };

    /// The same, and `error`.
    pub(crate) const fn and_error(self) -> Sees {
        Sees { error: true, ..self }
    }
}

/// What a document declares, and what its expressions did with it.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) variables: BTreeMap<String, Value>,
    pub(crate) properties: BTreeSet<String>,
    pub(crate) assigned: HashSet<String>,
    /// Whether there is a `task` to fill `actors`.
    pub(crate) tasks: bool,
    first_reads: BTreeMap<String, Place>,
}

impl Names {
    /// Whether a name may be read by itself.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.variables.contains_key(name) || self.properties.contains(name)
    }

    /// Notes that an expression reads `name`, which is a problem if it has no value there.
    pub(crate) fn read(&mut self, name: &str, place: Place, sees: Sees, problems: &mut Problems) {
        let missing = match name {
            "input" | "instance" | "now" | "env" => None,
            "activity" => (!sees.activity).then_some("only an activity's own keys see it"),
            "result" => (!sees.result)
                .then_some("only `output` and `next` of a `run`, `receive`, `task`, `http` or `call` see it"),
            "error" => (!sees.error).then_some("only `when` and `output` of an `on_error` entry see it"),
            "data" => (!sees.data).then_some("only the `when` of a `receive` sees it; afterwards it is `result.data`"),
            "secrets" if sees.marks => Some("it stands alone in its `${ }`: `Bearer ${ secrets.NAME }`"),
            "secrets" => Some("only the url, query, headers and body of an `http` see it"),
            "item" | "index" => Some("only a `map` has it, and this version of Leveret has none"),
            "actors" => (!self.tasks).then_some("only a `task` fills it, and this definition has none"),
            "votes" | "voters" if sees.votes => None,
            declared if self.declares(declared) => {
                self.first_reads.entry(name.into()).or_insert(place);
                return;
            }
            _ => return self.unknown(name, place, problems),
        };
        if let Some(hint) = missing {
            problems.error(place, format!("there is no `{name}` here"), Some(hint.into()));
        }
    }

    fn unknown(&self, name: &str, place: Place, problems: &mut Problems) {
        let known = self.variables.keys().chain(&self.properties).map(String::as_str);
        let hint = problems.did_you_mean(name, known.chain(RESERVED)).unwrap_or_else(|| {
            format!("declare it under `variables` or in `input`; the text itself is written with quotes of its own: '\"{name}\"'")
        });
        problems.error(place, format!("`{name}` is neither declared nor reserved"), Some(hint));
    }

    /// Notes that `name` is assigned, which is a problem unless it is a variable.
    pub(crate) fn assign(&mut self, name: &str, place: Place, problems: &mut Problems) {
        if self.variables.contains_key(name) {
            self.assigned.insert(name.into());
            return;
        }
        let hint = if self.properties.contains(name) {
            format!("an input cannot be changed; a variable `{name}` would start with its value")
        } else {
            let near = problems.did_you_mean(name, self.variables.keys().map(String::as_str));
            near.unwrap_or_else(|| format!("declare it: `variables: {{ {name}: null }}`"))
        };
        problems.error(place, format!("`{name}` is no declared variable"), Some(hint));
    }

    /// Warns of what is null whenever it is read.
    pub(crate) fn warn_of_never_assigned(&self, problems: &mut Problems) {
        for (name, place) in &self.first_reads {
            let null = self.variables.get(name).is_some_and(Value::is_null) && !self.properties.contains(name);
            if null && !self.assigned.contains(name) {
                let message = format!("`{name}` is read, but nothing ever assigns it: it is always null");
                problems.warning(place.clone(), message, Some("assign it with `output` or `set`".into()));
            }
        }
    }
}

/// What is wrong with the name of a variable, and what to do about it.
pub(crate) fn variable_problem(name: &str) -> Option<(String, &'static str)> {
    let identifier = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match () {
        () if RESERVED.contains(&name) => {
            Some((format!("`{name}` is reserved and cannot be the name of a variable"), "choose another name"))
        }
        () if !identifier || KEYWORDS.contains(&name) || name.len() > crate::definition::yaml::cursor::NAME_MAX => {
            Some((
                format!(
                    "`{}` cannot be the name of a variable: no expression could read it",
                    crate::text::shortened(name)
                ),
                "use letters, digits and `_`, with a letter first",
            ))
        }
        () => None,
    }
}
