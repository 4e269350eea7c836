//! Sends a dead letter once more, once its cause is gone: through the outbox, as a new message of the same sender.

use uuid::Uuid;

use super::Error;
use crate::app::App;
use crate::broker::{Exchange, Queue};
use crate::store::dead_letters::{self, Kept};
use crate::store::outbox::{self, OutboxRow};
use crate::store::{self, Transaction};

/// Where the broker says that a message was before it gave up delivering it.
const FIRST_QUEUE: &str = "x-first-death-queue";

/// Sends it to where it was sent, and notes that; gives the message id it has now. The old one would be taken for a repetition of
/// what was refused.
///
/// # Errors
/// `NotFound`, or `Refused` if it cannot be sent as it came, or was sent once more already.
pub async fn redrive(app: &App, id: i64) -> Result<Uuid, Error> {
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    let Some(kept) = dead_letters::lock(&mut transaction, id).await? else {
        transaction.rollback().await;
        return Err(Error::NotFound(format!("there is no dead letter {id}")));
    };
    let row = match row(app, kept) {
        Ok(row) => row,
        Err(why) => {
            transaction.rollback().await;
            return Err(Error::Refused(why));
        }
    };
    let (sent_as, rows) = (row.id, vec![row]);
    outbox::push(&mut transaction, &rows).await?;
    if !dead_letters::mark_redriven(&mut transaction, id).await? {
        return Err(store::Error::Conflict.into());
    }
    transaction.commit().await?;
    app.publish(rows);
    Ok(sent_as)
}

fn row(app: &App, kept: Kept) -> Result<OutboxRow, String> {
    let Kept { id, redriven_at, body_bytes, letter, .. } = kept;
    if let Some(at) = redriven_at {
        return Err(format!("dead letter {id} was sent once more at {at}; what failed again has a letter of its own"));
    }
    if i64::try_from(letter.body.len()).ok() != Some(body_bytes) {
        return Err(format!("of the {body_bytes} bytes of dead letter {id} only {} were kept", letter.body.len()));
    }
    let prefix = format!("{}.", app.config.broker.prefix);
    let given_up_in = letter.headers.get(FIRST_QUEUE).filter(|_| letter.source == Queue::Dead.name());
    let queue = given_up_in.map_or(&letter.source, |queue| queue);
    let queue = queue.strip_prefix(&prefix).unwrap_or(queue);
    let (exchange, routing_key) = place(queue, letter.routing_key)
        .ok_or_else(|| format!("dead letter {id} came from `{queue}`: only commands can be sent once more"))?;
    let kind = letter.kind.ok_or_else(|| format!("dead letter {id} has no `type`: nobody could take it"))?;
    // What the broker and the ladder have noted is of the last journey.
    let is_kept = |name: &String| name == "traceparent" || name == "schema";
    let row = OutboxRow::new(app.new_id(), exchange, routing_key, kind, letter.body).with_claimable(app.claimable());
    Ok(OutboxRow {
        app_id: letter.app_id,
        headers: letter.headers.into_iter().filter(|(name, _)| is_kept(name)).collect(),
        instance_id: letter.instance_id,
        ..row
    })
}

/// Where what a queue holds is published.
fn place(queue: &str, routing_key: String) -> Option<(Exchange, String)> {
    if queue == Queue::Commands.name() {
        return Some((Exchange::Commands, routing_key));
    }
    queue.strip_prefix("steps.").map(|queue| (Exchange::Steps, queue.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_from_a_queue_of_commands_goes_back_to_its_exchange() {
        assert_eq!(place("commands", "start.order".into()), Some((Exchange::Commands, "start.order".into())));
        assert_eq!(place("steps.default", "whatever".into()), Some((Exchange::Steps, "default".into())));
        assert_eq!(place("work.resize", "resize".into()), None);
        assert_eq!(place("events.audit", "order.shipped".into()), None);
    }
}
