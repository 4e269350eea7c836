//! The words and signs of an expression, read so leniently that expressions of other languages have them too.

use super::template::end_of_string;

/// Signs of more than one character, the longest first; those of other languages too.
const SIGNS: [&str; 14] = ["===", "!==", "==", "!=", "<>", "<=", ">=", "&&", "||", "??", "?.", ".?", "=>", "?:"];

/// One word, number, text or sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: String,
    /// The byte at which it begins.
    pub(super) at: usize,
    /// White space stands before it.
    pub(super) spaced: bool,
}

/// The kind of a [`Token`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Number,
    /// A string of CEL in its quotes.
    Text,
    /// A text with places for values: `f"…{x}"` of Python, or one in backticks.
    Filled,
    Sign,
}

impl Token {
    pub(super) fn new(kind: Kind, text: &str, like: &Token) -> Self {
        Token { kind, text: text.to_owned(), at: like.at, spaced: like.spaced }
    }

    /// Whether it is this word or sign.
    pub(super) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Sign) && self.text == text
    }

    pub(super) fn is_word(&self) -> bool {
        self.kind == Kind::Word
    }

    /// Whether a value can end here: the next word cannot belong to it.
    pub(super) fn ends_value(&self) -> bool {
        self.kind != Kind::Sign || matches!(self.text.as_str(), ")" | "]" | "}")
    }
}

/// The tokens of an expression; comments are left out.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut spaced = false;
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
            spaced = true;
            continue;
        }
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let (kind, length) = token(source, at, first);
        tokens.push(Token { kind, text: source[at..at + length].to_owned(), at, spaced });
        at += length;
        spaced = false;
    }
    tokens
}

/// The kind and the length of the token that begins with `first`.
fn token(source: &str, at: usize, first: char) -> (Kind, usize) {
    let rest = &source[at..];
    let while_true = |holds: fn(char) -> bool| rest.find(|c| !holds(c)).unwrap_or(rest.len());
    let quoted = |quote: usize| end_of_string(source, at + quote).map_or(rest.len(), |end| end - at);
    match first {
        '"' | '\'' => (Kind::Text, quoted(0)),
        '`' => (Kind::Filled, rest[1..].find('`').map_or(rest.len(), |end| end + 2)),
        first if first.is_alphabetic() || first == '_' => {
            let length = while_true(|c| c.is_alphanumeric() || c == '_');
            let word = rest[..length].to_ascii_lowercase();
            match rest[length..].starts_with(['"', '\'']) {
                true if matches!(word.as_str(), "r" | "b" | "rb" | "br") => (Kind::Text, quoted(length)),
                true if matches!(word.as_str(), "f" | "fr" | "rf") => (Kind::Filled, quoted(length)),
                _ => (Kind::Word, length),
            }
        }
        first if first.is_ascii_digit() => (Kind::Number, while_true(|c| c.is_alphanumeric() || c == '.')),
        first => {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            (Kind::Sign, sign.map_or(first.len_utf8(), str::len))
        }
    }
}

/// The text of tokens, with a blank wherever one stood.
pub(super) fn joined(tokens: &[Token]) -> String {
    let mut text = String::new();
    for token in tokens {
        if token.spaced && !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&token.text);
    }
    text
}

/// Where an expression reads `name` from the scope.
pub(super) fn place_of_name(source: &str, name: &str) -> Option<usize> {
    let tokens = tokens(source);
    let free = |number: &usize| {
        let before = number.checked_sub(1).and_then(|before| tokens.get(before));
        let called = tokens.get(number + 1).is_some_and(|next| next.is("("));
        !called && !before.is_some_and(|before| before.is(".") || before.is(".?"))
    };
    let at = |number: usize| tokens[number].at;
    (0..tokens.len()).filter(|number| tokens[*number].is(name)).find(free).map(at)
}

/// Where an expression calls the function `name`.
pub(super) fn place_of_call(source: &str, name: &str) -> Option<usize> {
    let name = name.rsplit('.').next().unwrap_or(name);
    let tokens = tokens(source);
    tokens.windows(2).find(|pair| pair[0].is(name) && pair[1].is("(")).map(|pair| pair[0].at)
}

/// The members of `of` that an expression reads by a fixed name: `env.NAME` and `env["NAME"]`, but not `env.?NAME`.
pub(super) fn members_read(source: &str, of: &str) -> Vec<String> {
    let tokens = tokens(source);
    let mut names = Vec::new();
    for number in (0..tokens.len()).filter(|number| tokens[*number].is(of)) {
        let before = number.checked_sub(1).and_then(|before| tokens.get(before));
        let rest = tokens.get(number + 1..).unwrap_or_default();
        let name = match rest {
            _ if before.is_some_and(|before| before.is(".") || before.is(".?")) => None,
            [dot, name, ..] if dot.is(".") && name.is_word() => Some(name.text.clone()),
            [open, name, close, ..] if open.is("[") && close.is("]") && name.kind == Kind::Text => {
                Some(name.text.trim_matches(['"', '\'']).to_owned())
            }
            _ => None,
        };
        names.extend(name);
    }
    names.sort();
    names.dedup();
    names
}

/// Each `name.length` that is not a call: the name, and where `length` stands.
pub(super) fn lengths_read(source: &str) -> Vec<(String, usize)> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for (number, three) in tokens.windows(3).enumerate() {
        let [name, dot, length] = three else { continue };
        let member = number.checked_sub(1).is_some_and(|before| tokens[before].is(".") || tokens[before].is(".?"));
        let called = tokens.get(number + 3).is_some_and(|next| next.is("("));
        if name.is_word() && dot.is(".") && length.is("length") && !member && !called {
            found.push((name.text.clone(), length.at));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn an_expression_of_any_language_is_split() {
        assert_eq!(texts("a === 'x y' && b.?c ?? 1.5"), ["a", "===", "'x y'", "&&", "b", ".?", "c", "??", "1.5"]);
        assert_eq!(texts("f\"a {b}\" + `c ${ d }`"), ["f\"a {b}\"", "+", "`c ${ d }`"]);
        assert_eq!(texts("r'\\' + x // comment"), ["r'\\'", "+", "x"]);
        assert_eq!(texts("'open"), ["'open"]);
        assert_eq!(texts("größe > 5é"), ["größe", ">", "5é"]);
    }

    #[test]
    fn the_blanks_between_tokens_are_kept() {
        for source in ["a + b", "f(a, -b)", "a.b[0]", "{\"a\": 1}"] {
            assert_eq!(joined(&tokens(source)), source);
        }
    }

    #[test]
    fn the_place_of_a_name_is_found_outside_of_members_and_texts() {
        assert_eq!(place_of_name("'n' + o.n + n", "n"), Some(12));
        assert_eq!(place_of_name("n(1) + o.?n", "n"), None);
        assert_eq!(place_of_call("size + size(x)", "size"), Some(7));
        assert_eq!(place_of_call("math.abs(x)", "math.abs"), Some(5));
    }

    #[test]
    fn only_members_with_fixed_names_are_read() {
        assert_eq!(members_read("env.A + env['B'] + env.?C + x.env.D + env[name]", "env"), ["A", "B"]);
    }
}
