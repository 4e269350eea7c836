//! Compares the exchanges and queues of the broker with their declarations, side by side, without creating anything.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use lapin::Channel;

use super::connection::Connection;
use super::declaration::{Cause, DeclareError, Mode, apply, explain};
use super::error::{Error, is_missing};
use super::topology::{Declaration, Holds};

/// The broker must answer for an exchange or a queue within this time.
const ANSWER_FOR: Duration = Duration::from_secs(2);
/// Compared at once: with every delay queue down, a comparison takes some seconds.
const AT_ONCE_MAX: usize = 8;

/// How the exchanges and queues of the broker compare with their declarations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Number of those that are as declared.
    pub equal: usize,
    /// Names of those that do not exist.
    pub missing: Vec<String>,
    /// One sentence for each that has other arguments.
    pub different: Vec<String>,
    /// One sentence for each that does not answer.
    pub down: Vec<String>,
}

impl Compared {
    /// Whether everything exists as declared.
    pub fn is_equal(&self) -> bool {
        self.missing.is_empty() && self.different.is_empty() && self.down.is_empty()
    }

    fn add(&mut self, other: Self) {
        self.equal += other.equal;
        self.missing.extend(other.missing);
        self.different.extend(other.different);
        self.down.extend(other.down);
    }
}

/// Compares without creating anything.
///
/// # Errors
/// [`Error::Unavailable`] if the connection does not work.
pub(super) async fn compare(connection: &Connection, declarations: &[Declaration]) -> Result<Compared, Error> {
    let next = AtomicUsize::new(0);
    let share = async || -> Result<Compared, Error> {
        let (mut compared, mut channel) = (Compared::default(), None);
        while let Some(declaration) = declarations.get(next.fetch_add(1, Ordering::Relaxed)) {
            one(connection, declaration, &mut channel, &mut compared).await?;
        }
        Ok(compared)
    };
    let mut all = Compared::default();
    for compared in join_all((0..AT_ONCE_MAX.min(declarations.len())).map(|_| share())).await {
        all.add(compared?);
    }
    all.missing.sort();
    Ok(all)
}

async fn one(
    connection: &Connection,
    declaration: &Declaration,
    channel: &mut Option<Channel>,
    compared: &mut Compared,
) -> Result<(), Error> {
    let (name, advice) = match declaration {
        Declaration::Binding { .. } => return Ok(()),
        Declaration::Exchange { name, .. } => (name, "delete it; it is declared again within a minute"),
        Declaration::Queue { name, holds: Holds::WakeUps, .. } => {
            (name, "delete it; it holds only wake-ups, and is declared again within a minute")
        }
        Declaration::Queue { name, holds: Holds::Messages, .. } => {
            (name, "let it run empty, stop the workers and delete it; it is declared again")
        }
    };
    let usable = match channel.take() {
        Some(usable) => usable,
        None => connection.channel().await?,
    };
    let mut done = apply(&usable, declaration, Mode::Check, ANSWER_FOR).await;
    if done.is_ok() {
        done = apply(&usable, declaration, Mode::Declare, ANSWER_FOR).await;
    }
    let Err(error) = done else {
        compared.equal += 1;
        *channel = Some(usable);
        return Ok(());
    };
    if matches!(&error, DeclareError::Theirs(error) if is_missing(error)) {
        compared.missing.push(name.clone());
        return Ok(());
    }
    let problem = explain(connection, declaration, &error)?;
    match problem.cause {
        Cause::Down => compared.down.push(problem.says),
        Cause::Different => compared.different.push(format!("{}: {advice}", problem.says)),
    }
    Ok(())
}
