//! Types are right if what is reported fails, what works is not reported, and a value is of the kinds that were promised.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::expression::functions::{self, Form};
use crate::expression::step_budget::StepBudget;
use crate::expression::tests::properties::{json_value, source};
use crate::expression::{Expression, Scope};

/// Names with types, of which some are properties of the input.
#[derive(Default)]
struct Table {
    types: BTreeMap<String, Type>,
    input: Vec<&'static str>,
}

impl Known for Table {
    fn type_of(&self, name: &str) -> Option<Type> {
        self.types.get(name).cloned()
    }

    fn is_input(&self, name: &str) -> bool {
        self.input.contains(&name)
    }
}

fn number() -> Type {
    Type::of(Kinds::INT.or(Kinds::DOUBLE))
}

fn text() -> Type {
    Type::of(Kinds::TEXT)
}

fn table() -> Table {
    let maybe = |is: Type| is.or(Kinds::NULL);
    let line = Shape::closed([("sku", text()), ("price", maybe(number()))]);
    let form = Shape { rest: Rest::Listed, ..Shape::closed([("reason", maybe(text())), ("level", maybe(number()))]) };
    let decision = Texts { set: ["ok".to_owned(), "bad".to_owned()].into(), are_decisions: true };
    let result = Shape::closed([("decision", Type::one_of(decision)), ("form", Type::map(form))])
        .labelled("the result of a `task`", None);
    let status = Texts { set: ["open".to_owned(), "closed".to_owned()].into(), are_decisions: false };
    let properties = [
        ("amount", number()),
        ("count", maybe(number())),
        ("name", text()),
        ("note", maybe(text())),
        ("paid", maybe(Type::of(Kinds::BOOL))),
        ("ready", Type::of(Kinds::BOOL)),
        ("tags", Type::list(text())),
        ("lines", Type::list(Type::map(line))),
        ("status", Type::one_of(status)),
    ];
    let input = properties.iter().map(|(name, _)| *name).collect();
    let whole = Type::map(Shape::closed(properties.clone()));
    let mut types: BTreeMap<String, Type> = properties.into_iter().map(|(name, is)| (name.to_owned(), is)).collect();
    types.extend([
        ("input".to_owned(), whole),
        ("result".to_owned(), Type::map(result)),
        ("now".to_owned(), Type::of(Kinds::TIME)),
        ("unset".to_owned(), number().or(Kinds::UNSET)),
        ("any".to_owned(), Type::unknown()),
        ("gone".to_owned(), Type::of(Kinds::UNSET)),
    ]);
    Table { types, input }
}

fn findings(source: &str, purpose: Purpose) -> Vec<Finding> {
    infer(source, purpose, &table(), &[], &mut Work::new()).1
}

/// One line for each problem: certainty, place, message, hint.
fn told(source: &str, purpose: Purpose) -> Vec<String> {
    let line = |finding: Finding| {
        let sign = if finding.certainty == Certainty::Fails { "!" } else { "?" };
        let hint = finding.hint.map(|hint| format!(" = {hint}")).unwrap_or_default();
        format!("{sign}{} {}{hint}", finding.at, finding.message)
    };
    findings(source, purpose).into_iter().map(line).collect()
}

#[track_caller]
fn tells(source: &str, expected: &str) {
    assert_eq!(told(source, Purpose::Value), [expected], "{source}");
}

#[test]
fn a_number_and_a_string_are_told_apart() {
    tells(
        "amount > \"100\"",
        "!9 `>` does not work with a number and a string: `amount > \"100\"` = write the number without quotes: `100`",
    );
    tells(
        "amount == \"100\"",
        "?10 `amount == \"100\"` is never true: `amount` is a number, `\"100\"` is a string = write the number without quotes: `100`",
    );
    tells("\"x\" != amount", "?0 `\"x\" != amount` is always true: `\"x\"` is a string, `amount` is a number");
    tells(
        "name + 1",
        "!0 `+` does not work with a string and a number: `name + 1` = to calculate, write `int(name)`; to join, write the number in quotes",
    );
    tells(
        "'Order ' + name + amount",
        "!18 `+` does not work with a string and a number: `'Order ' + name + amount` = convert it: `string(amount)`",
    );
    tells(
        "(name) * 2",
        "!1 `*` does not work with a string and a number: `(name) * 2` = convert the string: `int(name)` or `double(name)`",
    );
    tells(
        "amount in tags",
        "?10 `amount in tags` is never true: `amount` is a number, the elements of `tags` are a string",
    );
    tells(
        "now + 3",
        "!6 `+` does not work with a timestamp and a number: `now + 3` = write a duration, as in `duration(\"3d\")`",
    );
    tells("-name", "!1 `-name` needs a number or a duration, but `name` is a string");
}

