//! Expressions as they stand in the document: the places of their names, and what is told of those that cannot be read.

use super::draft::Draft;
use crate::definition::check::names::Sees;
use crate::definition::problem::Place;
use crate::definition::yaml::accident;
use crate::definition::yaml::cursor::At;
use crate::definition::yaml::node::Tree;
use crate::expression::{Around, Expression, Fault, Marker, Piece, Slip, Span, Template, is_foreign, slip, spans};

/// An expression and where it stands.
pub(super) struct Written<'w, 'n> {
    pub(super) at: &'w At<'n>,
    pub(super) source: &'w str,
    /// The byte of the text at which the expression begins.
    pub(super) offset: usize,
    pub(super) around: Around,
}

impl<'w, 'n> Written<'w, 'n> {
    /// An expression that is the whole value, or all of it but the `${ }` around it.
    pub(super) fn whole(at: &'w At<'n>, source: &'w str) -> Self {
        let (offset, before) = match &at.node.tree {
            Tree::Text(text) => (text.find(source).unwrap_or_default(), text.trim_start()),
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::List(_) | Tree::Map(_) => (0, ""),
        };
        let around = match () {
            () if before.starts_with("${") && !source.starts_with("${") => Around::Braces,
            () if at.path.ends_with("when") || at.path.ends_with("done") => Around::Condition,
            () => Around::Value,
        };
        Written { at, source, offset, around }
    }
}

impl Draft {
    /// The place of a byte of a text; the begin of the text if it has another spelling in the document.
    pub(super) fn place_in(&self, at: &At<'_>, byte: usize) -> Place {
        self.source.place_in(at, byte)
    }

    /// Reads the names of an expression.
    pub(super) fn read_names(&mut self, written: &Written<'_, '_>, expression: &Expression, sees: Sees) {
        self.names.read_outside("env", &expression.members_of("env"));
        self.refuse_length(written, expression);
        let foreign = |name: &String| is_foreign(name) && !self.names.declares(name);
        let foreign = expression.names().iter().any(foreign) && self.tell_slip(written);
        for name in expression.names().iter().filter(|name| !(foreign && is_foreign(name))) {
            let place = self.place_in(written.at, written.offset + expression.place_of(name).unwrap_or_default());
            self.names.read(name, place, sees, &mut self.problems);
        }
    }

    /// Reports `x.length` of a list or a text.
    fn refuse_length(&mut self, written: &Written<'_, '_>, expression: &Expression) {
        for (name, byte) in expression.lengths_read() {
            if self.names.sized.contains(&name) && !self.names.variables.contains_key(&name) {
                let message = format!("`{name}` has no member `length`: it is a list or a text");
                let place = self.place_in(written.at, written.offset + byte);
                self.problems.error(place, message, Some(format!("write `size({name})`")));
            }
        }
    }

    /// Reads the names of a template.
    pub(super) fn read_template(&mut self, at: &At<'_>, template: &Template, sees: Sees) {
        let starts = spans(template.source()).unwrap_or_default().into_iter().filter_map(|span| match span {
            Span::Value { at, .. } => Some(at),
            Span::Text { .. } => None,
        });
        let values = template.pieces().filter_map(|piece| match piece {
            Piece::Value(expression) => Some(expression),
            Piece::Text(_) => None,
        });
        for (offset, expression) in starts.zip(values) {
            let written = Written { at, source: expression.source(), offset, around: Around::Braces };
            match expression.marker() {
                Some(Marker::Secret(name)) if sees.marks => self.names.read_outside("secrets", &[name.to_owned()]),
                Some(Marker::Token) if sees.marks => {}
                Some(Marker::Token) => {
                    let hint = "only url, query, headers and body of an `http` can read it";
                    let place = self.place_in(at, offset);
                    self.problems.error(place, "`activity.token` is not available here", Some(hint.into()));
                }
                Some(Marker::Secret(_)) | None => self.read_names(&written, expression, sees),
            }
        }
    }

    /// Reports every expression of a template that cannot be read; `message` is for a template that is wrong itself.
    pub(super) fn refuse_template(&mut self, at: &At<'_>, text: &str, message: String) {
        let Ok(spans) = spans(text) else {
            let open = text.rfind("${").unwrap_or_default();
            let place = self.place_in(at, open);
            return self.problems.error(place, message, None);
        };
        for span in spans {
            let Span::Value { at: offset, source } = span else { continue };
            if let Err(fault) = Expression::read(source) {
                self.refuse(&Written { at, source, offset, around: Around::Braces }, &fault);
            }
        }
    }

    /// Reports an expression that cannot be read.
    pub(super) fn refuse(&mut self, written: &Written<'_, '_>, fault: &Fault) {
        if !written.at.node.cut && self.tell_slip(written) {
            return;
        }
        let hint = match () {
            () if written.at.node.cut => Some("YAML reads ` #` as the start of a comment: quote the whole expression"),
            () if written.source.contains("${") => Some("write names without `${ }` here: `name`, not `${ name }`"),
            () => None,
        };
        let exact = self.source.exact_place(written.at, written.offset + fault.at.unwrap_or_default());
        let message =
            if exact.is_some() { fault.message(written.source) } else { fault.message_with_place(written.source) };
        self.problems.error(exact.unwrap_or_else(|| written.at.place()), message, hint.map(str::to_owned));
    }

    /// Reports what was written in the manner of another language, if that is what is wrong.
    fn tell_slip(&mut self, written: &Written<'_, '_>) -> bool {
        let known = |name: &str| self.names.declares(name) || crate::definition::check::names::RESERVED.contains(&name);
        let Some(slip) = slip(written.source, written.around, &known) else { return false };
        let hint = self.hint(written, &slip);
        let place = self.place_in(written.at, written.offset + slip.at);
        self.problems.error(place, slip.message, hint);
        true
    }

    fn hint(&self, written: &Written<'_, '_>, slip: &Slip) -> Option<String> {
        let key = written.at.path.rsplit(['.', ']']).next().unwrap_or_default();
        let entry = |value: &str| if key.is_empty() { value.to_owned() } else { format!("{key}: {value}") };
        if let Some(text) = &slip.text {
            return Some(format!("a string has quotes of its own: `{}`", entry(&accident::as_text(text)?)));
        }
        let meant = slip.meant.as_deref()?;
        let At { node, .. } = written.at;
        if written.around == Around::Braces {
            let told = slip.message.contains(&format!("write `${{ {meant} }}`"));
            return (!told).then(|| format!("write `${{ {meant} }}`"));
        }
        if self.source.is_plain(node.line, node.column)
            && accident::needs_quotes(meant, self.source.flow(node.line, node.column))
        {
            return accident::quoted(meant).map(|quoted| format!("write it in quotes: `{}`", entry(&quoted)));
        }
        // The message already has it.
        let told = slip.message.contains(&format!("write `{meant}` for `{}`", written.source));
        (!told).then(|| format!("write `{meant}`"))
    }
}
