//! Parses the text of a statement far enough to find its parameters, whether it returns rows, and that it is one statement.

use super::{Param, Piece};

/// The commands a statement may begin with.
const VERBS: [&str; 7] = ["select", "insert", "update", "delete", "merge", "values", "table"];
/// The schema of Leveret.
const SCHEMA: &str = "leveret";
/// The functions of that schema that a statement may call.
const FUNCTIONS: [&str; 3] = ["start", "message", "broadcast"];

/// Splits the text at its parameters; true if it returns rows.
pub(super) fn read(sql: &str, params: &[Param], rows_max: usize) -> Result<(Vec<Piece>, bool), String> {
    let tokens = tokens(sql)?;
    let tokens = match tokens.split_last() {
        Some((last, before)) if last.is(sql, ";") => before,
        Some(_) | None => &tokens[..],
    };
    let main = main(sql, tokens)?;
    refuse(sql, tokens)?;
    check_used(sql, tokens, params)?;
    let returning = |token: &Token| token.start > main.start && token.depth == 0 && token.is(sql, "returning");
    let into = |token: &Token| token.start > main.start && token.depth == 0 && token.is(sql, "into");
    let reads = ["select", "values", "table"].iter().any(|verb| main.is(sql, verb));
    if reads && tokens.iter().any(into) {
        return Err("`SELECT … INTO` creates a table, which is not allowed".into());
    }
    let end = tokens.last().map_or(0, |token| token.end);
    let mut splitter = Splitter { sql, tokens, params, pieces: Vec::new() };
    if !reads && !tokens.iter().any(returning) {
        splitter.fill(0, end)?;
        return Ok((splitter.pieces, false));
    }
    // As the last query of the statement's own `WITH`, because only top-level ones may write.
    let first = tokens.first().map_or(0, |token| token.start);
    splitter.fill(first, main.start)?;
    splitter.push(if first == main.start { "WITH leveret_row AS (\n" } else { ", leveret_row AS (\n" });
    splitter.fill(main.start, end)?;
    let limit = rows_max.saturating_add(1);
    splitter.push(&format!("\n) {} LIMIT {limit}", super::ROWS));
    Ok((splitter.pieces, true))
}

/// The command: the first word, or the first one after the list of a `WITH`.
fn main<'t>(sql: &str, tokens: &'t [Token]) -> Result<&'t Token, String> {
    let is_verb = |token: &&Token| token.depth == 0 && VERBS.iter().any(|verb| token.is(sql, verb));
    let first = tokens.first().ok_or("`sql` has no text")?;
    let found = match first.is(sql, "with") {
        true => tokens.iter().find(is_verb),
        false => Some(first).filter(is_verb),
    };
    found.ok_or_else(|| {
        "it must begin with SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES, TABLE or WITH: transaction control, settings and \
         changes of the schema are not allowed"
            .into()
    })
}

/// Refuses a second statement, and access to the schema of Leveret.
fn refuse(sql: &str, tokens: &[Token]) -> Result<(), String> {
    for (at, token) in tokens.iter().enumerate() {
        if token.is(sql, ";") {
            return Err("it must be one statement: register each under its own name".into());
        }
        let follows = |by: usize, text: &str| tokens.get(at + by).is_some_and(|token| token.is(sql, text));
        if token.names(sql, SCHEMA) && follows(1, ".") {
            let is_function =
                FUNCTIONS.iter().any(|function| tokens.get(at + 2).is_some_and(|token| token.names(sql, function)));
            if !is_function || !follows(3, "(") {
                return Err("the schema `leveret` is not accessible to statements, except `leveret.start(…)`, \
                     `leveret.message(…)` and `leveret.broadcast(…)`"
                    .into());
            }
        }
    }
    Ok(())
}

fn check_used(sql: &str, tokens: &[Token], params: &[Param]) -> Result<(), String> {
    let used = |param: &&Param| tokens.iter().any(|token| token.param(sql) == Some(&param.name));
    match params.iter().find(|param| !used(param)) {
        None => Ok(()),
        Some(param) => Err(format!("the parameter `{0}` is declared, but `:{0}` is not used", param.name)),
    }
}

/// A statement while it is split into pieces.
struct Splitter<'a> {
    sql: &'a str,
    tokens: &'a [Token],
    params: &'a [Param],
    pieces: Vec<Piece>,
}

impl Splitter<'_> {
    fn push(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Sql(before)) => before.push_str(text),
            Some(Piece::Param(_)) | None => self.pieces.push(Piece::Sql(text.to_owned())),
        }
    }

    /// Adds a part of the text, with every parameter cast to its type.
    fn fill(&mut self, from: usize, to: usize) -> Result<(), String> {
        let (sql, tokens, params) = (self.sql, self.tokens, self.params);
        let mut done = from;
        for token in tokens.iter().filter(|token| token.start >= from && token.end <= to) {
            let Some(name) = token.param(sql) else { continue };
            let at = params.iter().position(|param| param.name == name).ok_or_else(|| {
                format!("`:{name}` is not declared: add it to `params` with its type, such as `{name} = \"text\"`")
            })?;
            let (before, after) = params[at].kind.cast();
            self.push(&sql[done..token.start]);
            self.push(before);
            self.pieces.push(Piece::Param(at));
            self.push(&after);
            done = token.end;
        }
        self.push(sql[done..to].trim_end());
        Ok(())
    }
}