#[test]
fn a_condition_is_true_or_false() {
    for (source, expected) in [
        ("amount", "!0 a condition must be true or false, but `amount` is a number = compare it, as in `amount > 0`"),
        (
            "ready && tags",
            "!9 a condition must be true or false, but `tags` is a list = compare it, as in `size(tags) > 0`",
        ),
        ("!name", "!1 a condition must be true or false, but `name` is a string = compare it, as in `name != \"\"`"),
        ("paid", "?0 `paid` can be null, and then the condition fails = write `paid == true`, which is false for null"),
        ("'yes'", "!0 a condition must be true or false, but `'yes'` is a string"),
    ] {
        assert_eq!(told(source, Purpose::Condition), [expected], "{source}");
    }
    for source in
        ["ready", "ready || any", "amount > 1", "any", "paid == true", "unset > 1", "tags.exists(t, t == name)"]
    {
        assert_eq!(told(source, Purpose::Condition), [""; 0], "{source}");
    }
}

#[test]
fn a_member_that_is_not_there_is_told_with_the_right_name() {
    tells("result.desicion", "!7 the result of a `task` has no member `desicion` = did you mean `decision`?");
    tells("result.reason", "!7 the result of a `task` has no member `reason` = did you mean `result.form.reason`?");
    tells("result.id", "!7 the result of a `task` has no member `id` = its members are `decision` and `form`");
    tells("result.form.reson", "?12 `result.form` does not declare `reson` = did you mean `reason`?");
    tells("result[\"desicion\"]", "!8 the result of a `task` has no member `desicion` = did you mean `decision`?");
    tells("result.form.?reson", "?13 `result.form` does not declare `reson` = did you mean `reason`?");
    tells("has(result.form.reson)", "?16 `result.form` does not declare `reson` = did you mean `reason`?");
    tells("result.decision == \"OK\"", "!19 the task has no decision `OK` = did you mean `ok`?");
    tells("result.decision == 'later'", "!19 the task has no decision `later` = its decisions are `bad` and `ok`");
    tells("status == \"opne\"", "?10 `status == \"opne\"` is never true = did you mean `open`?");
    tells("status in [\"new\"]", "?10 `status in [\"new\"]` is never true = the value is one of `closed` and `open`");
    tells("tags.length", "!0 `tags.length` needs a map, but `tags` is a list = write `size(tags)`");
    tells("lines[0].prize", "!9 `lines[0]` has no member `prize` = did you mean `price`?");
    tells("lines.map(l, l.skuu)", "!15 `l` has no member `skuu` = did you mean `sku`?");
    tells("gone.x", "!0 `gone` is always null here, so `gone.x` fails");
}

#[test]
fn a_function_gets_what_it_takes() {
    tells("size(amount)", "!5 `size` needs a string, bytes, a list or a map, but `amount` is a number");
    tells(
        "amount.contains('1')",
        "!0 `contains` needs a string, but `amount` is a number = convert it: `string(amount)`",
    );
    tells("timestamp(true)", "!10 `timestamp` needs a number, a string or a timestamp, but `true` is a boolean");
    tells("name.getHours()", "!0 `getHours` needs a timestamp or a duration, but `name` is a string");
    tells(
        "note.trim()",
        "?0 `note` can be null, and then `note.trim()` fails = write `coalesce(note, \"\")`, with the value to use in place of null",
    );
}

#[test]
fn a_null_that_is_not_handled_is_told_once() {
    tells(
        "count > 5",
        "?0 `count` can be null, and then `count > 5` fails = write `count != null && count > 5`, or `coalesce(count, 0)` for its value",
    );
    tells(
        "input.count > 5 && input.count < 9",
        "?0 `input.count` can be null, and then `input.count > 5` fails = write `input.count != null && input.count > 5`, or `coalesce(input.count, 0)` for its value",
    );
    tells(
        "amount + count",
        "?9 `count` can be null, and then `amount + count` fails = write `coalesce(count, 0)`, with the value to use in place of null",
    );
    tells(
        "result.form.level * 2",
        "?0 `result.form.level` can be null, and then `result.form.level * 2` fails = write `coalesce(result.form.level, 0)`, with the value to use in place of null",
    );
    tells(
        "lines.map(l, l.price * 2)",
        "?13 `l.price` can be null, and then `l.price * 2` fails = write `coalesce(l.price, 0)`, with the value to use in place of null",
    );
    tells("count != null || count > 5", "!17 `count` is always null here, so `count > 5` fails");
}

