//! From text to tree: reads YAML events one by one, and refuses what a definition must not contain.

use std::collections::HashSet;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::accident;
use super::frame::{self, Frame, Key, MapFrame, joined};
use super::indent;
use super::node::{Entry, NESTING_MAX, Node, Tree};
use super::scalar;
use super::source::Source;
use super::tabs::Lenient;
use crate::definition::problem::{Place, Problems};

/// Longest document, in bytes.
pub(crate) const TEXT_MAX: usize = 1024 * 1024;

/// Reads a text into a tree and its source; none if it has no readable tree, with the reason in `problems`.
pub(crate) fn read(text: &str, problems: &mut Problems) -> Option<(Node, Source)> {
    if text.len() > TEXT_MAX {
        let message = format!("the document has {} bytes; at most {TEXT_MAX} are allowed", text.len());
        problems.error(at_start(), message, Some("move long strings and tables into handlers".into()));
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(at) = text.find('\0') {
        // The scanner would read it as the end of the text.
        let line = text[..at].matches('\n').count() + 1;
        let place = Place { path: String::new(), line, column: 1 };
        problems.error(place, "the character U+0000 is not allowed", Some("remove it".into()));
        return None;
    }
    let text = accident::join_surrogates(text);
    let mut reader = Reader { chars: text.chars().collect(), problems, stack: Vec::new(), root: None };
    reader.document(&mut Parser::new(Lenient::new(&text)));
    let source = Source::new(std::mem::take(&mut reader.chars));
    reader.root.map(|root| (root, source))
}

fn at_start() -> Place {
    Place { path: String::new(), line: 1, column: 1 }
}

/// A scalar event of the parser.
struct Scalar<'t> {
    text: &'t str,
    plain: bool,
    span: Span,
}

struct Reader<'p> {
    chars: Vec<char>,
    problems: &'p mut Problems,
    stack: Vec<Frame>,
    root: Option<Node>,
}

