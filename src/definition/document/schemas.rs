//! Reads a JSON Schema: the input of a definition, the form of a task.

use super::draft::Draft;
use crate::definition::schema::{Schema, keywords};
use crate::definition::yaml::cursor::At;
use crate::definition::yaml::node::Tree;
use crate::text::{listed, shortened};

impl Draft {
    /// A JSON Schema of `type: object`; reports what its keywords, types and defaults have wrong.
    pub(super) fn schema(&mut self, at: &At<'_>) -> Option<Schema> {
        if !at.is_map() {
            self.problems.unexpected(at, "a JSON Schema", Some("write `type: object` and its `properties`"));
            return None;
        }
        if !self.keywords(at) {
            return None;
        }
        let schema = match Schema::compile_within(&at.node.to_value(), &mut self.allowance) {
            Ok(schema) => schema,
            Err(invalid) => {
                let place = at.pointed(&invalid.pointer).unwrap_or_else(|| at.clone());
                let hint = match invalid.pointer.rsplit('/').next() {
                    _ if let Some(hint) = invalid.hint => hint,
                    Some("items") if place.is_list() => "write the schemas of the first items in `prefixItems`",
                    Some("required") => "write a list of names beside `properties`, as in `required: [id, amount]`",
                    _ => "write a JSON Schema (2020-12) of `type: object`",
                };
                self.problems.error_at(&place, invalid.to_string(), Some(hint));
                return None;
            }
        };
        let Some(refused) = schema.refused_defaults() else {
            let hint = "use fewer defaults, and none that contains itself by a `$ref`";
            self.problems.error_at(at, "the defaults of this schema have no end, or are too large", Some(hint));
            return None;
        };
        for default in &refused {
            let place = at.pointed(&default.pointer).unwrap_or_else(|| at.clone());
            let message = format!("the schema refuses this default: {}", default.why);
            self.problems.error_at(&place, message, Some("change the default, or remove it"));
        }
        refused.is_empty().then_some(schema)
    }

    /// Looks at the keywords of a schema and of those inside of it. False if one of them is wrong.
    fn keywords(&mut self, at: &At<'_>) -> bool {
        let mut valid = self.version(at);
        for (entry, value) in at.entries() {
            match entry.key.as_str() {
                "type" => valid &= self.types(&value),
                "format" => self.format(&value),
                "required" => self.required(at, &value),
                one if keywords::ONE.contains(&one) => valid &= self.keywords(&value),
                list if keywords::LISTS.contains(&list) => {
                    for schema in value.items() {
                        valid &= self.keywords(&schema);
                    }
                }
                map if keywords::MAPS.contains(&map) => {
                    for (_, schema) in value.entries() {
                        valid &= self.keywords(&schema);
                    }
                }
                known if keywords::PLAIN.contains(&known) || known.starts_with("x-") => {}
                unknown => {
                    if let Some(hint) = self.keyword_hint(unknown, &value) {
                        let message =
                            format!("`{}` is not a keyword of JSON Schema: it has no effect", shortened(unknown));
                        self.problems.warning(at.key_place(entry), message, Some(hint));
                    }
                }
            }
        }
        valid
    }

    /// What was probably meant by an unknown keyword. Without an idea it counts as a remark of the author.
    fn keyword_hint(&self, unknown: &str, value: &At<'_>) -> Option<String> {
        if let Some((_, hint)) = keywords::FOREIGN.into_iter().find(|(foreign, _)| *foreign == unknown) {
            return Some(hint.into());
        }
        let schema = ["type", "$ref", "enum", "properties"].iter().any(|keyword| value.get(keyword).is_some());
        self.problems
            .did_you_mean(unknown, keywords::all())
            .or_else(|| schema.then(|| "write properties inside of `properties`".into()))
    }

    fn version(&mut self, at: &At<'_>) -> bool {
        let Some(version) = at.get("$schema") else { return true };
        let Some(text) = self.problems.expect_text(&version) else { return false };
        let known = text.trim_end_matches('#') == keywords::VERSION;
        if !known {
            let message = format!("`{}` is another version of JSON Schema than 2020-12", shortened(text));
            let hint = format!("remove `$schema`, or write {}", keywords::VERSION);
            self.problems.error_at(&version, message, Some(&hint));
        }
        known
    }

    fn types(&mut self, at: &At<'_>) -> bool {
        let items = if at.is_list() { at.items() } else { vec![at.clone()] };
        let mut valid = true;
        for item in items {
            let Tree::Text(written) = &item.node.tree else { continue };
            if keywords::TYPES.contains(&written.as_str()) {
                continue;
            }
            valid = false;
            let lower = written.to_ascii_lowercase();
            let foreign = keywords::FOREIGN_TYPES.into_iter().find(|(foreign, _)| *foreign == lower);
            let hint = foreign.map(|(_, own)| format!("write `{own}`"));
            let hint = hint.or_else(|| self.problems.did_you_mean(&lower, keywords::TYPES));
            let hint = hint.unwrap_or_else(|| format!("the types are {}", listed(&keywords::TYPES)));
            let message = format!("`{}` is not a type of JSON Schema", shortened(written));
            self.problems.error_at(&item, message, Some(&hint));
        }
        valid
    }

    fn format(&mut self, at: &At<'_>) {
        let Tree::Text(written) = &at.node.tree else { return };
        if !keywords::FORMATS.contains(&written.as_str()) {
            let hint = self.problems.did_you_mean(written, keywords::FORMATS);
            let hint = hint.unwrap_or_else(|| "to check the value, add a `pattern`".into());
            let message = format!("the format `{}` is not checked", shortened(written));
            self.problems.warning(at.place(), message, Some(hint));
        }
    }

    /// Warns of a required property whose name is misspelt.
    fn required(&mut self, schema: &At<'_>, at: &At<'_>) {
        let Some(properties) = schema.get("properties") else { return };
        let names: Vec<&str> = properties.entries().iter().map(|(entry, _)| entry.key.as_str()).collect();
        for item in at.items() {
            let Tree::Text(name) = &item.node.tree else { continue };
            if names.contains(&name.as_str()) {
                continue;
            }
            if let Some(hint) = self.problems.did_you_mean(name, names.iter().copied()) {
                let message = format!("the required property `{}` is not one of `properties`", shortened(name));
                self.problems.warning(item.place(), message, Some(hint));
            }
        }
    }
}
