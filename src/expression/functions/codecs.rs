//! JSON, base64, percent-encoding, hashes.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Answer, Function, text};
use crate::contract::json;
use crate::expression::bounds::{Budget, EvalError, MAP_NODE_BYTES};
use crate::expression::value::Val;

/// What RFC 3986 never requires to be encoded.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) const ALL: &[Function] = &[
    Function::global("json.encode", (1, 1), json_encode),
    Function::global("json.decode", (1, 1), json_decode),
    Function::global("base64.encode", (1, 1), base64_encode),
    Function::global("base64.decode", (1, 1), base64_decode),
    Function::global("hash.sha256", (1, 1), sha256),
    Function::global("url.encode", (1, 1), url_encode),
    Function::global("uuid5", (1, 1), uuid5),
];

fn json_encode<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = json::text(&args[0].to_json(budget)?);
    Val::text(text, budget)
}

fn json_decode<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = text(&args[0], budget)?;
    // A parsed list of small numbers takes about 16 times the memory of its text, a small map much more.
    let maps = text.bytes().filter(|byte| *byte == b'{').count();
    budget.build(text.len().saturating_mul(16).saturating_add(maps.saturating_mul(MAP_NODE_BYTES)))?;
    let value = json::read(text.as_bytes()).map_err(|refused| match refused {
        json::Refused::Syntax(_) => EvalError::invalid("the string is not valid JSON"),
        // The number is a value, which no message shows.
        json::Refused::Number(_) | json::Refused::NoDouble(_) => {
            EvalError::invalid("a number fits neither a 64-bit integer nor a double: send it as text, in quotes")
        }
    })?;
    Val::built_from_json(value, budget)
}

/// Bytes, or a string as UTF-8.
fn bytes<'v>(value: &'v Val<'_>, budget: &mut Budget) -> Result<&'v [u8], EvalError> {
    match value {
        Val::Bytes(bytes) => {
            budget.read(bytes.len())?;
            Ok(bytes)
        }
        Val::Text(_) => text(value, budget).map(str::as_bytes),
        other => Err(EvalError::invalid(format!("expected a string or bytes, got {}", other.what()))),
    }
}

fn base64_encode<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let encoded = STANDARD.encode(bytes(&args[0], budget)?);
    Val::text(encoded, budget)
}

/// Padding is optional.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn base64_decode<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let decoded =
        LENIENT.decode(text(&args[0], budget)?).map_err(|_| EvalError::invalid("the string is not valid base64"))?;
    budget.build(decoded.len())?;
    Ok(Val::Bytes(Rc::from(decoded)))
}

fn sha256<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let bytes = bytes(&args[0], budget)?;
    budget.steps(4 + bytes.len() / 8)?;
    Val::text(hex::encode(Sha256::digest(bytes)), budget)
}

/// Percent-encodes everything except the unreserved characters of URLs.
pub(in crate::expression) fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

fn url_encode<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let plain = text(&args[0], budget)?;
    budget.build(plain.len() * 3)?;
    Val::text(percent_encoded(plain), budget)
}

/// A UUID that is always the same for the same string.
fn uuid5<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let name = text(&args[0], budget)?;
    budget.steps(4 + name.len() / 8)?;
    Val::text(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string(), budget)
}
