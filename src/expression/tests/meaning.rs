//! Tables of expressions and their values.

use serde_json::json;

use super::{check, check_errors};
use crate::expression::Expression;

#[test]
fn arithmetic_mixes_ints_and_doubles() {
    check(&[
        ("n + 1", json!(6)),
        ("n / 2", json!(2)),
        ("-n / 2", json!(-2)),
        ("n % 3", json!(2)),
        ("n * 2.0", json!(10.0)),
        ("n / 2.0", json!(2.5)),
        ("x + n", json!(7.5)),
        ("1 - x", json!(-1.5)),
        ("whole + 1", json!(5.0)),
        ("-x", json!(-2.5)),
        ("2 + 3 * 4 - 1", json!(13)),
        ("(2 + 3) * 4", json!(20)),
        ("unsigned > 1", json!(true)),
        ("unsigned * 0", json!(0.0)),
        ("amount", json!(7)),
        ("input.amount", json!(100)),
        ("5u + 1", json!(6)),
    ]);
    check_errors(&[
        ("big + 1", "does not fit into 64 bits"),
        ("n / 0", "division by zero"),
        ("x / 0", "division by zero"),
        ("n % 0", "division by zero"),
        ("1e308 * 10.0", "not a finite number"),
        ("-(-9223372036854775807 - 1)", "64 bits"),
        ("empty + 1", "`+` does not work with null and an int"),
        ("name + 1", "string(…)"),
        ("secret * 2", "`*` does not work with a string and an int"),
    ]);
}

#[test]
fn comparison_works_across_ints_and_doubles() {
    check(&[
        ("n > 4.9", json!(true)),
        ("whole == 4", json!(true)),
        ("4 == whole", json!(true)),
        ("big < 9223372036854775808.0", json!(true)),
        ("9007199254740993 > 9007199254740992.0", json!(true)),
        ("name < 'Bob'", json!(true)),
        ("name == 1", json!(false)),
        ("empty == null", json!(true)),
        ("name != null", json!(true)),
        ("[1, 2.0] == [1.0, 2]", json!(true)),
        ("{'a': 1} == {'a': 1.0}", json!(true)),
        ("{'a': 1} == {'b': 1}", json!(false)),
        ("2 in list", json!(true)),
        ("'name' in person", json!(true)),
        ("'x' in person", json!(false)),
    ]);
    check_errors(&[("name < 1", "`<` does not work"), ("now < due", "timestamp(…)"), ("list < list", "`<`")]);
}

#[test]
fn one_side_can_decide_logic_even_if_the_other_fails() {
    check(&[
        ("yes && !no", json!(true)),
        ("no && missing", json!(false)),
        ("missing || yes", json!(true)),
        ("yes ? 'a' : missing", json!("a")),
        ("list.exists(e, e > 2)", json!(true)),
        ("list.all(e, e > 2)", json!(false)),
        ("list.exists_one(e, e == 2)", json!(true)),
        ("[1, 'a'].exists(e, e + 1 == 2)", json!(true)),
    ]);
    check_errors(&[
        ("yes && missing", "`missing` is not available here"),
        ("n && yes", "`&&` needs a boolean, not an int"),
        ("name ? 1 : 2", "`?:` needs a boolean"),
        ("!n", "`!` needs a boolean"),
        ("list.all(e, e + 'a' == 'b')", "`+`"),
    ]);
}

