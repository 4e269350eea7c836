//! What the schemas of one document may take together, and what is refused because no validation by it would end.

use std::collections::{HashMap, HashSet};

use jsonschema::PatternOptions;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{Invalid, keywords, meter};

/// Bytes of one pattern as it is written.
pub const PATTERN_SOURCE_MAX: usize = 1_024;
/// Bytes of one pattern when it is compiled: `a{1000}` is a short text, but a large pattern.
pub const PATTERN_BYTES_MAX: usize = 256 * 1_024;
/// Bytes of all compiled patterns of a document, those of `matches` among them.
pub const PATTERNS_BYTES_MAX: usize = 2 * 1_024 * 1_024;
/// Patterns of the schemas of a document: while it is matched each has a cache, which is limited as well.
pub const PATTERNS_MAX: usize = 200;
/// Bytes of the cache of one pattern.
pub(super) const PATTERN_CACHE_MAX: usize = 128 * 1_024;
/// Schemas inside of the schemas of a document.
pub const SUBSCHEMAS_MAX: usize = 20_000;
/// Schemas that apply to one value, when every `$ref`, `anyOf` and `oneOf` is followed.
pub const EXPANSION_MAX: u64 = 10_000;
/// `$ref`s, `anyOf`s and others that follow each other at one value.
pub const CHAIN_MAX: usize = 64;
/// Schemas with an `$id`: the validator compiles a schema anew for every order in which these lead to it.
const RESOURCES_MAX: usize = 4;
/// The smallest size that is tried for a compiled pattern.
const PATTERN_BYTES_MIN: usize = 1_024;
/// Bytes of a compiled pattern for each of its states, at least.
const BYTES_PER_STATE: usize = 32;
/// The hint for patterns that are too large together.
pub(crate) const REPEAT_LESS: &str = "repeat less in each pattern: `{…}` counts as often as it repeats";
/// Reading a text by a `format` takes as long as by a pattern with this number of states.
const FORMAT_STATES: usize = 8;
/// The same for `format: regex`, by which the text is parsed.
const REGEX_STATES: usize = 64;
/// Keywords whose schemas apply to the same value.
const IN_PLACE_ONE: [&str; 4] = ["not", "if", "then", "else"];
const IN_PLACE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// What is left for the schemas and patterns of one document.
#[derive(Debug, Clone)]
pub struct Allowance {
    subschemas: usize,
    patterns: usize,
    pattern_bytes: usize,
    /// More patterns were asked for than there was room for.
    is_overdrawn: bool,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            subschemas: SUBSCHEMAS_MAX,
            patterns: PATTERNS_MAX,
            pattern_bytes: PATTERNS_BYTES_MAX,
            is_overdrawn: false,
        }
    }
}

impl Allowance {
    /// Whether there is room left for the patterns of an expression, if it has any.
    pub(crate) fn has_patterns_for(&self, source: &str) -> bool {
        !self.is_overdrawn || !source.contains("matches")
    }

    /// Takes the bytes of compiled patterns of `matches`. False if that is more than is left.
    pub(crate) fn take_pattern_bytes(&mut self, bytes: usize) -> bool {
        let left = self.pattern_bytes.checked_sub(bytes);
        self.pattern_bytes = left.unwrap_or(0);
        self.is_overdrawn |= left.is_none();
        left.is_some()
    }

