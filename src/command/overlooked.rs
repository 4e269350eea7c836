//! Messages that are kept although an open wait would take them. There must be none: a delivery and the opening of a wait
//! exclude each other by a lock.

use super::Error;
use super::message::{decide, deliver_command};
use crate::app::App;
use crate::contract;
use crate::engine::InstanceId;
use crate::store::{instances, messages};

/// The most pairs of a kept message and an open wait that are looked at. Most of them are there because the filter of the wait
/// does not hold.
const LOOKS_MAX: i64 = 1_000;

/// A message that is kept, and the wait that would take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlooked {
    /// The instance that waits.
    pub instance: InstanceId,
    /// The activity that waits.
    pub activity: String,
    /// The name of the message.
    pub name: String,
    /// The key of the message.
    pub key: String,
}

/// At most `limit` waits that have overlooked a kept message.
///
/// # Errors
/// Those of the database.
pub async fn overlooked(app: &App, limit: usize) -> Result<Vec<Overlooked>, Error> {
    let mut conn = app.store.background().await?;
    let mut found: Vec<Overlooked> = Vec::new();
    for pair in messages::beside_waits(&mut conn, LOOKS_MAX).await? {
        if found.len() >= limit || found.last().is_some_and(|last| last.instance == pair.instance) {
            continue;
        }
        let Some(loaded) = instances::find(&mut conn, pair.instance).await? else { continue };
        let (name, key) = (pair.message.name, pair.message.key);
        let message =
            contract::Message { name: name.clone(), key: key.clone(), data: pair.message.data, ..Default::default() };
        // Nothing is written: whether the engine would deliver it is the question.
        if decide(app, &loaded.movable()?, &deliver_command(pair.bookmark, &message)).await?.is_some() {
            found.push(Overlooked { instance: pair.instance, activity: pair.activity, name, key });
        }
    }
    Ok(found)
}