/// Everything that handles a null, or says nothing certain.
#[test]
fn what_is_handled_or_unknown_is_not_told() {
    for source in [
        "count != null && count > 5",
        "count > 5 && count != null",
        "count == null || count > 5",
        "!(count == null) && count > 5",
        "count != null && (ready || count > 5)",
        "null != count ? count + 1 : 0",
        "count == null ? 0 : count + 1",
        "type(count) == int && count > 5",
        "type(count) != null_type ? count + 1 : 0",
        "input.count != null && count > 5",
        "count != null && input.count > 5",
        "coalesce(count, 0) + 1",
        "coalesce(note, name) + '!'",
        "input.?count.orValue(0) + 1",
        "optional.of(count).orValue(0) > 1",
        "input.?note.optMap(n, n + '!').orValue('')",
        "has(result.form.level) && result.form.level > 1",
        "'level' in result.form && result.form.level > 1",
        "result.form.?level.hasValue() && result.form.level > 1",
        "result.form.?extra.orValue(1) + 1",
        "has(result.form.extra) && result.form.extra > 1",
        "count == 5 && count > 1",
        "note in ['a', 'b'] ? note + '!' : ''",
        "lines.filter(l, l.price != null).map(l, l.price + 1)",
        "lines.filter(l, l.price != null && l.price > 1).sortBy(l, l.sku).first().?sku",
        "lines.map(l, l.price != null, l.price + 1)",
        "lines.all(l, l.price == null || l.price > 1)",
        "cel.bind(c, count, c == null ? 0 : c + 1)",
        "unset + 1",
        "any.anything.at.all + 1 > any[0]",
        "dyn(amount) == '100'",
        "type(amount) == string && amount == '100'",
        "amount == 1 || amount == 2.5",
        "amount == 1u",
        "amount == null",
        "gone == 'x'",
        "note == 'x'",
        "count in [1, 2, null]",
        "name == status",
        "[1, 'a'][0] + 1",
        "[1, 'a'].filter(i, i == 'x')",
        "[].map(i, i + 'x')",
        "{'a': 1}.a + 1",
        "{name: 1}.anything",
        "string(amount) + name",
        "'a' + (ready ? name : 'x')",
        "now - timestamp('2026-01-01T00:00:00Z') > duration('1h')",
        "tags.map(t, t + '!').join(',').size() > 0",
        "lines.map(l, {'sku': l.sku}).sortBy(m, m.sku)[0].sku + '!'",
        "result.decision == 'ok' && result.form.reason == null",
        "result.form.reason",
        "google.protobuf.Timestamp == type(now)",
        "json.decode(name).a + 1",
        "tags + ['x'] == []",
    ] {
        assert_eq!(told(source, Purpose::Value), [""; 0], "{source}");
    }
}

#[test]
fn a_fact_from_outside_holds_inside() {
    let facts = follows("count != null && has(result.form.level)", When::Holds);
    let (_, found) = infer("count + result.form.level", Purpose::Value, &table(), &facts, &mut Work::new());
    assert_eq!(found, []);
    let facts = follows("count == null", When::Not);
    assert_eq!(infer("count + 1", Purpose::Value, &table(), &facts, &mut Work::new()).1, []);
    assert_eq!(tested("ready || (count == null && amount > 1)"), [["count"]]);
}

#[test]
fn the_work_and_the_size_of_types_are_bounded() {
    let mut work = Work::new();
    work.spend(Work::MAX - 30);
    assert_eq!(infer("amount > 'x'", Purpose::Value, &table(), &[], &mut work).1.len(), 1);
    assert_eq!(infer("amount > 'x'", Purpose::Value, &table(), &[], &mut work).1, []);
    assert!(work.is_over());

    let mut deep = text();
    for _ in 0..100 {
        deep = Type::list(deep);
    }
    assert_eq!(deep.kinds(), Kinds::LIST);
    let mut grown = Type::map(Shape::closed([("a", text())]));
    for _ in 0..30 {
        grown = Type::map(Shape::closed([("a", grown.clone()), ("b", grown.clone())]));
        assert!(grown.weight() <= 2 * WEIGHT_MAX + 1);
    }
    let wide: Vec<Value> = (0..5_000).map(|at| json!({ format!("m{at}"): at })).collect();
    assert_eq!(Type::of_value(&json!(wide)), Type::of(Kinds::LIST));
}

/// The kinds of which a stored value can be.
fn of_json(value: &Value) -> Kinds {
    match value {
        Value::Null => Kinds::ABSENT,
        Value::Bool(_) => Kinds::BOOL,
        Value::Number(_) => Kinds::NUMBER,
        Value::String(_) => Kinds::TEXT,
        Value::Array(_) => Kinds::LIST,
        Value::Object(_) => Kinds::MAP,
    }
}

