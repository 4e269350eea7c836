//! Templates with placeholders that are filled in when a request is sent: secrets, and the token of an attempt.
//!
//! The value of such a template is stored, so a placeholder is stored as structure:
//! `{"$parts": [{"text": "Bearer "}, {"secret": "NAME"}]}`. Data cannot imitate a placeholder: strings are never parsed again,
//! and a map in data that has a key `$parts` is stored as `{"$parts": [{"map": …}]}`.

use serde_json::{Map, Value, json};

use super::address::{self, UrlPiece};
use super::functions::percent_encoded;
use super::template::Piece;
use super::{Data, Error, Expression, Scope, Template};

/// The key of a list of parts that are joined when the request is sent.
const PARTS: &str = "$parts";

/// A placeholder that is filled in when a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker<'a> {
    /// `${ secrets.NAME }`
    Secret(&'a str),
    /// `${ activity.token }`, which is new for every attempt.
    Token,
}

/// The purpose of a template, which determines how its expressions are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Any value: `${ }` alone keeps its type.
    Value,
    /// Always a string.
    Text,
    /// A URL: null is an error, every `${ }` except a leading one is percent-encoded, and none may lead elsewhere.
    Url,
}

impl Expression {
    /// The placeholder, if the expression is one.
    pub fn marker(&self) -> Option<Marker<'_>> {
        let source = self.source().trim();
        if source == "activity.token" {
            return Some(Marker::Token);
        }
        let rest = source.strip_prefix("secrets")?;
        let quoted = |quote: char| {
            let inside = rest.strip_prefix('[')?.strip_suffix(']')?.trim();
            inside.strip_prefix(quote)?.strip_suffix(quote)
        };
        let name = rest.strip_prefix('.').map(str::trim).or_else(|| quoted('"')).or_else(|| quoted('\''))?;
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        is_name.then_some(Marker::Secret(name))
    }
}

impl Template {
    /// Its value with placeholders not filled in.
    ///
    /// # Errors
    /// The first expression that fails, or that is null or leads elsewhere in a URL.
    pub fn marked(&self, scope: &Scope<'_>, purpose: Use) -> Result<Value, Error> {
        let pieces: Vec<Piece<'_>> = self.pieces().collect();
        if let ([Piece::Value(alone)], Use::Value) = (pieces.as_slice(), purpose)
            && alone.marker().is_none()
        {
            return alone.evaluate(scope).map(escaped);
        }
        let mut parts: Vec<Value> = Vec::new();
        let mut text = String::new();
        let mut address: Vec<UrlPiece<'_>> = Vec::new();
        for (number, piece) in pieces.into_iter().enumerate() {
            let encode = purpose == Use::Url && number > 0;
            match piece {
                Piece::Text(literal) => {
                    text.push_str(literal);
                    address.push(UrlPiece::Fixed(literal.to_owned()));
                }
                Piece::Value(expression) => match expression.marker() {
                    Some(marker) => {
                        if !text.is_empty() {
                            parts.push(json!({ "text": std::mem::take(&mut text) }));
                        }
                        parts.push(place(marker, encode));
                        address.push(UrlPiece::Later);
                    }
                    None => {
                        let value = self.piece(expression, scope, purpose)?;
                        let written = if encode { percent_encoded(&value) } else { value.clone() };
                        text.push_str(&written);
                        // What is written in the definition, or set by the operator, does not come from data.
                        let fixed = !encode || expression.names().iter().all(|name| name == "env");
                        let source = expression.source();
                        address.push(match fixed {
                            true => UrlPiece::Fixed(written),
                            false => UrlPiece::Data { source, text: value },
                        });
                    }
                },
            }
        }
        if purpose == Use::Url {
            address::check(&address).map_err(|message| Error { message })?;
        }
        if parts.is_empty() {
            return Ok(Value::String(text));
        }
        if !text.is_empty() {
            parts.push(json!({ "text": text }));
        }
        Ok(json!({ PARTS: parts }))
    }

