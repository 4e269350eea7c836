//! `leveret completion`

use std::process::ExitCode;

use anyhow::{Context, Result};
pub(super) use clap_complete::Shell;
use clap_complete::generate;

use super::output;

/// How the script is used.
pub(super) const HELP: &str = "\
In bash:  leveret completion bash > ~/.local/share/bash-completion/completions/leveret
In zsh:   leveret completion zsh > ~/.zfunc/_leveret, with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc
In fish:  leveret completion fish > ~/.config/fish/completions/leveret.fish";

/// Prints the script.
pub(super) fn print(shell: Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    generate(shell, &mut super::described(), "leveret", &mut script);
    output::script(&String::from_utf8(script).context("the script is not text")?);
    Ok(ExitCode::SUCCESS)
}
