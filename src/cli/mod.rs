//! The command line: `leveret <noun> <verb>`. The stock binary and users' own programs call [`run`].

mod bench;
mod call;
mod dead_letter;
mod definition;
pub mod dev;
mod doctor;
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

/// Worker threads of the runtime at most; more cores are used by more processes.
const THREADS_MAX: usize = 8;

#[derive(Parser)]
#[command(name = "leveret", version, about = "Durable workflows on PostgreSQL and RabbitMQ")]
struct Arguments {
    /// Settings file; `leveret.toml` when it is there. The environment wins: LEVERET_DATABASE__URL, DATABASE_URL, AMQP_URL, ….
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Subcommand)]
enum Noun {
    /// Start private servers, migrate, apply the examples and run every role: for trying things out.
    Dev(dev::Arguments),
    /// Run roles against the configured servers.
    Serve(serve::Arguments),
    /// Bring the database's schema up to date.
    Migrate(migrate::Arguments),
    /// Check, apply and show workflow documents.
    #[command(subcommand)]
    Definition(definition::Verb),
    /// Start, watch and control instances.
    #[command(subcommand)]
    Instance(instance::Verb),
    /// Send messages to waiting instances, and see what is kept.
    #[command(subcommand)]
    Message(message::Verb),
    /// Find, claim and do what waits for people.
    #[command(subcommand)]
    Task(task::Verb),
    /// See calls to other services and workers, and resolve those nobody knows the outcome of.
    #[command(subcommand)]
    Call(call::Verb),
    /// See open timers, and put them off.
    #[command(subcommand)]
    Timer(timer::Verb),
    /// See what waits for a person after a failure, or because one asked for it.
    #[command(subcommand)]
    Incident(timer::IncidentVerb),
    /// Look at messages that could not be handled, and send them once more.
    #[command(subcommand)]
    DeadLetter(dead_letter::Verb),
    /// Revive what was given up publishing.
    #[command(subcommand)]
    Outbox(outbox::Verb),
    /// Start a definition again and again, by a cron expression.
    #[command(subcommand)]
    Schedule(schedule::Verb),
    /// See whom calls ask, how they stand, and what waits for them.
    #[command(subcommand)]
    Target(target::Verb),
    /// Show the effective settings.
    #[command(subcommand)]
    Config(settings::Verb),
    /// Measure this machine: PostgreSQL alone, and with Leveret in between.
    Bench(bench::Arguments),
    /// Check database, broker, schema, queues and whether anything is stuck.
    Doctor,
    /// Print the contract of messages as AsyncAPI 3.0.
    Asyncapi,
    /// Start, show and stop the private servers under `.leveret/`.
    #[command(subcommand)]
    Sandbox(dev::SandboxVerb),
}

/// Runs the command line with these handlers; the exit code is 0 on success, 1 on failure, 2 on wrong usage.
pub fn run(handlers: Handlers) -> ExitCode {
    let arguments = Arguments::parse();
    crate::failpoint::arm();
    match block_on(carry_out(arguments, handlers)) {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints what happens to an instance as it is committed, until it has ended or is suspended; says whether it completed.
///
/// # Errors
/// If the database cannot be read.
pub async fn follow(app: &App, id: crate::engine::InstanceId) -> Result<bool> {
    Ok(watch::follow(app, id, Output::Table).await? == ExitCode::SUCCESS)
}

/// Runs a future on the runtime the command line uses.
///
/// # Errors
/// If no runtime can be started, or the future's own.
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, THREADS_MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(work)
}

async fn carry_out(arguments: Arguments, handlers: Handlers) -> Result<ExitCode> {
    let output = arguments.output;
    let config = || Config::load(arguments.config.as_deref()).context("the settings cannot be used");
    match arguments.noun {
        Noun::Dev(dev) => dev::run(config()?, dev, handlers).await,
        Noun::Serve(serve) => serve::run(config()?, &serve, handlers).await,
        Noun::Migrate(migrate) => migrate::run(config()?, &migrate).await,
        Noun::Definition(definition::Verb::Check { files }) => definition::check(&files, output),
        Noun::Definition(verb) => definition::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Instance(verb) => instance::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Message(verb) => message::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Task(verb) => task::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Call(verb) => call::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Timer(verb) => timer::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Incident(verb) => timer::incidents(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::DeadLetter(verb) => dead_letter::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Outbox(verb) => outbox::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Schedule(verb) => schedule::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Target(verb) => target::run(&short_lived(config()?, handlers)?, verb, output).await,
        Noun::Config(verb) => settings::run(&config()?, &verb),
        Noun::Bench(bench) => bench::run(&bench, output).await,
        Noun::Doctor => doctor::run(config()?, output).await,
        Noun::Asyncapi => {
            output::json(&crate::contract::asyncapi::document(&config()?.broker.prefix))?;
            Ok(ExitCode::SUCCESS)
        }
        Noun::Sandbox(verb) => dev::sandbox(verb),
    }
}

/// For commands that commit something and leave its publishing to a running relay.
fn short_lived(mut config: Config, handlers: Handlers) -> Result<App> {
    dev::fall_back_to_sandbox(&mut config);
    if config.database.url.is_empty() {
        anyhow::bail!(
            "no database is configured: set DATABASE_URL, or `database.url` in leveret.toml, or run `leveret dev`"
        );
    }
    // One command needs one connection, and never waits for the other's.
    config.database.pool_max = 2;
    config.database.background_pool_max = 2;
    App::without_publisher(config, handlers, "leveret cli").context("the database cannot be used")
}
