//! The command line: `leveret <noun> <verb>`. The stock binary and users' own programs call [`run`].

mod audit;
mod bench;
mod bulk;
mod call;
mod cleaner;
mod control;
mod dead_letter;
mod definition;
pub mod dev;
mod doctor;
mod history;
mod incident;
mod instance;
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
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::app::App;
use crate::config::Config;
use crate::handlers::Handlers;
use output::Output;

/// The most worker threads of the runtime; use more processes for more cores.
const THREADS_MAX: usize = 8;

#[derive(Parser)]
#[command(name = "leveret", version, about = "Durable workflows on PostgreSQL and RabbitMQ")]
struct Arguments {
    /// Settings file. Default: leveret.toml, if it exists. The environment takes precedence: LEVERET_DATABASE__URL, DATABASE_URL,
    /// AMQP_URL, …
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print results.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
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
    /// Print the HTTP API as OpenAPI 3.1.
    Openapi,
    /// Start, show and stop the private servers under .leveret/.
    #[command(subcommand)]
    Sandbox(dev::SandboxVerb),
}

/// Runs the command line with these handlers. Exit codes: 0 success, 1 failure, 2 wrong usage.
pub fn run(handlers: Handlers) -> ExitCode {
    let arguments = Arguments::parse();
    crate::failpoint::arm();
    match block_on(execute(arguments, handlers)) {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
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
    let output = arguments.output;
    let config = || Config::load(arguments.config.as_deref()).context("the settings cannot be used");
    match arguments.noun {
        Noun::Dev(dev) => dev::run(config()?, dev, handlers).await,
        Noun::Serve(serve) => serve::run(config()?, &serve, handlers).await,
        Noun::Migrate(migrate) => migrate::run(config()?, &migrate).await,
        Noun::Definition(definition::Verb::Check { files }) => definition::check(&files, output),
        Noun::Definition(definition::Verb::Schema) => definition::schema(),
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
