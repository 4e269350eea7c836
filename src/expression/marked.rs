//! Templates with places that are filled when a request is made: secrets, and the token of an attempt.
//!
//! What such a template yields is stored, so the place stays open in it, structurally:
//! `{"$parts": [{"text": "Bearer "}, {"secret": "NAME"}]}`. Data that looks like a place is none: texts are never looked
//! into, and a map of the author's or of somebody's answer that has a key `$parts` is stored as `{"$parts": [{"map": …}]}`.

use serde_json::{Map, Value, json};

use super::functions::percent_encoded;
use super::template::Piece;
use super::{Data, Error, Expression, Scope, Template};

/// The key that says: here are parts of a text, to be put together when the request is made.
const PARTS: &str = "$parts";

/// A place that is filled when a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker<'a> {
    /// `${ secrets.NAME }`
    Secret(&'a str),
    /// `${ activity.token }`: new for every attempt.
    Token,
}

/// What the text of a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Anything: `${ }` alone yields its own value.
    Value,
    /// A text, whatever `${ }` yields.
    Text,
    /// A URL: null is an error, and every `${ }` but a leading one is percent-encoded.
    Url,
}

impl Expression {
    /// Whether this is nothing but such a place.
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
    /// Its value with open places.
    ///
    /// # Errors
    /// The first expression that fails; in a URL also one that yields null.
    pub fn marked(&self, scope: &Scope<'_>, purpose: Use) -> Result<Value, Error> {
        let pieces: Vec<Piece<'_>> = self.pieces().collect();
        if let ([Piece::Value(alone)], Use::Value) = (pieces.as_slice(), purpose)
            && alone.marker().is_none()
        {
            return alone.evaluate(scope).map(escaped);
        }
        let mut parts: Vec<Value> = Vec::new();
        let mut text = String::new();
        for (number, piece) in pieces.into_iter().enumerate() {
            let encode = purpose == Use::Url && number > 0;
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Value(expression) => match expression.marker() {
                    Some(marker) => {
                        if !text.is_empty() {
                            parts.push(json!({ "text": std::mem::take(&mut text) }));
                        }
                        parts.push(place(marker, encode));
                    }
                    None => text.push_str(&self.piece(expression, scope, purpose, encode)?),
                },
            }
        }
        if parts.is_empty() {
            return Ok(Value::String(text));
        }
        if !text.is_empty() {
            parts.push(json!({ "text": text }));
        }
        Ok(json!({ PARTS: parts }))
    }

    fn piece(&self, expression: &Expression, scope: &Scope<'_>, purpose: Use, encode: bool) -> Result<String, Error> {
        if purpose == Use::Url && expression.evaluate(scope)?.is_null() {
            let message = format!("`{}` gives null in a URL", expression.source());
            return Err(Error { message });
        }
        let text = expression.text(scope)?;
        Ok(if encode { percent_encoded(&text) } else { text })
    }
}

impl Data {
    /// Its value with open places.
    ///
    /// # Errors
    /// The first part that fails.
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

/// The value as it is stored: no map of it is taken for parts.
fn escaped(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(escaped).collect(),
        Value::Object(members) => covered(members.into_iter().map(|(key, value)| (key, escaped(value))).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// Members that are escaped already.
fn covered(members: Map<String, Value>) -> Value {
    if members.contains_key(PARTS) { json!({ PARTS: [{ "map": members }] }) } else { Value::Object(members) }
}

/// Fills the places of a stored value. `fill` gives the text of a place; the names of those it does not know are returned.
///
/// # Errors
/// What could not be filled: names of secrets, and `activity.token`.
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
