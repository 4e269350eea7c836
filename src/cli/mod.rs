//! The command line: `leveret <noun> <verb>`. The stock binary and users' own programs call [`run`].

mod audit;
mod bench;
mod bulk;
mod call;
mod cleaner;
mod completion;
mod control;
mod dead_letter;
mod definition;
pub mod dev;
mod doctor;
mod graph;
mod history;
mod incident;
mod instance;
mod key;
mod message;
mod migrate;
mod outbox;
mod output;
mod schedule;
mod serve;
mod settings;
mod target;
mod task;
mod timer;
mod top;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::app::App;
use crate::config::Config;
use crate::handlers::Handlers;
use output::{Format, Output};

/// The most worker threads of the runtime; use more processes for more cores.
const THREADS_MAX: usize = 8;

/// What the codes mean, for every command.
const EXIT_CODES: &str = "\
Exit codes:
  0  it is done, and what was asked about is well
  1  it failed, or what was asked about is not well: an invalid document, a finding of doctor, an instance that failed
  2  the command line is wrong";

#[derive(Parser)]
#[command(name = "leveret", version, about = "Durable workflows on PostgreSQL and RabbitMQ", after_help = EXIT_CODES)]
struct Arguments {
    /// Settings file. Default: leveret.toml, if it exists. The environment takes precedence: LEVERET_DATABASE__URL, DATABASE_URL,
    /// AMQP_URL, …
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The profile of the settings file whose values take precedence, `[profiles.NAME]`. Default: LEVERET_PROFILE.
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// How to print results.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Show a list again every two seconds, until Ctrl-C.
    #[arg(long, global = true)]
    watch: bool,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Subcommand)]
enum Noun {
    /// Start private servers, migrate, apply the examples and run every role: for development.
    Dev(dev::Arguments),
    /// Run roles against the configured servers.
    Serve(serve::Arguments),
    /// Create or update the database schema.
    Migrate(migrate::Arguments),
    /// Check, apply, list and show workflow documents.
    #[command(subcommand)]
    Definition(definition::Verb),
    /// Start, list, watch and control instances.
    #[command(subcommand)]
    Instance(instance::Verb),
    /// Operate on every instance that a filter matches.
    #[command(subcommand)]
    Bulk(bulk::Verb),
    /// Send messages to waiting instances, and list kept messages.
    #[command(subcommand)]
    Message(message::Verb),
    /// List, claim and complete the tasks of people.
    #[command(subcommand)]
    Task(task::Verb),
    /// List calls to servers and external workers, and resolve those with an unknown outcome.
    #[command(subcommand)]
    Call(call::Verb),
    /// List and reschedule open timers.
    #[command(subcommand)]
    Timer(timer::Verb),
    /// List incidents one by one or by cause, note who looks after a cause, and resolve them.
    #[command(subcommand)]
    Incident(incident::Verb),
    /// List, show and redrive messages that could not be handled.
    #[command(subcommand)]
    DeadLetter(dead_letter::Verb),
    /// Publish dead outbox rows again.
    #[command(subcommand)]
    Outbox(outbox::Verb),
    /// Make, list and revoke the keys of the API.
    #[command(subcommand)]
    Key(key::Verb),
    /// List what operators have done.
    #[command(subcommand)]
    Audit(audit::Verb),
    /// Delete what is no longer kept, as the role cleaner does every ten minutes.
    Cleaner(cleaner::Arguments),
    /// Verify the history of instances, and seal it outside of the database.
    #[command(subcommand)]
    History(history::Verb),
    /// Start instances by cron expressions.
    #[command(subcommand)]
    Schedule(schedule::Verb),
    /// List the targets of calls, their circuit breakers, limits and waiting calls.
    #[command(subcommand)]
    Target(target::Verb),
    /// Show the effective settings.
    #[command(subcommand)]
    Config(settings::Verb),
    /// Measure the throughput of this machine: PostgreSQL alone, and with Leveret.
    Bench(bench::Arguments),
    /// Check database, broker, schema and queues, and find stuck instances.
    Doctor(doctor::Arguments),
    /// Print the contract of messages as AsyncAPI 3.0.
    Asyncapi,
    /// Print the script that completes commands and options in a shell.
    #[command(after_help = completion::HELP)]
    Completion {
        /// The shell.
        #[arg(value_enum)]
        shell: completion::Shell,
    },
    /// Print the HTTP API as OpenAPI 3.1.
    Openapi,
    /// Start, show and stop the private servers under .leveret/.
    #[command(subcommand)]
    Sandbox(dev::SandboxVerb),
}

impl Noun {
    /// Whether it is a list, which can be shown again and again.
    fn is_list(&self) -> bool {
        match self {
            Noun::Definition(verb) => matches!(verb, definition::Verb::List { .. }),
            Noun::Instance(verb) => matches!(verb, instance::Verb::List(_)),
            Noun::Bulk(verb) => matches!(verb, bulk::Verb::List { .. } | bulk::Verb::Items { .. }),
            Noun::Message(verb) => matches!(verb, message::Verb::List { .. }),
            Noun::Task(verb) => matches!(verb, task::Verb::List(_) | task::Verb::Count(_)),
            Noun::Call(verb) => matches!(verb, call::Verb::List { .. }),
            Noun::Timer(verb) => matches!(verb, timer::Verb::List { .. }),
            Noun::Incident(verb) => matches!(verb, incident::Verb::List { .. } | incident::Verb::Groups { .. }),
            Noun::DeadLetter(verb) => matches!(verb, dead_letter::Verb::List { .. }),
            Noun::Audit(verb) => matches!(verb, audit::Verb::List { .. }),
            Noun::Schedule(verb) => matches!(verb, schedule::Verb::List { .. }),
            Noun::Target(verb) => matches!(verb, target::Verb::List { .. }),
            Noun::Key(verb) => matches!(verb, key::Verb::List { .. }),
            Noun::Dev(_)
            | Noun::Serve(_)
            | Noun::Migrate(_)
            | Noun::Outbox(_)
            | Noun::Cleaner(_)
            | Noun::History(_)
            | Noun::Config(_)
            | Noun::Bench(_)
            | Noun::Doctor(_)
            | Noun::Asyncapi
            | Noun::Openapi
            | Noun::Completion { .. }
            | Noun::Sandbox(_) => false,
        }
    }