/// A word, a quoted name, a parameter, or one other character; strings and comments are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    start: usize,
    end: usize,
    /// The depth of parentheses and brackets around it.
    depth: usize,
}

impl Token {
    fn text<'s>(&self, sql: &'s str) -> &'s str {
        &sql[self.start..self.end]
    }

    /// Whether it is this word, or this character.
    fn is(&self, sql: &str, word: &str) -> bool {
        self.text(sql).eq_ignore_ascii_case(word)
    }

    /// Whether it is this name, plain or quoted.
    fn names(&self, sql: &str, name: &str) -> bool {
        let text = self.text(sql);
        text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).map_or(self.is(sql, name), |text| text == name)
    }

    /// The name of the parameter, if it is one.
    fn param<'s>(&self, sql: &'s str) -> Option<&'s str> {
        self.text(sql).strip_prefix(':').filter(|name| !name.is_empty() && !name.starts_with(':'))
    }
}

fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_' || c >= 0x80
}

/// The lexical rules of PostgreSQL, as far as they determine where strings and comments end.
fn tokens(sql: &str) -> Result<Vec<Token>, String> {
    let bytes = sql.as_bytes();
    let mut tokens = Vec::new();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(&c) = bytes.get(at) {
        let rest = &bytes[at..];
        let next = rest.get(1).copied().unwrap_or(0);
        let end = match c {
            0 => return Err("`sql` contains the character \\u0000".into()),
            _ if c.is_ascii_whitespace() => at + 1,
            b'-' if next == b'-' => rest.iter().position(|c| *c == b'\n').map_or(bytes.len(), |length| at + length),
            b'/' if next == b'*' => comment_end(bytes, at)?,
            b'\'' => text_end(bytes, at, b'\'', false)?,
            b'E' | b'e' if next == b'\'' => text_end(bytes, at + 1, b'\'', true)?,
            b'$' if next.is_ascii_digit() => return Err("write `:name` for a parameter, not `$1`".into()),
            b'$' if dollar_tag(sql, at).is_some() => dollar_end(sql, at)?,
            _ => {
                let end = match c {
                    b'"' => text_end(bytes, at, b'"', false)?,
                    b':' if next == b':' || next == b'=' => at + 2,
                    b':' if next.is_ascii_alphabetic() || next == b'_' => word_end(bytes, at + 1),
                    _ if is_word(c) => word_end(bytes, at),
                    _ => at + 1,
                };
                match c {
                    b'(' | b'[' => depth += 1,
                    b')' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                tokens.push(Token { start: at, end, depth });
                end
            }
        };
        at = end;
    }
    Ok(tokens)
}

fn word_end(bytes: &[u8], from: usize) -> usize {
    // A name may contain a dollar sign.
    bytes[from..].iter().position(|c| !is_word(*c) && *c != b'$').map_or(bytes.len(), |length| from + length)
}

/// The end of a quoted text that starts here; a doubled quote belongs to it.
fn text_end(bytes: &[u8], start: usize, quote: u8, escapes: bool) -> Result<usize, String> {
    let mut at = start + 1;
    while let Some(&c) = bytes.get(at) {
        let next = bytes.get(at + 1);
        match c {
            b'\\' if escapes => at += 2,
            _ if c == quote && next == Some(&quote) => at += 2,
            _ if c == quote => return Ok(at + 1),
            _ => at += 1,
        }
    }
    Err("a quoted text is not closed".into())
}

/// Comments nest.
fn comment_end(bytes: &[u8], start: usize) -> Result<usize, String> {
    let (mut at, mut open) = (start, 0_usize);
    while at + 1 < bytes.len() {
        match (bytes[at], bytes[at + 1]) {
            (b'/', b'*') => (at, open) = (at + 2, open + 1),
            (b'*', b'/') => (at, open) = (at + 2, open - 1),
            _ => at += 1,
        }
        if open == 0 {
            return Ok(at);
        }
    }
    Err("a comment is not closed".into())
}

/// The opening `$tag$`, if one starts here.
fn dollar_tag(sql: &str, start: usize) -> Option<&str> {
    let rest = &sql[start + 1..];
    let length = rest.bytes().position(|c| !is_word(c)).filter(|length| rest.as_bytes()[*length] == b'$')?;
    Some(&sql[start..start + length + 2])
}

fn dollar_end(sql: &str, start: usize) -> Result<usize, String> {
    let tag = dollar_tag(sql, start).unwrap_or("$$");
    let inside = start + tag.len();
    let length = sql[inside..].find(tag).ok_or("a dollar-quoted text is not closed")?;
    Ok(inside + length + tag.len())
}