impl Reader<'_> {
    fn document(&mut self, parser: &mut Parser<'_, Lenient<'_>>) {
        let mut documents = 0usize;
        while let Some(event) = parser.next_event() {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => return self.unreadable(&error),
            };
            match event {
                Event::DocumentStart(_) if documents == 1 => {
                    let hint = "write one definition per file, without a second `---`".to_owned();
                    return self.error(span, "a file must contain only one document", Some(hint));
                }
                Event::DocumentStart(_) => documents += 1,
                Event::StreamEnd => break,
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                event => {
                    if self.node(event, span).is_none() {
                        self.root = None;
                        return;
                    }
                }
            }
        }
        if documents == 0 {
            self.problems.error(at_start(), "the document is empty", Some("start with `name:`".into()));
        }
    }

    /// None if reading cannot continue.
    fn node(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let (line, column) = position(span);
        let refused = self.refuse_markup(&event, span);
        match event {
            Event::Alias(_) => self.value(Node { tree: Tree::Refused, line, column, cut: false }, None),
            Event::Scalar(text, style, ..) => {
                let scalar = Scalar { text: &text, plain: style == ScalarStyle::Plain, span };
                self.scalar(&scalar, refused);
            }
            Event::SequenceStart(..) => self.open(Frame::List { line, column, items: Vec::new() }, span)?,
            Event::MappingStart(..) => {
                let flow = self.chars.get(span.start.index()) == Some(&'{');
                let (entries, seen) = (Vec::new(), HashSet::new());
                let frame = MapFrame { line, column, flow, entries, seen, key: None, unquoted_at: None };
                self.open(Frame::Map(frame), span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
        Some(())
    }

    /// Whether the event has a tag or an anchor, or is an alias; each is reported.
    fn refuse_markup(&mut self, event: &Event<'_>, span: Span) -> bool {
        let (anchor, tag) = match event {
            Event::Alias(_) => {
                let message = "aliases (`*name`) are not allowed";
                self.error(span, message, Some(accident::quoted_start_hint(&self.line_of(span), '*')));
                return true;
            }
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag),
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => (*anchor, tag),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return false,
        };
        if tag.is_some() {
            let hint = accident::quoted_start_hint(&self.line_of(span), '!');
            self.error(span, "YAML reads a value that begins with `!` as a tag; tags are not allowed", Some(hint));
        } else if anchor > 0 {
            let hint = accident::quoted_start_hint(&self.line_of(span), '&');
            self.error(
                span,
                "YAML reads a value that begins with `&` as an anchor; anchors are not allowed",
                Some(hint),
            );
        }
        tag.is_some() || anchor > 0
    }

    fn scalar(&mut self, scalar: &Scalar<'_>, refused: bool) {
        let (line, column) = position(scalar.span);
        let zero = scalar.text.contains('\0');
        if zero {
            self.error(scalar.span, "the character U+0000 is not allowed", Some("remove it".into()));
        }
        let end = scalar.span.end.index();
        if self.wants_key() {
            return self.key(Key { text: scalar.text.into(), line, column, end, refused: refused || zero });
        }
        if scalar.plain && scalar.text.is_empty() && self.explain_split_value() {
            return;
        }
        let tree = match () {
            () if refused || zero => Tree::Refused,
            () if !scalar.plain => Tree::Text(scalar.text.into()),
            () => scalar::read(scalar.text).unwrap_or_else(|message| {
                self.error(scalar.span, message, Some("quote it if it is meant as a string".into()));
                Tree::Refused
            }),
        };
        let cut = scalar.plain && accident::comment_follows(&self.chars, end);
        let start = scalar.plain.then(|| scalar.span.start.index());
        self.value(Node { tree, line, column, cut }, start);
    }

    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame::Map(MapFrame { key: None, .. })))
    }

    fn key(&mut self, mut key: Key) {
        let Some(Frame::Map(map)) = self.stack.last_mut() else { return };
        let duplicate = !key.refused && !map.seen.insert(key.text.clone());
        let merge = key.text == "<<";
        let text = key.text.clone();
        key.refused |= duplicate || merge;
        map.key = Some(key);
        if duplicate {
            self.error_here(format!("duplicate key `{text}`"), Some("remove one of them".into()));
        } else if merge {
            self.error_here("merge keys (`<<`) are not allowed".into(), Some("write the entries out".into()));
        }
    }

    /// Explains `{ when: x == "a, b" }`, which YAML reads as the keys `when` and `b"`, the second without a value.
    fn explain_split_value(&mut self) -> bool {
        let Some(Frame::Map(map)) = self.stack.last_mut() else { return false };
        let Some(key) = map.key.take_if(|key| map.flow && !accident::colon_follows(&self.chars, key.end)) else {
            return false;
        };
        let (Some(start), Some(last)) = (map.unquoted_at, map.entries.last_mut()) else {
            map.key = Some(Key { refused: true, ..key });
            self.error_here("this key has no value".into(), Some("write a map as `{ key: value, … }`".into()));
            frame::innermost_map(&mut self.stack).and_then(|map| map.key.take());
            return true;
        };
        let whole: String = self.chars.get(start..key.end).unwrap_or_default().iter().collect();
        let message = format!("a comma inside `{{ }}` ends the value: `{}` was read as another key", key.text);
        let hint = accident::quoted_hint(&last.key, &whole);
        let (line, column, name) = (last.value.line, last.value.column, last.key.clone());
        last.value.tree = Tree::Refused;
        let path = joined(&frame::path(&self.stack), &name);
        self.problems.error(Place { path, line, column }, message, Some(hint));
        true
    }

    fn open(&mut self, frame: Frame, span: Span) -> Option<()> {
        if self.stack.len() == NESTING_MAX {
            let message = format!("lists and maps are nested deeper than {NESTING_MAX} levels");
            self.error(span, message, Some("flatten the document".into()));
            return None;
        }
        if self.wants_key() {
            match accident::jinja(&self.line_of(span)) {
                Some((written, hint)) => {
                    self.error(span, format!("`{written}` is not the way to write an expression"), Some(hint));
                }
                None => {
                    let hint = "quote it if it begins with `{` or `[`";
                    self.error(span, "a key must be a string", Some(hint.into()));
                }
            }
            return None;
        }
        self.stack.push(frame);
        Some(())
    }

    fn close(&mut self) {
        let node = match self.stack.pop() {
            Some(Frame::List { line, column, items }) => Node { tree: Tree::List(items), line, column, cut: false },
            Some(Frame::Map(map)) => {
                Node { tree: Tree::Map(map.entries), line: map.line, column: map.column, cut: false }
            }
            None => return,
        };
        self.value(node, None);
    }

    fn value(&mut self, value: Node, unquoted_at: Option<usize>) {
        match self.stack.last_mut() {
            None => self.root = Some(value),
            Some(Frame::List { items, .. }) => items.push(value),
            Some(Frame::Map(map)) => {
                if let Some(Key { text: key, line, column, refused: false, .. }) = map.key.take() {
                    map.entries.push(Entry { key, line, column, value });
                    map.unquoted_at = unquoted_at;
                }
            }
        }
    }

    fn unreadable(&mut self, error: &saphyr_parser::ScanError) {
        let mark = *error.marker();
        let span = Span::empty(mark);
        let values = frame::values(&self.stack);
        let hint = Some(mark.line()).filter(|_| indent::may_cause(error.info()));
        let hint = hint
            .and_then(|line| indent::hint(&self.chars, line))
            .unwrap_or_else(|| accident::scan_hint(error.info(), &self.line_of(span), values));
        self.error(span, format!("invalid YAML: {}", error.info()), Some(hint));
        self.root = None;
    }

    /// The line in which `span` begins, at most [`accident::LINE_MAX`] characters to each side.
    fn line_of(&self, span: Span) -> String {
        accident::line_around(&self.chars, span.start.index())
    }

    fn error(&mut self, span: Span, message: impl Into<String>, hint: Option<String>) {
        let (line, column) = position(span);
        let path = frame::path(&self.stack);
        self.problems.error(Place { path, line, column }, message, hint);
    }

    fn error_here(&mut self, message: String, hint: Option<String>) {
        let place =
            frame::innermost_map(&mut self.stack).and_then(|map| map.key.as_ref()).map(|key| (key.line, key.column));
        let (line, column) = place.unwrap_or((1, 1));
        let path = frame::path(&self.stack);
        self.problems.error(Place { path, line, column }, message, hint);
    }
}

/// Lines and columns are counted from 1.
fn position(span: Span) -> (usize, usize) {
    (span.start.line(), span.start.col() + 1)
}
