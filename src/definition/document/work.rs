//! Reads the work of an activity: one function for each kind.

use serde_json::{Map, Value};

use super::draft::Draft;
use crate::definition::check::names::Sees;
use crate::definition::model::{End, Receive, Runs, Wait, Work};
use crate::definition::problem::Problems;
use crate::definition::yaml::cursor::{At, Keys};
use crate::expression::{Data, Template};
use crate::text::shortened;
use crate::time::cron::Cron;
use crate::time::zone::Zone;

pub(in crate::definition) const RUN: Keys =
    Keys { of: "a `run`", known: &["handler", "input", "sql", "params"], later: &[] };
pub(in crate::definition) const EMIT: Keys = Keys { of: "an `emit`", known: &["event", "body"], later: &[] };
pub(in crate::definition) const WAIT: Keys =
    Keys { of: "a `wait`", known: &["for", "until", "cron", "zone"], later: &[] };
pub(in crate::definition) const RECEIVE: Keys = Keys { of: "a `receive`", known: &["name", "key", "when"], later: &[] };
pub(in crate::definition) const RAISE: Keys = Keys { of: "a `raise`", known: &["code", "message", "data"], later: &[] };
pub(in crate::definition) const END: Keys = Keys { of: "an `end`", known: &["outcome", "output", "error"], later: &[] };
pub(in crate::definition) const END_ERROR: Keys =
    Keys { of: "an error", known: &["code", "message", "data"], later: &[] };

/// Events that Leveret itself publishes under the definition's name.
const OWN_EVENTS: [&str; 13] = [
    "started",
    "completed",
    "failed",
    "cancelled",
    "suspended",
    "resumed",
    "task_opened",
    "task_assigned",
    "task_reminded",
    "task_overdue",
    "task_escalated",
    "task_completed",
    "task_closed",
];

impl Draft {
    /// The work under the key `kind`.
    pub(super) fn work(&mut self, kind: &str, at: &At<'_>) -> Option<Work> {
        let sees = Sees::ACTIVITY;
        match kind {
            "set" => Some(Work::Set(self.assignments(at, sees))),
            "switch" => Some(Work::Switch(self.choices(at, sees))),
            "run" => self.run(at, sees),
            "emit" => self.emit(at, sees),
            "wait" => self.wait(at, sees),
            "receive" => self.receive(at, sees),
            "raise" => {
                let (code, message, data) = self.failure(at, &RAISE, sees)?;
                Some(Work::Raise { code, message, data })
            }
            "end" => self.end(at, sees).map(Work::End),
            "task" => self.task(at, sees),
            "http" => self.http(at, sees),
            "call" => self.call(at, sees),
            _ => None,
        }
    }

    fn run(&mut self, at: &At<'_>, sees: Sees) -> Option<Work> {
        if !self.problems.expect_map(at, &RUN) {
            return None;
        }
        if let Some(sql) = at.get("sql") {
            return self.statement(at, &sql, sees);
        }
        if let Some(params) = at.get("params") {
            self.problems.error_at(
                &params,
                "`params` is only allowed with `sql`",
                Some("pass values to a handler in its `input`"),
            );
        }
        let handler = self.problems.expect(at, "handler", "name the handler, as in `handler: place-order`");
        let handler = handler.and_then(|handler| plain_word(&mut self.problems, &handler, "handler"));
        let input = self.data_or_empty(at.get("input"), sees);
        Some(Work::Run { runs: Runs::Handler(handler?), input: input? })
    }

    /// A registered statement by its name; SQL itself is not allowed.
    fn statement(&mut self, at: &At<'_>, sql: &At<'_>, sees: Sees) -> Option<Work> {
        for (key, hint) in [
            ("handler", "use either `handler` or `sql`"),
            ("input", "pass values to a statement in its `params`: `params: { id: \"${ id }\" }`"),
        ] {
            if let Some(found) = at.get(key) {
                self.problems.error_at(&found, format!("`{key}` is not allowed with `sql`"), Some(hint));
            }
        }
        let name = self.problems.expect_text(sql).and_then(|word| {
            if word.contains(char::is_whitespace) {
                let hint = "register the statement in the settings as `[statements.<name>]`, and write its name here";
                self.problems.error_at(sql, "SQL is not allowed in a definition", Some(hint));
                return None;
            }
            plain_word(&mut self.problems, sql, "statement")
        });
        let params = at.get("params");
        if let Some(params) = params.as_ref().filter(|params| !params.is_map()) {
            let hint = "write each parameter by its name: `params: { id: \"${ id }\" }`";
            self.problems.unexpected(params, "a map of parameters", Some(hint));
            return None;
        }
        let params = self.data_or_empty(params, sees);
        Some(Work::Run { runs: Runs::Statement(name?), input: params? })
    }

