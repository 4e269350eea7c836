//! Random definitions: every activity that needs nobody outside, in any order.

use std::fmt::Write;

/// The most activities of a definition, without the last one.
const ACTIVITIES_MAX: usize = 10;
/// Turns of a loop.
const TURNS: usize = 3;

/// A definition, and what an instance of it does outside of Leveret's tables.
pub(super) struct Document {
    /// Its name.
    pub(super) name: String,
    /// In YAML.
    pub(super) text: String,
    /// Rows that one instance writes.
    pub(super) rows: i64,
    /// The messages that one instance receives.
    pub(super) messages: Vec<String>,
}

impl Document {
    /// A valid one. The last activity always writes a row.
    pub(super) fn random(chance: &mut fastrand::Rng, number: usize) -> Self {
        let mut made = Self { name: format!("soak-{number}"), text: String::new(), rows: 1, messages: Vec::new() };
        let count = chance.usize(1..=ACTIVITIES_MAX);
        let activities: String = (0..count).map(|at| made.activity(chance, at)).collect();
        made.text = format!(
            "name: {}\nretention: 1m\nvariables: {{ n: 0{} }}\nactivities:\n{activities}  - {{ id: a{count}, {MARK} }}\n",
            made.name,
            (0..count).fold(String::new(), |mut turns, at| {
                // Writing into a string cannot fail.
                let _ = write!(turns, ", turn{at}: 0");
                turns
            }),
        );
        made
    }

    fn activity(&mut self, chance: &mut fastrand::Rng, at: usize) -> String {
        let again = format!("next: [{{ when: turn{at} < {TURNS}, to: a{at} }}, {{ to: a{} }}]", at + 1);
        let body = match chance.u8(0..8) {
            0 => "set: { n: n + 1 }".to_owned(),
            1 => format!("set: {{ turn{at}: turn{at} + 1 }}, {again}"),
            2 => {
                self.rows += 1;
                MARK.to_owned()
            }
            3 => {
                self.rows += TURNS as i64;
                format!("{MARK}, output: {{ turn{at}: turn{at} + 1 }}, {again}")
            }
            4 => format!("wait: {{ for: {}ms }}", chance.u32(20..3_000)),
            5 => {
                let name = format!("soak-{at}");
                let body = format!("receive: {{ name: {name} }}");
                self.messages.push(name);
                body
            }
            6 => format!("receive: {{ name: never }}, timeout: {}ms, on_timeout: a{}", chance.u32(100..3_000), at + 1),
            _ => "emit: { event: told, body: { n: \"${ n }\" } }".to_owned(),
        };
        format!("  - {{ id: a{at}, {body} }}\n")
    }
}

/// Writes a row in the transaction of its step, by the statement of the workers' settings.
const MARK: &str = "run: { sql: mark, params: { instance: \"${ instance.key }\" } }";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Definition;

    #[test]
    fn every_random_definition_is_valid() {
        let mut chance = fastrand::Rng::with_seed(7);
        for number in 0..300 {
            let made = Document::random(&mut chance, number);
            assert!(Definition::parse(&made.text).is_ok(), "{}\n{:?}", made.text, Definition::parse(&made.text).err());
        }
    }
}
