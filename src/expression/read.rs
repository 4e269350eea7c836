//! From text to the parser's tree, within bounds that make recursion over the tree safe.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, SourceInfo};
use cel::parser::PrattParser;

use super::bounds::{DEPTH_MAX, NESTING_MAX, QUESTIONS_MAX, SOURCE_BYTES_MAX};

/// Nodes of the parser's tree at most; macros multiply the source.
const NODES_MAX: usize = 20_000;
/// Characters of an expression that a message shows.
const SHOWN_CHARACTERS_MAX: usize = 120;

/// Why an expression cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The reason; without the expression and the place.
    pub why: String,
    /// The byte of the expression at which it cannot be read further.
    pub at: Option<usize>,
}

impl Fault {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Fault { why: why.into(), at: None }
    }

    /// The message with the expression.
    pub fn message(&self, source: &str) -> String {
        if source.trim().is_empty() { self.why.clone() } else { format!("`{}`: {}", shown(source), self.why) }
    }

    /// The message with the expression and the place in it.
    pub fn message_with_place(&self, source: &str) -> String {
        let place = self.at.and_then(|at| source.get(..at)).map(|before| {
            let (line, start) = (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |end| end + 1));
            let column = before[start..].chars().count() + 1;
            if line > 1 { format!("line {line}, column {column}: ") } else { format!("column {column}: ") }
        });
        match place {
            Some(place) => format!("`{}`: {place}{}", shown(source), self.why),
            None => self.message(source),
        }
    }
}

/// Reads an expression.
pub(super) fn read(source: &str) -> Result<IdedExpr, Fault> {
    let refuse = |why: String| Fault::new(why);
    if source.trim().is_empty() {
        return Err(Fault::new("the expression is empty"));
    }
    if source.len() > SOURCE_BYTES_MAX {
        return Err(refuse(format!("it has {} bytes; at most {SOURCE_BYTES_MAX} are allowed", source.len())));
    }
    if source.contains('\0') {
        return Err(refuse("the character U+0000 is not allowed".into()));
    }
    // The parser limits its recursion for brackets, but not for `a ? b : c ? d : …`.
    if source.matches('?').count() > QUESTIONS_MAX {
        return Err(refuse(format!("it has more than {QUESTIONS_MAX} question marks")));
    }
    // No panic of the parser is known; one would end the task of a worker.
    let parsed = catch_unwind(AssertUnwindSafe(|| parser().parse(source)))
        .map_err(|_| refuse("syntax error".into()))?
        .map_err(|errors| first(&errors, source))?;
    if depth(&parsed) > DEPTH_MAX {
        return Err(refuse(format!("it is nested deeper than {DEPTH_MAX} levels")));
    }
    Ok(parsed)
}

fn parser() -> PrattParser {
    PrattParser::new()
        .max_recursion_depth(NESTING_MAX)
        .max_expression_node_count(NODES_MAX)
        .error_recovery_limit(4)
        .error_reporting_limit(4)
        .enable_optional_syntax(true)
        .enable_ident_escape_syntax(true)
}

/// The places of the parts of a source that [`read`] accepts.
// The parser gives places only with an error: a bracket after the end is one, and the parts before it keep their ids.
pub(super) fn places(source: &str) -> Option<Arc<SourceInfo>> {
    let too_much = format!("{source}\n)");
    let errors = catch_unwind(AssertUnwindSafe(|| parser().parse(&too_much))).ok()?.err()?;
    errors.errors.into_iter().find_map(|error| error.source_info)
}

/// The first syntax error, with its position.
fn first(errors: &cel::ParseErrors, source: &str) -> Fault {
    let Some(error) = errors.errors.first() else { return Fault::new("syntax error") };
    let what = error.msg.trim_start_matches("Syntax error: ");
    let what = match what.strip_prefix("mismatched input ").and_then(|rest| rest.split_once(" expecting ")) {
        Some((found, expected)) => format!("expected {expected}, found {found}"),
        None => what.to_owned(),
    };
    let what = what.replace("'<EOF>'", "the end").replace("<EOF>", "the end");
    let why = match what.as_str() {
        limit if limit.starts_with("expression recursion limit") => {
            return Fault::new(format!("it is nested deeper than {NESTING_MAX} levels"));
        }
        assigned if assigned.contains("'='") => format!("{assigned} (use `==` to compare)"),
        other => other.to_owned(),
    };
    Fault { why, at: offset(source, error.pos) }
}

/// The byte of a position of the parser, which counts lines and bytes from 1.
fn offset(source: &str, (line, column): (isize, isize)) -> Option<usize> {
    let before = usize::try_from(line).ok()?.checked_sub(1)?;
    let start: usize = source.split_inclusive('\n').take(before).map(str::len).sum();
    let at = start + usize::try_from(column).ok()?.checked_sub(1)?;
    (at <= source.len()).then(|| (0..=at).rev().find(|at| source.is_char_boundary(*at)).unwrap_or(start))
}

/// The expression, cut to a length for messages.
pub(super) fn shown(source: &str) -> String {
    let source = source.trim();
    match source.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &source[..end]),
        None => source.to_owned(),
    }
}

/// The depth of the tree, computed without recursion.
fn depth(root: &IdedExpr) -> usize {
    let mut deepest = 0;
    let mut waiting = vec![(root, 1)];
    while let Some((node, level)) = waiting.pop() {
        deepest = deepest.max(level);
        let mut push = |child| waiting.push((child, level + 1));
        match &node.expr {
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
            Expr::Call(call) => {
                call.target.iter().for_each(|target| push(&**target));
                call.args.iter().for_each(push);
            }
            Expr::Comprehension(each) => {
                [&each.iter_range, &each.accu_init, &each.loop_cond, &each.loop_step, &each.result]
                    .into_iter()
                    .for_each(push);
            }
            Expr::List(list) => list.elements.iter().for_each(push),
            Expr::Select(select) => push(&*select.operand),
            Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => [&entry.key, &entry.value].into_iter().for_each(&mut push),
                EntryExpr::StructField(field) => push(&field.value),
            }),
            Expr::Struct(fields) => fields.entries.iter().for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => [&entry.key, &entry.value].into_iter().for_each(&mut push),
                EntryExpr::StructField(field) => push(&field.value),
            }),
        }
    }
    deepest
}