    /// Takes what a schema needs, and tells what makes it costly.
    ///
    /// # Errors
    /// It needs more than is left, or no validation by it would end.
    pub(super) fn take(&mut self, schema: &Value) -> Result<meter::Weights, Invalid> {
        let mut found = Found::default();
        keywords::walk(schema, &mut |pointer, part| found.see(pointer, part));
        self.subschemas = self.subschemas.checked_sub(found.subschemas).ok_or_else(|| {
            let why = format!("the schemas of the document have more than {SUBSCHEMAS_MAX} schemas inside of them");
            invalid("", why, "write fewer properties, or none for what no expression reads")
        })?;
        if found.resources.len() > RESOURCES_MAX || (found.resources.len() > 1 && found.is_dynamic) {
            let pointer = found.resources.last().map_or("", String::as_str);
            let why =
                format!("at most {RESOURCES_MAX} schemas may have an `$id`, and only one if there is a `$dynamicRef`");
            return Err(invalid(pointer, why, "remove each `$id`, and refer to `#/$defs/…`"));
        }
        let mut largest = found.text_bytes;
        let mut known = HashMap::new();
        for (pointer, pattern) in &found.patterns {
            if known.contains_key(pattern) {
                continue;
            }
            let bytes = self.take_pattern(pointer, pattern)?;
            known.insert(*pattern, bytes);
            largest = largest.max(bytes);
        }
        Expansion { schema, anchors: &found.anchors, known: HashMap::new(), open: HashSet::new() }.check()?;
        Ok(meter::Weights {
            pattern_states: largest / BYTES_PER_STATE,
            error_bytes: found.error_bytes,
            copies_values: found.copies_values,
        })
    }

    fn take_pattern(&mut self, pointer: &str, pattern: &str) -> Result<usize, Invalid> {
        if pattern.len() > PATTERN_SOURCE_MAX {
            let why = format!("the pattern has {} bytes; at most {PATTERN_SOURCE_MAX} are allowed", pattern.len());
            return Err(invalid(pointer, why, "write a shorter pattern, or several properties"));
        }
        self.patterns = self.patterns.checked_sub(1).ok_or_else(|| {
            let why = format!("the schemas of the document have more than {PATTERNS_MAX} patterns");
            invalid(pointer, why, "use the same pattern in several places, or a `format`")
        })?;
        let bytes = compiled_bytes(pattern).ok_or_else(|| {
            let kibibytes = PATTERN_BYTES_MAX / 1024;
            let why = format!(
                "the pattern is not a valid regular expression, or takes more than {kibibytes} KiB when it is compiled"
            );
            invalid(pointer, why, "look-around and references to groups are not supported; repeat less in each `{…}`")
        })?;
        if self.take_pattern_bytes(bytes) {
            return Ok(bytes);
        }
        let mebibytes = PATTERNS_BYTES_MAX / (1024 * 1024);
        let why = format!("the patterns of the document take more than {mebibytes} MiB when compiled");
        Err(invalid(pointer, why, REPEAT_LESS))
    }
}

fn invalid(pointer: &str, why: String, hint: &'static str) -> Invalid {
    let shown = if pointer.is_empty() { "/" } else { pointer };
    Invalid { pointer: pointer.to_owned(), why: format!("at {shown}: {why}"), hint: Some(hint) }
}

/// The smallest size within which a pattern can be compiled.
fn compiled_bytes(pattern: &str) -> Option<usize> {
    let mut size = PATTERN_BYTES_MIN;
    loop {
        let engine = PatternOptions::regex().size_limit(size).dfa_size_limit(PATTERN_CACHE_MAX);
        match jsonschema::options().offline().with_pattern_options(engine).build(&json!({ "pattern": pattern })) {
            Ok(_) => return Some(size),
            Err(_) if size < PATTERN_BYTES_MAX => size *= 2,
            Err(_) => return None,
        }
    }
}

/// What a walk through a schema has found.
#[derive(Default)]
struct Found<'s> {
    subschemas: usize,
    /// The pointers of schemas with an `$id`.
    resources: Vec<String>,
    is_dynamic: bool,
    patterns: Vec<(String, &'s str)>,
    anchors: HashMap<&'s str, &'s Value>,
    error_bytes: usize,
    copies_values: bool,
    /// The size of a pattern that takes as long as its formats.
    text_bytes: usize,
}

