//! Signs around and before names: `{{ x }}`, `${ x }`, `$x`, `$.x`.

use super::{Around, Draft};
use crate::expression::tokens::joined;

/// The whole expression in braces of its own.
pub(super) fn wrapped(draft: &mut Draft<'_>, around: Around) {
    let count = draft.tokens.len();
    let depth = match draft.tokens.as_slice() {
        [one, two, .., three, four] if one.is("{") && two.is("{") && three.is("}") && four.is("}") => 2,
        [one, .., two] if one.is("{") && two.is("}") => 1,
        _ => return,
    };
    let is_map = draft.end_of_operand(depth, &[":"]) < count - depth;
    if is_map || count <= 2 * depth {
        return;
    }
    let (written, inner) = (joined(&draft.tokens), joined(&draft.tokens[depth..count - depth]));
    let at = draft.tokens[0].at;
    match around {
        Around::Condition | Around::Value => draft.tell(at, &written, &inner),
        Around::Braces => draft.tell(at, &format!("${{{written}}}"), &format!("${{ {inner} }}")),
    }
    draft.tokens.truncate(count - depth);
    draft.tokens.drain(..depth);
}

/// Names with a sign before them, and expressions in `${ }` or `#{ }`.
pub(super) fn marked(draft: &mut Draft<'_>) {
    let mut at = 0;
    while at < draft.tokens.len() {
        if draft.is(at, "$") || draft.is(at, "#") || draft.is(at, "@") {
            mark(draft, at);
        }
        at += 1;
    }
}

fn mark(draft: &mut Draft<'_>, at: usize) {
    let Some(next) = draft.get(at + 1).filter(|next| !next.spaced) else { return };
    if next.is("{") {
        let Some(close) = draft.close(at + 1).filter(|close| *close > at + 2) else { return };
        let mut inner = draft.tokens[at + 2..close].to_vec();
        inner[0].spaced = draft.tokens[at].spaced;
        let alone = at == 0 && close + 1 == draft.tokens.len();
        if !alone && !draft.is_one_value(at + 2, close) {
            return;
        }
        draft.replace(at, close + 1, inner);
    } else if next.is(".") && draft.get(at + 2).is_some_and(|name| name.is_word()) {
        let mut name = draft.tokens[at + 2].clone();
        name.spaced = draft.tokens[at].spaced;
        draft.replace(at, at + 3, vec![name]);
    } else if next.is_word() && draft.is(at, "$") {
        let mut name = next.clone();
        name.spaced = draft.tokens[at].spaced;
        if draft.is(at + 2, "(") {
            // A function of JSONata; `functions` has another name for it.
            name.text.insert(0, '$');
            name.at = draft.tokens[at].at;
            draft.tokens.splice(at..at + 2, [name]);
        } else {
            draft.replace(at, at + 2, vec![name]);
        }
    }
}