    /// Whether it has a `--watch` of its own.
    fn watches_itself(&self) -> bool {
        matches!(self, Noun::Instance(instance::Verb::Start(_)))
    }
}

/// The command line as clap describes it, for scripts that complete it.
fn described() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

/// Runs the command line with these handlers. Exit codes: 0 success, 1 failure, 2 wrong usage.
pub fn run(handlers: Handlers) -> ExitCode {
    let arguments = Arguments::parse();
    crate::failpoint::arm();
    output::choose(arguments.output);
    let work = async {
        match arguments.watch && !arguments.noun.watches_itself() {
            false => execute(arguments, handlers).await,
            true if arguments.noun.is_list() => again(&handlers).await,
            true => {
                output::error(&anyhow::anyhow!("`--watch` shows lists again: this command is not one"));
                Ok(ExitCode::from(WRONG))
            }
        }
    };
    match block_on(work) {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// The exit code of a wrong command line.
const WRONG: u8 = 2;
/// The pause between two looks at a list.
const AGAIN_AFTER: std::time::Duration = std::time::Duration::from_secs(2);

/// Shows a list again and again. What cannot be read once is told, and tried again.
async fn again(handlers: &Handlers) -> Result<ExitCode> {
    loop {
        output::begin_frame();
        if let Err(error) = execute(Arguments::parse(), handlers.clone()).await {
            output::line(format!("error: {error:#}"));
        }
        output::end_frame();
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Prints the history of an instance as it is committed, until the instance ends or is suspended; true if it completed.
///
/// # Errors
/// If the database cannot be read.
pub async fn follow(app: &App, id: crate::engine::InstanceId) -> Result<bool> {
    Ok(watch::follow(app, id, Output::Table).await? == ExitCode::SUCCESS)
}

/// Runs a future on the runtime the command line uses.
///
/// # Errors
/// If the runtime cannot be started, and those of the future.
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, THREADS_MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(work)
}

async fn execute(arguments: Arguments, handlers: Handlers) -> Result<ExitCode> {
    let output = Output::from(arguments.output);
    let config = || {
        Config::load_profile(arguments.config.as_deref(), arguments.profile.as_deref())
            .context("the settings cannot be used")
    };
    match arguments.noun {
        Noun::Dev(dev) => Box::pin(dev::run(config()?, dev, handlers)).await,
        Noun::Serve(serve) => serve::run(config()?, &serve, handlers).await,
        Noun::Migrate(migrate) => migrate::run(config()?, &migrate).await,
        Noun::Definition(definition::Verb::Check { files }) => definition::check(&files, output),
        Noun::Definition(definition::Verb::Schema) => definition::schema(),
        Noun::Definition(definition::Verb::Graph(graph)) => match graph.file() {
            Some(file) => graph::of_file(&file, &graph),
            None => graph::of_definition(&short_lived(config()?, handlers)?, &graph).await,
        },
        Noun::Definition(verb) => definition::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Instance(verb) => instance::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Bulk(verb) => bulk::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Message(verb) => message::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Task(verb) => task::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Call(verb) => call::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Timer(verb) => timer::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Incident(verb) => incident::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::DeadLetter(verb) => dead_letter::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Outbox(verb) => outbox::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Key(verb) => key::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Audit(verb) => audit::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Cleaner(arguments) => cleaner::run(&short_lived(config()?, handlers)?, arguments, output).await,
        Noun::History(verb) => match history::offline(&verb, output)? {
            Some(code) => Ok(code),
            None => history::run(&short_lived(config()?, handlers)?, verb, output).await,
        },
        Noun::Schedule(verb) => schedule::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Target(verb) => target::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Config(verb) => settings::run(&config()?, &verb),
        Noun::Bench(bench) => bench::run(&bench, output).await,
        Noun::Doctor(arguments) => doctor::run(config()?, arguments, output).await,
        Noun::Asyncapi => {
            output::json(&crate::contract::asyncapi::document(&config()?.broker.prefix))?;
            Ok(ExitCode::SUCCESS)
        }
        Noun::Completion { shell } => completion::print(shell),
        Noun::Openapi => {
            output::json(&crate::http::openapi())?;
            Ok(ExitCode::SUCCESS)
        }
        Noun::Sandbox(verb) => dev::sandbox(verb),
    }
}

/// For commands whose outbox rows a running relay publishes.
fn short_lived(mut config: Config, handlers: Handlers) -> Result<App> {
    dev::fall_back_to_sandbox(&mut config);
    if config.database.url.is_empty() {
        anyhow::bail!(
            "no database is configured: set DATABASE_URL, or `database.url` in leveret.toml, or run `leveret dev`"
        );
    }
    // One command uses one connection; the others keep it from waiting for itself.
    config.database.background_pool_max = 3;
    App::without_publisher(config, handlers, "leveret cli").context("the database cannot be used")
}
