//! Conditions, templates and data.

use serde_json::json;

use super::with_scope;
use crate::expression::{Data, Expression, Template};

#[test]
fn a_condition_must_be_a_boolean() {
    with_scope(|scope| {
        assert_eq!(Expression::parse("n > 4").unwrap().holds(scope), Ok(true));
        let error = Expression::parse("secret").unwrap().holds(scope).unwrap_err();
        assert_eq!(error.message, "`secret`: a condition must be a boolean, not a string (reads secret)");
    });
}

#[test]
fn a_template_is_a_value_alone_and_a_string_among_text() {
    for (text, expected) in [
        ("plain", json!("plain")),
        ("", json!("")),
        ("${ n + 1 }", json!(6)),
        ("${list}", json!([3, 1, 2])),
        ("Hello ${ name }!", json!("Hello Ada!")),
        ("${name}${n}", json!("Ada5")),
        (" ${ n }", json!(" 5")),
        ("<${ empty }${ person.?died }>", json!("<>")),
        ("${ whole } and ${ x } and ${ yes }", json!("4 and 2.5 and true")),
        ("is ${ list } ${ person.born }", json!("is [3,1,2] {\"year\":1815}")),
        ("at ${ now } for ${ duration('90m') }", json!("at 2026-03-01T10:00:00Z for 1h30m")),
        ("$${ n } costs $5 and $$", json!("${ n } costs $5 and $$")),
        ("${ {'a': {'b': n}}.a.b }", json!(5)),
        ("${ '}' + \"}\" + '\\'}' }", json!("}}'}")),
        ("${ r'\\' + '}' }", json!("\\}")),
        ("${ '''a'}'b''' }.", json!("a'}'b.")),
        ("${ n // } in a comment\n }", json!(5)),
        ("a } b", json!("a } b")),
        ("ä${ 'ö}' }ü", json!("äö}ü")),
    ] {
        let template = Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        with_scope(|scope| assert_eq!(template.evaluate(scope), Ok(expected), "{text}"));
    }
    for text in ["${", "a ${ b", "${ '}' ", "${}", "${ a b }", "${ {'a': 1 }"] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
    let template = Template::parse("${ b } and ${ a + b }").unwrap();
    assert_eq!(template.names(), ["a", "b"]);
    assert_eq!(template.literal(), None);
    assert_eq!(Template::parse("a $${ b").unwrap().literal(), Some("a ${ b"));
    with_scope(|scope| assert_eq!(Template::parse("${ n }").unwrap().text(scope), Ok("5".into())));
}

#[test]
fn data_is_evaluated_at_every_depth() {
    let data = Data::Map(vec![
        ("fixed".into(), Data::Literal(json!([1]))),
        ("list".into(), Data::List(vec![Data::Expression(Expression::parse("n").unwrap())])),
        ("text".into(), Data::Template(Template::parse("Hello ${ name }").unwrap())),
    ]);
    with_scope(|scope| {
        assert_eq!(data.evaluate(scope), Ok(json!({"fixed": [1], "list": [5], "text": "Hello Ada"})));
    });
    assert_eq!(data.names(), ["n", "name"]);
}

#[test]
fn an_expression_can_be_shared_between_threads() {
    fn is_shared<T: Send + Sync + Clone + std::fmt::Debug>() {}
    is_shared::<Expression>();
    is_shared::<Template>();
    is_shared::<Data>();
}
