//! The help of every command, as it is printed: what changes there is seen in a review.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::process::Command;

/// A command deeper than this does not exist.
const COMMANDS_MAX: usize = 300;

/// The names of the commands in a help.
fn commands(help: &str) -> Vec<String> {
    let listed = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    let lines = listed.lines().take_while(|line| line.starts_with("  "));
    let names = lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn the_help_of_every_command_stays_as_it_is() {
    let mut open = VecDeque::from([Vec::<String>::new()]);
    let (mut all, mut count) = (String::new(), 0);
    while let Some(words) = open.pop_front() {
        let said = Command::new(env!("CARGO_BIN_EXE_leveret")).args(&words).arg("--help").output().unwrap();
        assert!(said.status.success(), "{words:?}");
        let help = String::from_utf8(said.stdout).unwrap();
        let line = ["leveret"].into_iter().chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
        writeln!(all, "$ {line} --help\n{}\n", help.trim_end()).unwrap();
        for name in commands(&help) {
            open.push_back(words.iter().cloned().chain([name]).collect());
        }
        count += 1;
        assert!(count < COMMANDS_MAX);
    }
    assert!(count > 60, "only {count} commands were found");
    expect_test::expect_file!["help.txt"].assert_eq(&all);
}
