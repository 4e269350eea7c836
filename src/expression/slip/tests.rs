//! What is told of expressions in the manner of other languages.

use super::*;

/// The message without the expression, and the expression that was probably meant.
fn told(source: &str, around: Around) -> (String, Option<String>) {
    let known =
        |name: &str| ["amount", "paid", "status", "order_id", "tags", "order", "count", "x", "y"].contains(&name);
    let slip = slip(source, around, &known).unwrap_or_else(|| panic!("nothing is told of {source}"));
    if let Some(meant) = &slip.meant {
        assert!(Expression::parse(meant).is_ok(), "{source}: {meant}");
    }
    let message = slip.message.strip_prefix(&format!("`{source}`: write ")).unwrap_or(&slip.message).to_owned();
    (message, slip.meant.or(slip.text))
}

#[track_caller]
fn becomes(table: &[(&str, &str, &str)]) {
    for (source, message, meant) in table {
        let (told, told_meant) = told(source, Around::Value);
        assert_eq!((told.as_str(), told_meant.as_deref()), (*message, Some(*meant)), "{source}");
    }
}

#[test]
fn operators_of_other_languages_are_replaced() {
    becomes(&[
        (
            "amount > 5 and paid or status == 'x'",
            "`&&` for `and`, `||` for `or`",
            "amount > 5 && paid || status == 'x'",
        ),
        ("amount > 5 AND NOT paid", "`&&` for `AND`, `!paid` for `NOT paid`", "amount > 5 && !paid"),
        ("not paid", "`!paid` for `not paid`", "!paid"),
        ("not (paid)", "`!(paid)` for `not (paid)`", "!(paid)"),
        ("not amount > 5", "`!(amount > 5)` for `not amount > 5`", "!(amount > 5)"),
        ("not x and not y", "`!x` for `not x`, `&&` for `and`, `!y` for `not y`", "!x && !y"),
        ("'a' not in tags", "`!('a' in tags)` for `'a' not in tags`", "!('a' in tags)"),
        ("status = 'open'", "`==` for `=`", "status == 'open'"),
        ("status === 'open' && amount !== 3", "`==` for `===`, `!=` for `!==`", "status == 'open' && amount != 3"),
        ("amount <> 3", "`!=` for `<>`", "amount != 3"),
        ("'Order ' & order_id", "`+` for `&`", "'Order ' + order_id"),
        ("paid | x", "`||` for `|`", "paid || x"),
        ("order?.id", "`.?` for `?.`", "order.?id"),
        ("tags?.[0]", "`[?` for `?.[`", "tags[?0]"),
    ]);
}

#[test]
fn null_and_booleans_of_other_languages_are_replaced() {
    becomes(&[
        ("status == None", "`null` for `None`", "status == null"),
        ("count is null", "`== null` for `is null`", "count == null"),
        ("count IS NOT NULL", "`!= null` for `IS NOT NULL`", "count != null"),
        ("count is not None", "`!= null` for `is not None`", "count != null"),
        ("paid is True", "`== true` for `is True`", "paid == true"),
        ("paid == True || x == False", "`true` for `True`, `false` for `False`", "paid == true || x == false"),
        ("order.id is defined", "`has(order.id)` for `order.id is defined`", "has(order.id)"),
        ("count == undefined", "`null` for `undefined`", "count == null"),
    ]);
}

#[test]
fn functions_of_other_languages_are_replaced() {
    becomes(&[
        ("len(tags) > 1", "`size(tags)` for `len(tags)`", "size(tags) > 1"),
        ("upper(order_id)", "`order_id.upperAscii()` for `upper(order_id)`", "order_id.upperAscii()"),
        (
            "upper(order_id + 'a')",
            "`(order_id + 'a').upperAscii()` for `upper(order_id + 'a')`",
            "(order_id + 'a').upperAscii()",
        ),
        ("order_id.toUpperCase()", "`order_id.upperAscii()` for `order_id.toUpperCase()`", "order_id.upperAscii()"),
        (
            "order.id.strip().lower()",
            "`order.id.strip().lowerAscii()` for `order.id.strip().lower()`, `order.id.trim()` for `order.id.strip()`",
            "order.id.trim().lowerAscii()",
        ),
        ("tags.length() > 1", "`size(tags)` for `tags.length()`", "size(tags) > 1"),
        ("Math.max(amount, 3)", "`math.greatest(amount, 3)` for `Math.max(amount, 3)`", "math.greatest(amount, 3)"),
        ("JSON.stringify(order)", "`json.encode(order)` for `JSON.stringify(order)`", "json.encode(order)"),
        ("str(amount) + 'x'", "`string(amount)` for `str(amount)`", "string(amount) + 'x'"),
        ("new Date()", "`now` for `new Date()`", "now"),
        ("tags.push('a')", "`tags + ['a']` for `tags.push('a')`", "tags + ['a']"),
        ("tags.map(t => t.name)", "`t,` for `t =>`", "tags.map(t, t.name)"),
        ("tags.some((t) => t == 'a')", "`t,` for `(t) =>`", "tags.exists(t, t == 'a')"),
        ("order.get('id')", "`order[?'id']` for `order.get('id')`", "order[?'id']"),
        ("$uppercase(order_id)", "`order_id.upperAscii()` for `$uppercase(order_id)`", "order_id.upperAscii()"),
        ("$count(tags)", "`size(tags)` for `$count(tags)`", "size(tags)"),
        ("order_id | upper", "`order_id.upperAscii()` for `order_id | upper`", "order_id.upperAscii()"),
        ("order.id | trim | length", "`order.id.trim()` for `order.id | trim`", "size(order.id.trim())"),
    ]);
    becomes(&[
        ("exists(order.id)", "`has(order.id)` for `exists(order.id)`", "has(order.id)"),
        ("defined(count)", "`count != null` for `defined(count)`", "count != null"),
    ]);
}