    fn emit(&mut self, at: &At<'_>, sees: Sees) -> Option<Work> {
        if !self.problems.expect_map(at, &EMIT) {
            return None;
        }
        let event = self.problems.expect(at, "event", "name the event, as in `event: order-shipped`");
        let name = event.as_ref().and_then(|event| event_name(&mut self.problems, event));
        let body = self.data_or_empty(at.get("body"), sees);
        Some(Work::Emit { event: name?, body: body? })
    }

    pub(super) fn data_or_empty(&mut self, at: Option<At<'_>>, sees: Sees) -> Option<Data> {
        match at {
            Some(at) => self.data(&at, sees),
            None => Some(Data::Literal(Value::Object(Map::new()))),
        }
    }

    fn wait(&mut self, at: &At<'_>, sees: Sees) -> Option<Work> {
        if !self.problems.expect_map(at, &WAIT) {
            return None;
        }
        let duration = at.get("for").map(|at| self.duration(&at, sees));
        let moment = at.get("until").map(|at| self.timestamp(&at, sees));
        let cron = at.get("cron").map(|at| self.template_of(&at, sees, |text| Cron::parse(text).err()));
        let zone = at.get("zone").map(|at| (self.template_of(&at, sees, |text| Zone::find(text).err()), at));
        if let (None, Some((_, zone))) = (&cron, &zone) {
            self.problems.error_at(zone, "`zone` is only allowed with `cron`", Some("a timestamp has its own offset"));
        }
        match (duration, moment, cron) {
            (Some(duration), None, None) => Some(Work::Wait(Wait::For(duration?))),
            (None, Some(moment), None) => Some(Work::Wait(Wait::Until(moment?))),
            (None, None, Some(cron)) => {
                let zone = transposed(zone.map(|(zone, _)| zone))?;
                Some(Work::Wait(Wait::Cron { cron: cron?, zone }))
            }
            _ => {
                let hint = "write `for: 10s`, `until: 2030-12-31T09:00:00Z`, or `cron: \"0 9 * * 1-5\"` with a `zone`";
                self.problems.error_at(at, "a `wait` needs exactly one of `for`, `until` and `cron`", Some(hint));
                None
            }
        }
    }

    /// A template; `error` checks it now if it has no expressions.
    fn template_of(
        &mut self,
        at: &At<'_>,
        sees: Sees,
        error: fn(&str) -> Option<crate::time::Error>,
    ) -> Option<Template> {
        let template = self.template(at, sees)?;
        if let Some(error) = template.literal().and_then(error) {
            self.problems.error_at(at, error.message, Some(&error.hint));
        }
        Some(template)
    }

    fn receive(&mut self, at: &At<'_>, sees: Sees) -> Option<Work> {
        let items =
            if at.is_map() { vec![at.clone()] } else { self.problems.expect_items(at, "`{ name, key, when }`") };
        let messages: Vec<Option<Receive>> = items.iter().map(|item| self.one_message(item, sees)).collect();
        let messages: Vec<Receive> = messages.into_iter().collect::<Option<_>>()?;
        (!messages.is_empty()).then_some(Work::Receive(messages))
    }

    fn one_message(&mut self, at: &At<'_>, sees: Sees) -> Option<Receive> {
        if !self.problems.expect_map(at, &RECEIVE) {
            return None;
        }
        let name = self.problems.expect(at, "name", "name the message, as in `name: paid`");
        let name = name.and_then(|name| {
            let template = self.template(&name, sees);
            self.filled(&name, template)
        });
        let key = at.get("key").map(|key| {
            let template = self.text(&key, sees);
            self.filled(&key, template)
        });
        let when = at.get("when").map(|when| self.expression(&when, Sees { data: true, ..sees }));
        Some(Receive { name: name?, key: transposed(key)?, when: transposed(when)? })
    }

