//! The sentences: what was written, why it cannot work, and what to write.

use cel::common::ast::{Expr, IdedExpr, LiteralValue};

use super::facts::path;
use super::finding::{Certainty, Finding};
use super::kinds::Kinds;
use super::known::Type;
use super::walk::Inference;
use super::written::Written;
use crate::expression::operators::Operator;

/// An operand with its type.
pub(super) type Operand<'t> = (&'t IdedExpr, &'t Type);

/// A sentence and what to write.
type Sentence = (String, Option<String>);

impl Inference<'_> {
    /// Adds a problem. Its words are made only when the text of the expression is known.
    pub(super) fn report(
        &mut self,
        certainty: Certainty,
        at: impl FnOnce(&Written<'_>) -> usize,
        say: impl FnOnce(&Written<'_>) -> Sentence,
    ) {
        let finding = match self.written {
            None => Finding { at: 0, certainty, message: String::new(), hint: None },
            Some(written) => {
                let (message, hint) = say(written);
                // A hint with a shortened text cannot be copied.
                let hint = hint.filter(|hint| !hint.contains('…') || hint.ends_with("&& …`"));
                Finding { at: at(written), certainty, message, hint }
            }
        };
        self.findings.push(finding);
    }

    /// `of` is of a kind with which `whole` fails.
    pub(super) fn wrong_kind(&mut self, of: &IdedExpr, whole: &IdedExpr, kinds: Kinds, wanted: Kinds) {
        self.report(
            Certainty::Fails,
            |written| written.start(of),
            |written| {
                let (text, whole_text) = (written.text(of), written.text(whole));
                if kinds.within(Kinds::ABSENT) {
                    return always_null(&text, &whole_text);
                }
                let message = format!(
                    "`{whole_text}` needs {}, but `{text}` is {}",
                    wanted.without(Kinds::ABSENT).what(),
                    kinds.what()
                );
                let hint = match &whole.expr {
                    Expr::Select(select) if ["length", "size", "count"].contains(&select.field.as_str()) => {
                        Some(format!("write `size({text})`"))
                    }
                    _ if kinds.within(Kinds::LIST) => Some(format!("read an element first, as in `{text}[0]`")),
                    _ => None,
                };
                (message, hint)
            },
        );
    }

    /// `of` can be null, and `whole` fails then.
    pub(super) fn maybe_null(&mut self, of: &IdedExpr, whole: &IdedExpr, kinds: Kinds) {
        if !self.first_time(of) {
            return;
        }
        self.report(Certainty::Doubtful, |written| written.start(of), |written| {
            let (text, whole_text) = (written.text(of), written.text(whole));
            let message = match text.as_str() {
                "result" => format!(
                    "`result` is null if the activity is skipped or its error was handled, and then `{whole_text}` fails"
                ),
                _ => format!("`{text}` can be null, and then `{whole_text}` fails"),
            };
            let instead = instead(kinds).map(|instead| format!("`coalesce({text}, {instead})`"));
            let hint = match (is_comparison(whole), instead) {
                (true, Some(instead)) => format!("write `{text} != null && {whole_text}`, or {instead} for its value"),
                (true, None) => format!("write `{text} != null && {whole_text}`"),
                (false, Some(instead)) => format!("write {instead}, with the value to use in place of null"),
                (false, None) => format!("test it first, as in `{text} != null && …`"),
            };
            (message, Some(hint))
        });
    }

    /// A condition that can be null.
    pub(super) fn maybe_null_condition(&mut self, tree: &IdedExpr) {
        if !self.first_time(tree) {
            return;
        }
        self.report(
            Certainty::Doubtful,
            |written| written.start(tree),
            |written| {
                let text = written.text(tree);
                let message = format!("`{text}` can be null, and then the condition fails");
                (message, Some(format!("write `{text} == true`, which is false for null")))
            },
        );
    }

    /// Whether the null of a value is reported for the first time.
    fn first_time(&mut self, of: &IdedExpr) -> bool {
        let Some(path) = path(of) else { return true };
        if self.told.contains(&path) {
            return false;
        }
        self.told.push(path);
        true
    }

    /// A condition that is never true or false.
    pub(super) fn not_a_condition(&mut self, tree: &IdedExpr, is: &Type) {
        let kinds = is.kinds();
        self.report(
            Certainty::Fails,
            |written| written.start(tree),
            |written| {
                let text = written.text(tree);
                let message = format!("a condition must be true or false, but `{text}` is {}", kinds.what());
                let kinds = kinds.without(Kinds::ABSENT);
                let compared = match () {
                    () if kinds.is_none() || matches!(tree.expr, Expr::Literal(_)) => None,
                    () if kinds.within(Kinds::NUMBER) => Some(format!("{text} > 0")),
                    () if kinds.within(Kinds::TEXT) => Some(format!("{text} != \"\"")),
                    () if kinds.within(Kinds::LIST) => Some(format!("size({text}) > 0")),
                    () => Some(format!("{text} != null")),
                };
                (message, compared.map(|compared| format!("compare it, as in `{compared}`")))
            },
        );
    }

    /// An operator that never works with its operands.
    pub(super) fn mismatch(&mut self, operator: Operator, whole: &IdedExpr, operands: &[Operand<'_>; 2]) {
        let [(left, one), (right, other)] = operands;
        if let Some((null, _)) = operands.iter().find(|(_, is)| is.kinds().within(Kinds::ABSENT)) {
            return self.report(
                Certainty::Fails,
                |written| written.start(null),
                |written| always_null(&written.text(null), &written.text(whole)),
            );
        }
        let literal = |tree: &IdedExpr| matches!(tree.expr, Expr::Literal(_));
        let (first, second) =
            (conversion(operator, left, one, operands[1]), conversion(operator, right, other, operands[0]));
        // A literal is right more often than what it is added to.
        let wrong = match (first, second) {
            (Some(one), Some(other)) if literal(one.0) => Some(other),
            (first, second) => first.or(second),
        };
        let at = wrong.as_ref().map_or(*left, |(operand, _)| *operand);
        self.report(
            Certainty::Fails,
            |written| written.start(at),
            |written| {
                let message = format!(
                    "`{}` does not work with {} and {}: `{}`",
                    operator.sign(),
                    one.kinds().what(),
                    other.kinds().what(),
                    written.text(whole)
                );
                (message, wrong.map(|(operand, write)| write.replace('$', &written.text(operand))))
            },
        );
    }

    /// A function whose argument is never of a kind that it takes.
    pub(super) fn wrong_argument(
        &mut self,
        arg: &IdedExpr,
        whole: &IdedExpr,
        function: &str,
        kinds: Kinds,
        taken: Kinds,
    ) {
        self.report(
            Certainty::Fails,
            |written| written.start(arg),
            |written| {
                let text = written.text(arg);
                if kinds.within(Kinds::ABSENT) {
                    return always_null(&text, &written.text(whole));
                }
                let message = format!("`{function}` needs {}, but `{text}` is {}", taken.what(), kinds.what());
                let given = kinds.without(Kinds::ABSENT);
                let hint = match () {
                    () if taken == Kinds::TEXT && given.within(Kinds::NUMBER.or(Kinds::BOOL)) => {
                        Some(format!("convert it: `string({text})`"))
                    }
                    () if taken == Kinds::TIME && given.within(Kinds::TEXT) => {
                        Some(format!("convert it: `timestamp({text})`"))
                    }
                    () if taken == Kinds::NUMBER && given.within(Kinds::TEXT) => {
                        Some(format!("convert it: `int({text})`"))
                    }
                    () => None,
                };
                (message, hint)
            },
        );
    }
}

fn always_null(text: &str, whole: &str) -> (String, Option<String>) {
    let hint =
        text.ends_with(".form").then(|| "this task has no `form`: declare one, or use `result.comment`".to_owned());
    (format!("`{text}` is always null here, so `{whole}` fails"), hint)
}

/// What can stand in for a null of these kinds.
fn instead(kinds: Kinds) -> Option<&'static str> {
    let kinds = kinds.without(Kinds::ABSENT);
    match () {
        () if kinds.is_none() => None,
        () if kinds.within(Kinds::NUMBER) => Some("0"),
        () if kinds.within(Kinds::TEXT) => Some("\"\""),
        () if kinds.within(Kinds::BOOL) => Some("false"),
        () if kinds.within(Kinds::LIST) => Some("[]"),
        () => None,
    }
}

fn is_comparison(tree: &IdedExpr) -> bool {
    use cel::common::ast::operators;
    let Expr::Call(call) = &tree.expr else { return false };
    [operators::LESS, operators::LESS_EQUALS, operators::GREATER, operators::GREATER_EQUALS, operators::IN]
        .contains(&call.func_name.as_str())
}

/// The operand to convert, and how: `$` is its text.
fn conversion<'t>(
    operator: Operator,
    operand: &'t IdedExpr,
    is: &Type,
    (other_operand, other): Operand<'t>,
) -> Option<(&'t IdedExpr, String)> {
    let literal = |tree: &IdedExpr| matches!(tree.expr, Expr::Literal(_));
    let adds_literal = literal(other_operand) && !literal(operand);
    let (kinds, other) = (is.kinds().without(Kinds::ABSENT), other.kinds().without(Kinds::ABSENT));
    let printable = Kinds::NUMBER.or(Kinds::BOOL);
    let times = Kinds::TIME.or(Kinds::SPAN);
    let adds = operator == Operator::Add;
    let write = match () {
        () if operator == Operator::In => return None,
        // Whether `code + 1` was meant to calculate or to join, only the author knows.
        () if adds && kinds.within(Kinds::TEXT) && other.within(Kinds::NUMBER) && adds_literal => {
            "to calculate, write `int($)`; to join, write the number in quotes".to_owned()
        }
        () if adds && other.within(Kinds::TEXT) && kinds.within(printable) => "convert it: `string($)`".to_owned(),
        () if adds && other.within(Kinds::TEXT) && kinds.within(times) && literal(other_operand) => {
            "convert it: `string($)`".to_owned()
        }
        () if adds && kinds.within(Kinds::TEXT) && (other.within(printable) || literal(operand)) => return None,
        () if kinds.within(Kinds::TEXT) && other.within(Kinds::TIME) => "convert the string: `timestamp($)`".to_owned(),
        () if kinds.within(Kinds::TEXT) && other.within(Kinds::SPAN) => {
            "convert the string: `timestamp($)` or `duration($)`".to_owned()
        }
        () if kinds.within(Kinds::NUMBER) && other.within(times) => {
            "write a duration, as in `duration(\"3d\")`".to_owned()
        }
        () if kinds.within(Kinds::TEXT) && other.within(Kinds::NUMBER) => match number_in_quotes(operand) {
            Some(number) => format!("write the number without quotes: `{number}`"),
            None if literal(operand) => return None,
            None => "convert the string: `int($)` or `double($)`".to_owned(),
        },
        () => return None,
    };
    Some((operand, write))
}

/// The number of a literal such as `"100"`.
pub(super) fn number_in_quotes(tree: &IdedExpr) -> Option<String> {
    let Expr::Literal(LiteralValue::String(text)) = &tree.expr else { return None };
    let text = text.inner();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        && text.parse::<f64>().is_ok()
        && !digits.ends_with('.');
    is_number.then(|| text.to_owned())
}