#[test]
fn a_missing_member_is_an_error_without_a_question_mark() {
    check(&[
        ("person.born.year", json!(1815)),
        ("person.?born.year", json!(1815)),
        ("person.?died.year", json!(null)),
        ("person.?died", json!(null)),
        ("person[?'died']", json!(null)),
        ("list[?7]", json!(null)),
        ("list[?0]", json!(3)),
        ("empty.?name", json!(null)),
        ("person.?died.orValue('alive')", json!("alive")),
        ("person.?name.orValue('nobody')", json!("Ada")),
        ("person.?died.hasValue()", json!(false)),
        ("person.?note.hasValue()", json!(true)),
        ("person.?died == null", json!(true)),
        ("has(person.name)", json!(true)),
        ("has(person.died)", json!(false)),
        ("has(empty.name)", json!(false)),
        ("optional", json!(null)),
        ("[1, ?person.?died]", json!([1])),
        ("{?'a': person.?died, 'b': 1}", json!({"b": 1})),
        ("[].first()", json!(null)),
        ("[].first().name", json!(null)),
        ("orders.first().id", json!("a")),
        ("optional.none()", json!(null)),
        ("optional.of(5)", json!(5)),
    ]);
    check_errors(&[
        ("person.died", "no member `died`"),
        ("person['died']", "does not have this key"),
        ("empty.name", "`.name` needs a map, not null"),
        ("list[7]", "no element at this position"),
        ("nobody", "`nobody` is not available here (reads nobody)"),
        ("person[secret]", "does not have this key (reads person, secret)"),
        ("person.?died + 1", "empty"),
        ("secret.x", "`.x` needs a map, not a string"),
    ]);
}

#[test]
fn names_are_resolved_in_order() {
    check(&[
        ("input[\"detail-type\"]", json!("order")),
        ("input.`detail-type`", json!("order")),
        ("type", json!("card")),
        ("type(n) == int", json!(true)),
        ("type(name) == string", json!(true)),
        ("result.status", json!(200)),
        ("instance.id", json!("i-1")),
        ("string(now)", json!("2026-03-01T10:00:00Z")),
    ]);
    let names = |source: &str| Expression::parse(source).unwrap().names().to_vec();
    assert_eq!(names("b + a.c + size(d) + [1].map(e, e + f)[0] + math.abs(g)"), ["a", "b", "d", "f", "g"]);
    assert_eq!(names("list.map(list, list)"), ["list"]);
    assert_eq!(names("type + 'x'"), ["type"]);
    assert_eq!(names("type(a) == list"), ["a"]);
    assert!(names("1 + 2").is_empty());
}

#[test]
fn functions_on_strings() {
    check(&[
        ("name + '!'", json!("Ada!")),
        ("'a,b,c'.split(',')", json!(["a", "b", "c"])),
        ("'a,b,c'.split(',', 2)", json!(["a", "b,c"])),
        ("'aä'.split('')", json!(["a", "ä"])),
        ("words.join('-')", json!("b-a-b")),
        ("'aXbX'.replace('X', '')", json!("ab")),
        ("'aXbX'.replace('X', 'y', 1)", json!("aybX")),
        ("'tacocät'.substring(4)", json!("cät")),
        ("'tacocät'.substring(5, 6)", json!("ä")),
        ("'ää.b'.indexOf('b')", json!(3)),
        ("'ab'.indexOf('x')", json!(-1)),
        ("'abab'.lastIndexOf('ab')", json!(2)),
        ("'  a '.trim()", json!("a")),
        ("'aÄ'.lowerAscii() + 'bä'.upperAscii()", json!("aÄBä")),
        ("'abc'.charAt(1)", json!("b")),
        ("'abc'.reverse()", json!("cba")),
        ("size('ää') + 'abc'.size() + size(list) + size(person)", json!(11)),
        ("name.startsWith('A') && name.endsWith('a') && name.contains('d')", json!(true)),
        ("name.matches('^A[a-z]+$')", json!(true)),
        ("name.matches(name)", json!(true)),
        ("string(5.0) + string(2.5) + string(n) + string(yes)", json!("52.55true")),
        ("string(person.born)", json!("{\"year\":1815}")),
        ("int('42') + int(3.9)", json!(45)),
        ("double('1.5')", json!(1.5)),
        ("bool('true')", json!(true)),
    ]);
    check_errors(&[
        ("'abc'.substring(2, 1)", "`substring`"),
        ("'abc'.substring(9)", "does not have this position"),
        ("int(secret)", "the string is not a whole number"),
        ("double('NaN')", "not a finite number"),
        ("name.matches(secret + '(')", "not a valid regular expression"),
    ]);
}