impl<'s> Found<'s> {
    fn see(&mut self, pointer: &str, part: &'s Value) {
        self.subschemas += 1;
        if part.get("$id").is_some() {
            self.resources.push(format!("{pointer}/$id"));
        }
        self.is_dynamic |= part.get("$dynamicRef").is_some();
        for keyword in ["$anchor", "$dynamicAnchor"] {
            if let Some(anchor) = part.get(keyword).and_then(Value::as_str) {
                self.anchors.insert(anchor, part);
            }
        }
        if let Some(pattern) = part.get("pattern").and_then(Value::as_str) {
            self.patterns.push((format!("{pointer}/pattern"), pattern));
        }
        for pattern in part.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(|map| map.keys()) {
            self.patterns.push((format!("{pointer}/patternProperties"), pattern));
        }
        let costs = match part.get("format").and_then(Value::as_str) {
            Some("regex") => REGEX_STATES,
            Some(_) => FORMAT_STATES,
            None if part.get("contentMediaType").or(part.get("contentEncoding")).is_some() => FORMAT_STATES,
            None => 0,
        };
        self.text_bytes = self.text_bytes.max(costs * BYTES_PER_STATE);
        // Errors of these keywords copy names or items of what they are about, and those of the next ones their values.
        let closed = ["additionalProperties", "unevaluatedProperties", "unevaluatedItems"];
        self.copies_values |= closed.iter().any(|keyword| part.get(keyword).is_some());
        for keyword in ["not", "const"] {
            self.error_bytes = self.error_bytes.max(part.get(keyword).map_or(0, meter::size));
        }
    }
}

/// The number of schemas that apply to one value.
struct Expansion<'s, 'f> {
    schema: &'s Value,
    anchors: &'f HashMap<&'s str, &'s Value>,
    /// By address of the schema: how many schemas apply, and how many follow each other.
    known: HashMap<usize, (u64, usize)>,
    open: HashSet<usize>,
}