    /// The template, which must not be the empty text.
    pub(super) fn filled(&mut self, at: &At<'_>, template: Option<Template>) -> Option<Template> {
        let template = template?;
        if template.literal() == Some("") {
            self.problems.error_at(at, "it must not be empty", None);
        }
        Some(template)
    }

    /// The error of a `raise` or a failed `end`.
    fn failure(&mut self, at: &At<'_>, keys: &Keys, sees: Sees) -> Option<Failure> {
        if !self.problems.expect_map(at, keys) {
            return None;
        }
        let code = self.problems.expect(at, "code", "give the error a code, as in `code: no_stock`");
        let code = code.and_then(|code| self.code(&code, sees));
        let message = at.get("message").map(|message| self.text(&message, sees));
        let data = at.get("data").map(|data| self.data(&data, sees));
        Some((code?, transposed(message)?, transposed(data)?))
    }

    fn end(&mut self, at: &At<'_>, sees: Sees) -> Option<End> {
        if at.is_null() {
            return Some(End::Completed(None));
        }
        if !self.problems.expect_map(at, &END) {
            return None;
        }
        let outcome = at.get("outcome");
        let word = match &outcome {
            Some(outcome) => self.problems.expect_text(outcome)?,
            None => "completed",
        };
        let (end, unused) = match (word, at.get("error")) {
            ("completed", _) => (at.get("output").map(|output| self.data(&output, sees)), "error"),
            ("failed", Some(error)) => {
                self.refuse_key(at, "output", word);
                let (code, message, data) = self.failure(&error, &END_ERROR, sees)?;
                return Some(End::Failed { code, message, data });
            }
            ("failed", None) => {
                self.problems.expect(at, "error", "give the reason, as in `error: { code: declined }`");
                return None;
            }
            ("cancelled", _) => {
                self.refuse_key(at, "output", word);
                self.refuse_key(at, "error", word);
                return Some(End::Cancelled);
            }
            (other, _) => {
                let message = format!("`{}` is not a valid outcome", shortened(other));
                self.problems.error_at(
                    outcome.as_ref()?,
                    message,
                    Some("allowed outcomes: `completed`, `failed` and `cancelled`"),
                );
                return None;
            }
        };
        self.refuse_key(at, unused, word);
        transposed(end).map(End::Completed)
    }

    fn refuse_key(&mut self, at: &At<'_>, key: &str, outcome: &str) {
        if let Some(found) = at.get(key) {
            let message = format!("`{key}` is not allowed with the outcome `{outcome}`");
            self.problems.error_at(&found, message, Some("remove it, or change the outcome"));
        }
    }
}

type Failure = (crate::expression::Template, Option<crate::expression::Template>, Option<Data>);

/// Swaps the options: an absent value is valid, a present but invalid one is not.
#[expect(clippy::option_option, reason = "absent, invalid and valid are three cases")]
fn transposed<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    read.map_or(Some(None), |read| read.map(Some))
}

/// The name of an event that the document publishes.
pub(super) fn event_name(problems: &mut Problems, at: &At<'_>) -> Option<String> {
    let name = plain_word(problems, at, "event")?;
    if OWN_EVENTS.contains(&name.as_str()) {
        let message = format!("`{name}` is also the name of an event that Leveret publishes itself");
        problems.warning(at.place(), message, Some("choose another name to keep them apart".into()));
    }
    Some(name)
}

/// The name of a handler, statement or event.
fn plain_word(problems: &mut Problems, at: &At<'_>, of: &str) -> Option<String> {
    let word = problems.expect_text(at)?;
    if crate::definition::codes::is_code(word) {
        return Some(word.into());
    }
    let message = format!("`{}` is not a valid {of} name", shortened(word));
    problems.error_at(at, message, Some("use letters, digits, `_` and `-`, with dots between words"));
    None
}
