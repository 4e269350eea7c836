//! `leveret message send|list`

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::instance::origin;
use super::output::{self, Output};
use crate::app::App;
use crate::command::{self, Applied, Delivered};
use crate::contract::{LIST, Message};
use crate::store::messages::Filter;
use crate::store::views;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Send a message. If no instance waits for it yet, it is kept for its time to live.
    Send {
        /// The name of the message.
        #[arg(value_parser = output::named)]
        name: String,
        /// The correlation key.
        #[arg(value_parser = output::named)]
        key: String,
        /// The data as JSON.
        #[arg(long, default_value = "null")]
        data: String,
        /// Time to live in seconds.
        #[arg(long)]
        ttl: Option<u32>,
        /// Deliver to every instance that waits now; never kept.
        #[arg(long, conflicts_with = "ttl")]
        broadcast: bool,
    },
    /// List kept messages, newest first.
    List {
        /// Only messages with this name.
        #[arg(long)]
        name: Option<String>,
        /// Only messages with this key.
        #[arg(long)]
        key: Option<String>,
        #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
        limit: i64,
    },
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::Send { name, key, data, ttl, broadcast } => {
            let data = output::value("--data", &data)?;
            send(app, Message { name, key, data, ttl, broadcast }, output).await?;
        }
        Verb::List { name, key, limit } => {
            list(app, &Filter { name, key, before: None, limit }, output).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn send(app: &App, message: Message, output: Output) -> Result<()> {
    let (body, text) = match command::message(app, message, &origin(app)).await? {
        Applied::New(Delivered::To(committed)) => {
            let id = committed.instance.id;
            (json!({ "outcome": "delivered", "instance": id }), format!("delivered to {id}"))
        }
        Applied::New(Delivered::Kept) => {
            (json!({ "outcome": "kept", "instance": null }), "kept: no instance waits for it yet".to_owned())
        }
        Applied::New(Delivered::Broadcast(count)) => (
            json!({ "outcome": "broadcast", "receivers": count }),
            format!("broadcast to {count} {}", if count == 1 { "wait" } else { "waits" }),
        ),
        Applied::Repeated(answer) => (json!(answer), answer.outcome),
    };
    match output {
        Output::Json => output::json(&body),
        Output::Table => {
            output::line(text);
            Ok(())
        }
    }
}

async fn list(app: &App, filter: &Filter, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let page = views::messages(&mut conn, filter).await?;
    match output {
        Output::Json => output::json(&page),
        Output::Table if page.items.is_empty() => {
            output::line("no kept messages");
            Ok(())
        }
        Output::Table => {
            let rows = page.items.into_iter().map(|one| {
                let times = [one.received_at, one.expires_at].map(output::moment);
                let [received, expires] = times;
                vec![one.id.to_string(), one.name, one.key, received, expires, one.data.to_string()]
            });
            output::table(&["id", "name", "key", "received", "kept until", "data"], rows.collect());
            if page.next.is_some() {
                output::more(filter.limit);
            }
            Ok(())
        }
    }
}
