//! Warnings of texts that were probably meant as expressions: `by: approver` instead of `by: ${ approver }`.

use super::draft::Draft;
use crate::definition::check::names::{RESERVED, Sees};
use crate::definition::yaml::cursor::At;
use crate::definition::yaml::node::Tree;
use crate::expression::{Around, Expression, Span, Template, foreign_places, slip, spans};
use crate::text::shortened;

/// Signs of expressions; a text with one of them that can be read, and reads only names of the document, was meant as one.
const SIGNS: [&str; 12] = [" + ", " - ", " * ", " / ", " == ", " != ", " > ", " < ", " >= ", " <= ", " && ", " || "];
/// Members of reserved names that expressions read.
const MEMBERS: [(&str, &[&str]); 3] = [
    ("instance", &["id", "key", "definition", "version", "started_at", "started_by"]),
    ("activity", &["id", "attempt", "visit", "token"]),
    ("error", &["code", "message", "data", "attempt"]),
];

impl Draft {
    /// A template for a text that people or other systems read; warns if it was probably meant as an expression.
    pub(crate) fn text(&mut self, at: &At<'_>, sees: Sees) -> Option<Template> {
        let template = self.template(at, sees)?;
        match template.literal() {
            Some(text) if self.is_expression(text, sees) => {
                let text = shortened(text);
                let hint = format!("for the value, write \"${{ {text} }}\"");
                self.problems.warning(at.place(), format!("`{text}` is a string here, not an expression"), Some(hint));
            }
            Some(_) | None => self.warn_of_places(at, sees),
        }
        Some(template)
    }

    /// The hint for a fixed value that is not valid, but was probably meant as an expression.
    pub(crate) fn value_hint(&self, at: &At<'_>) -> Option<String> {
        let Tree::Text(text) = &at.node.tree else { return None };
        let hint = || format!("for the value of the name, write \"${{ {} }}\"", shortened(text));
        (self.names.declares(text) || self.is_member(text, Sees::ACTIVITY)).then(hint)
    }

    /// Warns of places for values in the manner of other languages.
    pub(super) fn warn_of_places(&mut self, at: &At<'_>, sees: Sees) {
        let Tree::Text(source) = &at.node.tree else { return };
        for span in spans(source).unwrap_or_default() {
            let Span::Text { at: start, text } = span else { continue };
            for place in foreign_places(text) {
                let Some(meant) = self.meant(place.inside, sees) else { continue };
                let message = format!("`{}` is a string here, not an expression", shortened(place.written));
                let hint = format!("for the value, write ${{ {} }}", shortened(&meant));
                let place = self.place_in(at, start + place.at);
                self.problems.warning(place, message, Some(hint));
            }
        }
    }

    /// The expression in a place of another language, if it can be read and reads only names that are known here.
    fn meant(&self, inside: &str, sees: Sees) -> Option<String> {
        let known = |name: &str| self.names.declares(name) || RESERVED.contains(&name);
        let meant = match Expression::parse(inside) {
            Ok(_) => inside.to_owned(),
            Err(_) => slip(inside, Around::Condition, &known)?.meant?,
        };
        self.reads_known_names(&meant, sees).then_some(meant)
    }

    /// Whether a text was probably meant as an expression.
    fn is_expression(&self, text: &str, sees: Sees) -> bool {
        let signed = SIGNS.iter().any(|sign| text.contains(sign)) || text.ends_with(')');
        self.names.declares(text) || self.is_member(text, sees) || signed && self.reads_known_names(text, sees)
    }

    fn reads_known_names(&self, source: &str, sees: Sees) -> bool {
        let Ok(expression) = Expression::parse(source) else { return false };
        let known = |name: &String| self.names.declares(name) || self.is_member(source, sees);
        !expression.names().is_empty() && expression.names().iter().all(known)
    }

    /// Whether a text is `name.member` with a name and a member that are known here.
    fn is_member(&self, text: &str, sees: Sees) -> bool {
        let Some((name, member)) = text.split_once('.') else { return false };
        let path = !member.is_empty()
            && text.split('.').all(|part| {
                part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            });
        let first = member.split('.').next().unwrap_or_default();
        path && match name {
            "result" => true,
            "input" => self.names.properties.contains(first),
            "env" | "secrets" => !member.contains('.') && member.chars().all(|c| !c.is_ascii_lowercase()),
            "error" if !sees.error => false,
            _ if MEMBERS.iter().any(|(of, _)| *of == name) => {
                MEMBERS.iter().any(|(of, members)| *of == name && members.contains(&first))
            }
            _ => self.names.variables.get(name).is_some_and(|value| value.get(first).is_some()),
        }
    }
}