    fn piece(&self, expression: &Expression, scope: &Scope<'_>, purpose: Use) -> Result<String, Error> {
        if purpose == Use::Url && expression.evaluate(scope)?.is_null() {
            let message = format!("`{}` is null, which is not allowed in a URL", expression.source());
            return Err(Error { message });
        }
        expression.text(scope)
    }
}

impl Data {
    /// Its value with placeholders not filled in.
    ///
    /// # Errors
    /// The first expression that fails.
    pub fn marked(&self, scope: &Scope<'_>) -> Result<Value, Error> {
        match self {
            Data::Literal(value) => Ok(escaped(value.clone())),
            Data::Expression(expression) => expression.evaluate(scope).map(escaped),
            Data::Template(template) => template.marked(scope, Use::Value),
            Data::List(list) => list.iter().map(|item| item.marked(scope)).collect(),
            Data::Map(map) => {
                let members = map.iter().map(|(key, item)| Ok((key.clone(), item.marked(scope)?)));
                members.collect::<Result<Map<_, _>, Error>>().map(covered)
            }
        }
    }
}

fn place(marker: Marker<'_>, encode: bool) -> Value {
    let mut place = match marker {
        Marker::Secret(name) => Map::from_iter([("secret".to_owned(), json!(name))]),
        Marker::Token => Map::from_iter([("token".to_owned(), json!(true))]),
    };
    if encode {
        place.insert("encode".into(), json!(true));
    }
    Value::Object(place)
}

/// The value in its stored form, in which none of its maps is read as parts.
fn escaped(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(escaped).collect(),
        Value::Object(members) => covered(members.into_iter().map(|(key, value)| (key, escaped(value))).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// A map whose members are already in their stored form.
fn covered(members: Map<String, Value>) -> Value {
    if members.contains_key(PARTS) { json!({ PARTS: [{ "map": members }] }) } else { Value::Object(members) }
}

/// Fills in the placeholders of a stored value. `fill` returns the text of a placeholder, or none if it is unknown.
///
/// # Errors
/// The placeholders that are unknown: names of secrets, and `activity.token`.
pub fn filled(stored: &Value, fill: &mut dyn FnMut(Marker<'_>) -> Option<String>) -> Result<Value, Vec<String>> {
    let mut missing = Vec::new();
    let value = fill_in(stored, fill, &mut missing);
    if missing.is_empty() { Ok(value) } else { Err(missing) }
}

fn fill_in(stored: &Value, fill: &mut dyn FnMut(Marker<'_>) -> Option<String>, missing: &mut Vec<String>) -> Value {
    match stored {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => stored.clone(),
        Value::Array(items) => items.iter().map(|item| fill_in(item, fill, missing)).collect(),
        Value::Object(members) => match members.get(PARTS).and_then(Value::as_array) {
            None => members.iter().map(|(key, value)| (key.clone(), fill_in(value, fill, missing))).collect(),
            Some(parts) => match parts.first().and_then(|part| part.get("map")).and_then(Value::as_object) {
                Some(map) => map.iter().map(|(key, value)| (key.clone(), fill_in(value, fill, missing))).collect(),
                None => parts.iter().map(|part| part_of_text(part, fill, missing)).collect::<String>().into(),
            },
        },
    }
}

fn part_of_text(part: &Value, fill: &mut dyn FnMut(Marker<'_>) -> Option<String>, missing: &mut Vec<String>) -> String {
    if let Some(text) = part["text"].as_str() {
        return text.to_owned();
    }
    let marker = part["secret"].as_str().map_or(Marker::Token, Marker::Secret);
    match fill(marker) {
        Some(text) if part["encode"] == true => percent_encoded(&text),
        Some(text) => text,
        None => {
            missing.push(match marker {
                Marker::Secret(name) => name.to_owned(),
                Marker::Token => "activity.token".to_owned(),
            });
            String::new()
        }
    }
}