/// Infers and evaluates, and compares. Parts that are not always evaluated may be wrong without a failure.
fn compare(source: &str, variables: &Map<String, Value>) -> Result<(), String> {
    let mut known = Table::default();
    known.types.insert("now".into(), Type::of(Kinds::TIME));
    known.types.extend(variables.iter().map(|(name, value)| (name.clone(), Type::of_value(value))));
    let Ok(expression) = Expression::parse(source) else { return Ok(()) };
    let (is, found) = infer(source, Purpose::Value, &known, &[], &mut Work::new());
    let input = Map::new();
    let (now, budget) = (Timestamp::UNIX_EPOCH, StepBudget::whole());
    let scope = Scope { variables, input: &input, now, reserved: vec![], budget: &budget };
    let Ok(value) = expression.evaluate(&scope) else { return Ok(()) };
    let empties = ["orValue", ".or(", "optMap", "optFlatMap"].iter().any(|name| source.contains(name));
    let kinds = is.stored().kinds().or(if empties { Kinds::ABSENT } else { Kinds::NONE });
    if !kinds.has(of_json(&value)) {
        return Err(format!("{source} is {value}, not {is:?}"));
    }
    let lazy = ["&&", "||", "?", "v,", ".or"].iter().any(|part| source.contains(part));
    match found.iter().find(|finding| finding.certainty == Certainty::Fails) {
        Some(finding) if !lazy => Err(format!("{source} is {value}, but: {finding:?}")),
        Some(_) | None => Ok(()),
    }
}

/// A value of every kind.
const SAMPLES: [&str; 14] = [
    "null",
    "true",
    "3",
    "2u",
    "1.5",
    "'abc'",
    "'2026-01-01T00:00:00Z'",
    "b'abc'",
    "[3, 1]",
    "['b', 'a']",
    "{'a': 1}",
    "now",
    "duration('90s')",
    "type(1)",
];

#[test]
fn every_operator_gives_what_was_promised() {
    for left in SAMPLES {
        for right in SAMPLES {
            for sign in ["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in"] {
                compare(&format!("{left} {sign} {right}"), &Map::new()).unwrap();
            }
            compare(&format!("[{left}, {right}][0]"), &Map::new()).unwrap();
            compare(&format!("{{'a': {left}, 'b': {right}}}.a"), &Map::new()).unwrap();
        }
        compare(&format!("-({left})"), &Map::new()).unwrap();
        compare(&format!("({left}).a"), &Map::new()).unwrap();
        compare(&format!("({left}).?a"), &Map::new()).unwrap();
        compare(&format!("({left})[0]"), &Map::new()).unwrap();
    }
}

#[test]
fn every_function_takes_and_gives_what_was_promised() {
    let mut tried = 0;
    for form in [Form::Global, Form::Method] {
        for name in functions::names(form) {
            for count in 1..=3 {
                for at in 0..SAMPLES.len().pow(count) {
                    let args: Vec<&str> =
                        (0..count).map(|place| SAMPLES[at / SAMPLES.len().pow(place) % SAMPLES.len()]).collect();
                    let source = match form {
                        Form::Global => format!("{name}({})", args.join(", ")),
                        Form::Method => format!("({}).{name}({})", args[0], args[1..].join(", ")),
                    };
                    tried += 1;
                    compare(&source, &Map::new()).unwrap();
                }
                // Most functions take fewer arguments: then no call of this form can be read.
                if Expression::parse(&match form {
                    Form::Global => format!("{name}({})", vec!["any"; count as usize + 1].join(", ")),
                    Form::Method => format!("any.{name}({})", vec!["any"; count as usize].join(", ")),
                })
                .is_err()
                {
                    break;
                }
            }
        }
    }
    assert!(tried > 10_000, "{tried}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 1_000 } else { 200_000 }))]

    #[test]
    fn what_is_reported_fails_and_what_comes_out_was_promised(v in json_value(), w in json_value(), source in source()) {
        let variables: Map<String, Value> = [("v".to_owned(), v), ("w".to_owned(), w)].into_iter().collect();
        prop_assert_eq!(compare(&source, &variables), Ok(()));
    }

    #[test]
    fn any_source_can_be_looked_at(source in "[a-c0-9 .?\\[\\](){}'\"rbä\\\\+*/%<>=!&|,:$\n`_-]{0,120}") {
        for finding in findings(&source, Purpose::Condition) {
            prop_assert!(source.is_char_boundary(finding.at), "{finding:?}");
        }
    }

    #[test]
    fn a_join_has_the_kinds_of_both(v in json_value(), w in json_value()) {
        let (one, other) = (Type::of_value(&v), Type::of_value(&w));
        let joined = one.join(&other);
        prop_assert!(one.kinds().or(other.kinds()).within(joined.kinds().or(Kinds::NULL)));
        prop_assert_eq!(joined.join(&one).kinds(), joined.kinds());
        prop_assert_eq!(one.join(&one).kinds(), one.kinds());
    }
}