impl<'s> Expansion<'s, '_> {
    fn check(mut self) -> Result<(), Invalid> {
        let mut places = Vec::new();
        keywords::walk(self.schema, &mut |pointer, part| places.push((pointer.to_owned(), part)));
        for (pointer, part) in places {
            match self.of(part, 0) {
                Some((applied, chain)) if applied <= EXPANSION_MAX && chain <= CHAIN_MAX => {}
                Some((applied, _)) if applied > EXPANSION_MAX => {
                    let why = format!(
                        "more than {EXPANSION_MAX} schemas would apply to one value, because its `$ref`, `allOf`, `anyOf` and \
                         `oneOf` multiply"
                    );
                    return Err(invalid(&pointer, why, "refer to each schema once"));
                }
                Some(_) | None => {
                    let why = format!(
                        "more than {CHAIN_MAX} schemas follow each other at one value, by `$ref`, `allOf`, `anyOf` and `oneOf`"
                    );
                    return Err(invalid(&pointer, why, "refer to the last of them directly"));
                }
            }
        }
        Ok(())
    }

    /// How many schemas apply where this one does, and how many follow each other; none beyond the longest chain.
    // A schema that leads back to itself without going into the value adds nothing: the validator ends there.
    fn of(&mut self, part: &'s Value, level: usize) -> Option<(u64, usize)> {
        if level > CHAIN_MAX {
            return None;
        }
        let address = std::ptr::from_ref(part).addr();
        if let Some(known) = self.known.get(&address) {
            return Some(*known);
        }
        if !self.open.insert(address) {
            return Some((0, 0));
        }
        let (mut applied, mut chain) = (1_u64, 0);
        for inner in self.in_place(part) {
            let (more, below) = self.of(inner, level + 1)?;
            applied = applied.saturating_add(more);
            chain = chain.max(below);
        }
        self.open.remove(&address);
        self.known.insert(address, (applied, chain + 1));
        Some((applied, chain + 1))
    }

    fn in_place(&self, part: &'s Value) -> Vec<&'s Value> {
        let ones = IN_PLACE_ONE.iter().filter_map(|keyword| part.get(keyword));
        let lists = IN_PLACE_LISTS.iter().filter_map(|keyword| part.get(keyword)?.as_array()).flatten();
        let depending =
            part.get("dependentSchemas").and_then(Value::as_object).into_iter().flat_map(|map| map.values());
        let referred = ["$ref", "$dynamicRef"].iter().filter_map(|keyword| self.referred(part.get(keyword)?.as_str()?));
        ones.chain(lists).chain(depending).chain(referred).collect()
    }

    /// The schema that a reference within the document means. One by `$id` is left to the budget of the validation.
    fn referred(&self, reference: &str) -> Option<&'s Value> {
        let fragment = percent_decode_str(reference.strip_prefix('#')?).decode_utf8().ok()?;
        match fragment.as_ref() {
            "" => Some(self.schema),
            pointer if pointer.starts_with('/') => self.schema.pointer(pointer),
            anchor => self.anchors.get(anchor).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(schema: Value) -> Option<String> {
        Allowance::default().take(&schema).err().map(|invalid| invalid.why)
    }

    #[test]
    fn a_pattern_is_measured_when_it_is_compiled() {
        assert!(compiled_bytes("^[A-Z]{2}[0-9]{2}$").is_some_and(|bytes| bytes <= 8 * 1024));
        assert!(compiled_bytes("^.{1,100}$").is_some());
        assert_eq!(compiled_bytes("(a{200}){200}"), None);
        assert_eq!(compiled_bytes("("), None);
    }

    #[test]
    fn patterns_are_limited_each_and_together() {
        let long = "a".repeat(PATTERN_SOURCE_MAX + 1);
        let problem = refused(json!({"properties": {"a": {"pattern": long}}})).unwrap();
        assert!(problem.contains("/properties/a/pattern") && problem.contains("1025 bytes"), "{problem}");
        let many: serde_json::Map<String, Value> =
            (0..=PATTERNS_MAX).map(|number| (format!("p{number}"), json!({"pattern": format!("a{number}")}))).collect();
        assert!(refused(json!({ "properties": many })).unwrap().contains("more than 200 patterns"));
        let large = |number: usize| (format!("p{number}"), json!({"pattern": format!("[a-z]{{{}}}", 900 + number)}));
        let together: serde_json::Map<String, Value> = (0..100).map(large).collect();
        assert!(refused(json!({ "properties": together })).unwrap().contains("2 MiB"));
    }

    #[test]
    fn schemas_that_multiply_are_refused_and_recursive_ones_are_not() {
        let both =
            |name: &str| json!({"anyOf": [{"$ref": format!("#/$defs/{name}")}, {"$ref": format!("#/$defs/{name}")}]});
        let defs: serde_json::Map<String, Value> =
            (0..20).map(|level| (format!("d{level}"), both(&format!("d{}", level + 1)))).collect();
        let mut doubling = json!({ "properties": {"a": both("d0")}, "$defs": defs });
        doubling["$defs"]["d20"] = json!({"type": "string"});
        assert!(refused(doubling).unwrap().contains("10000 schemas"));
        let chain: serde_json::Map<String, Value> =
            (0..100).map(|level| (format!("d{level}"), json!({"$ref": format!("#/$defs/d{}", level + 1)}))).collect();
        let mut chain = json!({ "$ref": "#/$defs/d0", "$defs": chain });
        chain["$defs"]["d100"] = json!({});
        assert!(refused(chain).unwrap().contains("follow each other"));
        let node = json!({"oneOf": [
            {"type": "number"},
            {"properties": {"op": {"const": "add"}, "left": {"$ref": "#/$defs/node"}, "right": {"$ref": "#/$defs/node"}}},
            {"$ref": "#/$defs/node"},
        ]});
        assert_eq!(refused(json!({"properties": {"root": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}})), None);
    }

    #[test]
    fn several_ids_with_dynamic_references_are_refused() {
        let part = |name: &str| json!({"$id": format!("https://example.org/{name}"), "$dynamicRef": "#node"});
        let problem = refused(json!({"$defs": {"a": part("a"), "b": part("b")}})).unwrap();
        assert!(problem.contains("`$id`"), "{problem}");
        let ids = |count: usize| -> serde_json::Map<String, Value> {
            (0..count).map(|at| (format!("d{at}"), json!({"$id": format!("https://example.org/{at}")}))).collect()
        };
        assert_eq!(refused(json!({ "$defs": ids(4) })), None);
        assert!(refused(json!({ "$defs": ids(5) })).unwrap().contains("`$id`"));
    }
}