#[test]
fn functions_on_lists_maps_and_numbers() {
    check(&[
        ("list.sum()", json!(6)),
        ("[1, 2.5].sum()", json!(3.5)),
        ("[].sum()", json!(0)),
        ("list.sort()", json!([1, 2, 3])),
        ("words.distinct()", json!(["b", "a"])),
        ("nested.flatten()", json!([1, 2, [3]])),
        ("nested.flatten(2)", json!([1, 2, 3])),
        ("lists.range(3)", json!([0, 1, 2])),
        ("list.last()", json!(2)),
        ("list.min() + list.max()", json!(4)),
        ("[1, 2, 3, 4, 5].chunk(2)", json!([[1, 2], [3, 4], [5]])),
        ("list.slice(1, 3)", json!([1, 2])),
        ("orders.map(o, o.sum).sum()", json!(35.5)),
        ("orders.filter(o, o.sum > 20).map(o, o.id)", json!(["b"])),
        ("orders.map(o, o.sum > 20, o.id)", json!(["b"])),
        ("person.born.map(k, k)", json!(["year"])),
        ("{'a': 1}.merge({'b': n})", json!({"a": 1, "b": 5})),
        ("list + [4]", json!([3, 1, 2, 4])),
        ("math.greatest(1, 2.5, n)", json!(5)),
        ("math.least([3, 1.5])", json!(1.5)),
        ("math.abs(-3) + math.abs(-1.5)", json!(4.5)),
        ("[math.ceil(1.2), math.floor(-1.2), math.round(2.5)]", json!([2.0, -2.0, 3.0])),
        ("[1, n, [2]]", json!([1, 5, [2]])),
    ]);
    check_errors(&[
        ("[1, 'a'].sort()", "cannot be ordered"),
        ("['a'].sum()", "numbers"),
        ("{'a': 1, 'a': 2}", "duplicate"),
    ]);
}

#[test]
fn functions_encode_and_decode() {
    check(&[
        ("json.encode(person.born)", json!("{\"year\":1815}")),
        ("json.decode('[1, 2.5, {\"a\": null}]')", json!([1, 2.5, {"a": null}])),
        ("base64.encode(name)", json!("QWRh")),
        ("string(base64.decode('QWRh'))", json!("Ada")),
        ("b'Ada'", json!("QWRh")),
        ("url.encode('a b/ä?')", json!("a%20b%2F%C3%A4%3F")),
        ("hash.sha256('')", json!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")),
        ("uuid5('a') == uuid5('a') && uuid5('a') != uuid5('b')", json!(true)),
    ]);
    check_errors(&[
        ("json.decode(secret)", "the string is not valid JSON"),
        ("base64.decode('!')", "not valid base64"),
    ]);
}

#[test]
fn timestamps_and_durations_can_be_added_subtracted_and_compared() {
    check(&[
        ("now", json!("2026-03-01T10:00:00Z")),
        ("now + duration('2h')", json!("2026-03-01T12:00:00Z")),
        ("now + duration('3d') - duration('1h30m')", json!("2026-03-04T08:30:00Z")),
        ("timestamp(due) - now", json!("2h")),
        ("now - timestamp(due)", json!("-2h")),
        ("timestamp(due) > now", json!(true)),
        ("duration('90m') == duration('1h30m')", json!(true)),
        ("duration('-90m')", json!("-1h30m")),
        ("now.getFullYear() * 100 + now.getMonth()", json!(202_602)),
        ("[now.getDate(), now.getHours(), now.getDayOfWeek()]", json!([1, 10, 0])),
        ("duration('90m').getHours()", json!(1)),
        ("int(timestamp(0))", json!(0)),
    ]);
    check_errors(&[
        ("timestamp(secret)", "the string is not a timestamp"),
        ("duration(secret)", "the string is not a duration"),
        ("now + 5", "duration(…)"),
        ("now + duration('90w') * 2", "`*`"),
        ("timestamp(99999999999999)", "out of range"),
    ]);
}
