//! What filters mean, and how they are refused.

use proptest::prelude::*;

use super::*;

fn terms(text: &str) -> Vec<Term> {
    Filter::read(text).unwrap().terms().to_vec()
}

fn refused(text: &str) -> String {
    Filter::read(text).unwrap_err().to_string()
}

fn attribute(name: &str, test: Test) -> Term {
    Term::Attribute { name: name.into(), test }
}

#[test]
fn every_term_is_read() {
    let all = terms(
        "status:running,suspended definition:order key:PO-* queue:slow activity:ship incident:4f1c code:handler.busy started<1h",
    );
    let hour = Duration::from_secs(3_600);
    assert_eq!(
        all,
        [
            Term::Status(vec!["running".into(), "suspended".into()]),
            Term::Definition(vec!["order".into()]),
            Term::Key(Match::Prefix("PO-".into())),
            Term::Queue("slow".into()),
            Term::Activity("ship".into()),
            Term::Incident("4f1c".into()),
            Term::Code("handler.busy".into()),
            Term::Started(When::Within(hour)),
        ]
    );
    let day = "2026-01-31T00:00:00Z".parse().unwrap();
    assert_eq!(
        terms("started>1h started>=2026-01-31"),
        [Term::Started(When::Before(hour)), Term::Started(When::Than(Order::AtLeast, day))]
    );
    assert_eq!(terms("  "), []);
}

#[test]
fn the_value_of_an_attribute_says_its_type() {
    let day: Timestamp = "2026-01-31T00:00:00Z".parse().unwrap();
    let text = |text: &str| Test::Text(Match::Exact(text.into()));
    for (value, test) in [
        (":ACME", text("ACME")),
        ("=ACME", text("ACME")),
        (":\"two words\"", text("two words")),
        (r#":"a \"quoted\" \\ one""#, text(r#"a "quoted" \ one"#)),
        (":AC*", Test::Text(Match::Prefix("AC".into()))),
        (":\"AC ME\"*", Test::Text(Match::Prefix("AC ME".into()))),
        (":4711", Test::NumberOrText(4711.0, "4711".into())),
        (":\"4711\"", text("4711")),
        (":true", Test::BoolOrText(true, "true".into())),
        (":2026-01-31", Test::TimeOrText(day, "2026-01-31".into())),
        (":nan", text("nan")),
        (">1000", Test::Number(Order::Greater, 1000.0)),
        ("<=-0.5", Test::Number(Order::AtMost, -0.5)),
        (">=2026-01-31T00:00:00Z", Test::Time(Order::AtLeast, day)),
    ] {
        assert_eq!(terms(&format!("var.x{value}")), [attribute("x", test)], "{value}");
    }
}

#[test]
fn a_problem_names_its_place_and_what_to_write() {
    for (text, expected) in [
        ("status:runing", "at character 8 of the filter: `runing` is not a status"),
        ("key:A stat:running", "at character 7 of the filter: there is no field `stat`; the fields are id, status"),
        ("running", "at character 8 of the filter: `running` needs an operator and a value"),
        ("key:", "at character 5 of the filter: the value of `key` is missing"),
        ("key:*", "at character 5 of the filter: write at least one character"),
        ("key:a*b", "at character 7 of the filter: `*` stands at the end"),
        ("key:\"open", "at character 5 of the filter: the quotation mark is not closed"),
        ("key:\"a\\n\"", "at character 8 of the filter: write `\\\"` or `\\\\`"),
        ("key:\"a\"b", "at character 8 of the filter: a blank is missing"),
        ("key>7", "at character 4 of the filter: `key` is not ordered"),
        ("queue:s*", "at character 7 of the filter: `queue` takes whole values"),
        ("queue:a,b", "at character 9 of the filter: `queue` takes one value"),
        ("status:running status:failed", "at character 16 of the filter: `status` is there twice"),
        ("started:1h", "at character 8 of the filter: compare `started`"),
        ("started<soon", "at character 9 of the filter: `soon` is neither a duration"),
        ("var.>1", "at character 1 of the filter: name the search attribute"),
        ("var.name>abc", "at character 10 of the filter: `abc` is neither a number nor a time"),
        ("id:7", "at character 4 of the filter: `7` is not an id"),
        ("queue:slow activity:ship", "at character 1 of the filter: no index serves this term alone"),
        (":x", "at character 1 of the filter: expected a field"),
        ("key:a\u{0}b", "at character 6 of the filter: control characters"),
        ("é:1", "at character 1 of the filter: there is no field `é`"),
    ] {
        let told = refused(text);
        assert!(told.starts_with(expected), "{text}: {told}");
    }
}

#[test]
fn a_filter_is_bounded() {
    let many = |count: usize| vec!["var.a>1"; count].join(" ");
    assert_eq!(terms(&many(TERMS_MAX)).len(), TERMS_MAX);
    assert!(refused(&many(TERMS_MAX + 1)).contains("at most 20 terms"));
    let names = |count: usize| format!("definition:{}", vec!["a"; count].join(","));
    assert_eq!(terms(&names(ALTERNATIVES_MAX)).len(), 1);
    assert!(refused(&names(ALTERNATIVES_MAX + 1)).contains("at most 10 alternatives"));
    assert!(refused(&format!("key:{}", "k".repeat(256))).contains("255"));
    assert!(refused(&"x".repeat(FILTER_MAX + 1)).contains("2001 bytes"));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_fail_otherwise(text in "[a-z.:=<>\"\\\\*, 0-9é-]{0,60}") {
        if let Err(error) = Filter::read(&text) {
            prop_assert!(error.at >= 1 && error.at <= text.chars().count() + 1, "{} in `{}`", error, text);
        }
    }
}