#[test]
fn what_may_mean_two_things_is_told_with_both() {
    for (source, message) in [
        ("tags.includes('a')", "`tags.contains('a')` of a text, `'a' in tags` for `tags.includes('a')`"),
        ("contains(tags, 'a')", "`tags.contains('a')` of a text, `'a' in tags` for `contains(tags, 'a')`"),
        ("paid & x", "`+` of texts, `&&` for `&`"),
    ] {
        assert_eq!(told(source, Around::Value), (message.to_owned(), None), "{source}");
    }
}

#[test]
fn signs_of_other_languages_are_left_out() {
    becomes(&[
        ("{{ order_id }}", "`order_id` for `{{ order_id }}`", "order_id"),
        ("$.order_id", "`order_id` for `$.order_id`", "order_id"),
        ("$amount > 5", "`amount` for `$amount`", "amount > 5"),
        ("${ amount } > 5", "`amount` for `${ amount }`", "amount > 5"),
        ("#{order_id}", "`order_id` for `#{order_id}`", "order_id"),
        (
            "f\"Order {order_id}\"",
            "`\"Order \" + string(order_id)` for `f\"Order {order_id}\"`",
            "\"Order \" + string(order_id)",
        ),
        (
            "`Order ${order_id}!`",
            "`\"Order \" + string(order_id) + \"!\"` for ``Order ${order_id}!``",
            "\"Order \" + string(order_id) + \"!\"",
        ),
    ]);
    let braces = told("{ order_id }", Around::Braces);
    assert_eq!(braces, ("`${ order_id }` for `${{ order_id }}`".into(), Some("order_id".into())));
}

#[test]
fn choices_of_other_languages_are_replaced() {
    becomes(&[
        ("'a' if paid else 'b'", "`paid ? 'a' : 'b'` for `'a' if paid else 'b'`", "paid ? 'a' : 'b'"),
        ("if paid then 1 else 2", "`paid ? 1 : 2` for `if paid then 1 else 2`", "paid ? 1 : 2"),
        ("if (amount > 5) 1 else 2", "`amount > 5 ? 1 : 2` for `if (amount > 5) 1 else 2`", "amount > 5 ? 1 : 2"),
        ("x ?? y", "`coalesce(x, y)` for `x ?? y`", "coalesce(x, y)"),
        ("order?.id ?? 'none'", "`.?` for `?.`", "order.?id.orValue('none')"),
    ]);
}

#[test]
fn a_sentence_is_a_text() {
    for sentence in
        ["approved by the boss", "Order is late.", "Paid in 3 days, thanks", "don't ship it", "sent and approved"]
    {
        let (message, text) = told(sentence, Around::Value);
        assert_eq!(message, format!("`{sentence}` is read as an expression, not as a text"));
        assert_eq!(text.as_deref(), Some(sentence));
    }
    for around in [Around::Condition, Around::Value] {
        assert_eq!(told("paid and approvd", around).1.as_deref(), Some("paid && approvd"));
    }
}

#[test]
fn a_name_that_the_document_declares_is_a_name() {
    let known = |_: &str| true;
    assert_eq!(slip("and + None", Around::Value, &known), None);
    let nothing = |_: &str| false;
    for source in ["n + + 2", "n >", "", "(", "a } b", "1 2", "'open", "a b c ( d", "order_id | slug", "n & 1", "n | 0"]
    {
        assert_eq!(slip(source, Around::Condition, &nothing), None, "{source}");
    }
}
