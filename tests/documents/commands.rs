//! Every command line that is shown exists, with its options; and every alarm has its query and its command.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::{blocks, read};

/// Pages with commands; the changelog may tell of what is gone.
const PAGES: [&str; 16] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/access.md",
    "docs/alarms.md",
    "docs/benchmarks.md",
    "docs/calls.md",
    "docs/high-availability.md",
    "docs/language.md",
    "docs/live.md",
    "docs/operations.md",
    "docs/protocol.md",
    "docs/retention.md",
    "docs/security.md",
    "docs/waiting.md",
];

/// What `--help` prints for each command; none where there is no such command.
#[derive(Default)]
struct Helps(BTreeMap<Vec<String>, Option<String>>);

impl Helps {
    fn of(&mut self, words: &[&str]) -> Option<String> {
        let key: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let ask = || {
            let said = Command::new(env!("CARGO_BIN_EXE_leveret")).args(words).arg("--help").output().unwrap();
            said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())
        };
        self.0.entry(key).or_insert_with(ask).clone()
    }

    /// What is wrong with a command line without its first word.
    fn check(&mut self, line: &str) -> Option<String> {
        let line = line.split(" #").next().unwrap_or_default();
        let line = line.split(['|', '>', ';', '&']).next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let named: Vec<&str> = words
            .iter()
            .copied()
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-'))
            .collect();
        let (noun, verb) = (named.first()?, named.get(1));
        let help = verb.and_then(|verb| self.of(&[noun, verb])).or_else(|| self.of(&[noun]));
        let Some(help) = help else { return Some(format!("there is no command `{noun}`")) };
        if help.contains("<COMMAND>") && verb.is_none_or(|verb| self.of(&[noun, verb]).is_none()) {
            return Some(format!("`{noun}` needs one of its commands"));
        }
        let options = words.iter().filter(|word| word.starts_with("--")).map(|word| word.split('=').next().unwrap());
        let known: BTreeSet<&str> = help.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).collect();
        options.filter(|option| !known.contains(option)).map(|option| format!("`{noun}` has no `{option}`")).next()
    }
}

#[test]
fn every_command_that_is_shown_exists_with_its_options() {
    let (mut helps, mut wrong, mut seen) = (Helps::default(), Vec::new(), 0);
    for page in PAGES {
        for block in blocks(page).into_iter().filter(|block| block.info == "sh") {
            for line in block.text.replace("\\\n", " ").lines() {
                let Some(command) = line.trim().strip_prefix("leveret ") else { continue };
                seen += 1;
                wrong.extend(helps.check(command).map(|why| format!("{}: {why}: {line}", block.place)));
            }
        }
    }
    assert!(seen > 50, "only {seen} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let mut helps = Helps::default();
    assert_eq!(helps.check("instance list --status running"), None);
    assert_eq!(helps.check("dev"), None);
    for wrong in ["instances list", "instance", "instance lost", "instance list --state running"] {
        assert!(helps.check(wrong).is_some(), "{wrong}");
    }
}

#[test]
fn every_alarm_has_a_query_of_a_metric_that_exists_and_a_command() {
    let (alarms, told) = (read("docs/alarms.md"), read("docs/operations.md"));
    let sections: Vec<&str> = alarms.split("\n## ").skip(1).collect();
    assert!(sections.len() >= 15, "{}", sections.len());
    for section in sections {
        let name = section.lines().next().unwrap();
        assert!(alarms.contains(&format!("| [{name}](#")), "`{name}` is not in the table");
        assert!(section.contains("```sh\n"), "`{name}` has no command");
        assert!(section.contains("```promql\n") || section.contains("No metric says it"), "`{name}` has no query");
        for (at, _) in section.match_indices("leveret_") {
            let metric: String = section[at..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let metric = metric.trim_end_matches("_bucket");
            assert!(told.contains(&format!("| `{metric}` |")), "`{name}` asks for `{metric}`, which is not a metric");
        }
    }
}
