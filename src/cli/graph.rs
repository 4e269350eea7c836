//! `leveret definition graph` and `leveret instance graph`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use uuid::Uuid;

use super::definition;
use super::output;
use crate::app::App;
use crate::app::drawings::{Counts, Drawing, Format};
use crate::engine::InstanceId;
use crate::graph::{self, Graph, Overlay};

#[derive(Args)]
pub(super) struct Drawn {
    /// The language of the drawing.
    #[arg(long, value_enum, default_value_t = Language::Mermaid)]
    format: Language,
    /// The file that is written. Default: standard output.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    /// Text of a Mermaid flowchart, which many pages draw.
    Mermaid,
    /// A picture.
    Svg,
}

impl From<Language> for Format {
    fn from(language: Language) -> Format {
        match language {
            Language::Mermaid => Format::Mermaid,
            Language::Svg => Format::Svg,
        }
    }
}

#[derive(Args)]
pub(super) struct OfDefinition {
    /// The name of a stored definition, or a YAML or JSON file.
    definition: String,
    /// The version. Default: the newest.
    #[arg(long)]
    version: Option<i32>,
    /// Write on each way how often the newest instances went it, and how long that took on average.
    #[arg(long)]
    counts: bool,
    #[command(flatten)]
    drawn: Drawn,
}

#[derive(Args)]
pub(super) struct OfInstance {
    /// The id of the instance.
    id: Uuid,
    #[command(flatten)]
    drawn: Drawn,
}

impl OfDefinition {
    /// The file, if one is meant: a name has no dot and no slash.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let named = Path::new(&self.definition);
        (self.definition.contains(['.', '/']) || named.is_file()).then(|| named.to_owned())
    }
}

/// Draws the document in a file; no server is asked.
pub(super) fn of_file(file: &PathBuf, arguments: &OfDefinition) -> Result<ExitCode> {
    if arguments.version.is_some() || arguments.counts {
        bail!("{} is a file: --version and --counts are of stored definitions", file.display());
    }
    let drawn = Graph::of(&definition::parse(file)?.definition);
    let text = match arguments.drawn.format {
        Language::Mermaid => graph::mermaid(&drawn, &Overlay::default()),
        Language::Svg => graph::svg(&drawn, &Overlay::default()),
    };
    arguments.drawn.write(&text)
}

pub(super) async fn of_definition(app: &App, arguments: &OfDefinition) -> Result<ExitCode> {
    let (name, version) = (&arguments.definition, arguments.version);
    let counts = if arguments.counts { Counts::With } else { Counts::Without };
    let Some(drawing) = app.definition_drawing(name, version, counts).await? else {
        match version {
            Some(version) => bail!("there is no definition `{name}` with version {version}"),
            None => bail!("there is no active definition `{name}`; `leveret definition list` lists them all"),
        }
    };
    arguments.drawn.draw(app, drawing).await
}

pub(super) async fn of_instance(app: &App, arguments: &OfInstance) -> Result<ExitCode> {
    let drawing = app.instance_drawing(InstanceId(arguments.id)).await?;
    let drawing = drawing.with_context(|| format!("there is no instance {}", arguments.id))?;
    arguments.drawn.draw(app, drawing).await
}

impl Drawn {
    async fn draw(&self, app: &App, drawing: Drawing) -> Result<ExitCode> {
        self.write(&app.draw(drawing, self.format.into()).await?)
    }

    fn write(&self, text: &str) -> Result<ExitCode> {
        match &self.out {
            None => output::line(text.trim_end()),
            Some(file) => {
                std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
                output::line(format!("{} was written", file.display()));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
