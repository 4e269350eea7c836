//! Publishes with confirms: one task owns one channel. Jobs that arrived meanwhile are published as one group, and their confirms
//! are awaited together, so that a returned message always belongs to the current group.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::connection::Connection;
use super::error::{Error, classify};
use super::message::{Outgoing, Queue, Sent};
use super::wire::envelope::{self, Envelope};
use super::{Shared, declare};

/// The largest number of messages in one call of `publish`.
pub const BATCH_MAX: usize = 500;
/// The largest number of batches that wait for one publisher.
pub(super) const QUEUED_JOBS_MAX: usize = 64;
/// Bytes of one call of `publish`, unless one message has more: a slow network carries them well within the confirm timeout.
pub const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Messages of one group, before which no further job is added.
const GROUP_MAX: usize = 500;
/// Bytes of one group, likewise: a group is confirmed as a whole in time, or published again.
const GROUP_BYTES_MAX: usize = BATCH_BYTES_MAX;
/// A channel that is no longer used must close within this time; otherwise it ends with the connection.
const CLOSE_FOR: Duration = Duration::from_secs(2);

/// A batch to be published.
pub(super) struct PublishJob {
    pub(super) batch: Vec<Outgoing>,
    /// Receives the result.
    pub(super) answer: oneshot::Sender<Result<Vec<Sent>, Error>>,
    /// The caller no longer waits after this time.
    pub(super) until: Instant,
}

impl PublishJob {
    fn bytes(&self) -> usize {
        self.batch.iter().map(|message| message.body.len()).sum()
    }
}

/// The confirm of a message, without its return.
type Confirm = Result<Sent, Error>;

/// The broker's answer to one message.
struct BrokerAnswer {
    confirm: Confirm,
    /// The id of a returned message, and the reason. It may be another message than the confirmed one: the library attaches a return
    /// to the next confirm.
    returned: Option<(String, String)>,
}

impl BrokerAnswer {
    fn without_return(confirm: Confirm) -> Self {
        Self { confirm, returned: None }
    }

    fn read(confirmation: Confirmation) -> Self {
        let confirm = match &confirmation {
            Confirmation::Ack(_) => Ok(Sent::Confirmed),
            // A queue that is full must not hold up messages to other queues: only this message was refused.
            Confirmation::Nack(_) => Ok(Sent::Refused),
            Confirmation::NotRequested => Err(Error::Bug("the channel is not in confirm mode".into())),
        };
        let returned = confirmation.take_message().map(|message| {
            let id = message.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
            (id, format!("{} {}", message.reply_code, message.reply_text))
        });
        Self { confirm, returned }
    }
}

/// A confirm channel and the connection it belongs to.
struct ConfirmChannel {
    connection: Arc<Connection>,
    channel: Channel,
}

/// Serves jobs until all senders are dropped or `stop` is cancelled. Jobs that are queued at the stop are still published.
pub(super) async fn run(shared: Arc<Shared>, mut jobs: mpsc::Receiver<PublishJob>) {
    let mut current = None;
    let mut stopping = false;
    loop {
        let first = tokio::select! {
            biased;
            () = shared.stop.cancelled(), if !stopping => {
                stopping = true;
                jobs.close();
                continue;
            }
            job = jobs.recv() => job,
        };
        let Some(first) = first else { break };
        let group = gather(first, &mut jobs);
        run_once(&shared, &mut current, group).await;
    }
    close_channel(current).await;
}

/// The first job and the jobs queued behind it, within the bounds of a group.
fn gather(first: PublishJob, jobs: &mut mpsc::Receiver<PublishJob>) -> Vec<PublishJob> {
    let (mut size, mut bytes) = (first.batch.len(), first.bytes());
    let mut group = vec![first];
    while size < GROUP_MAX && bytes < GROUP_BYTES_MAX {
        let Ok(next) = jobs.try_recv() else { break };
        size += next.batch.len();
        bytes = bytes.saturating_add(next.bytes());
        group.push(next);
    }
    group
}

/// Publishes a group and answers each job in it.
async fn run_once(shared: &Shared, current: &mut Option<ConfirmChannel>, group: Vec<PublishJob>) {
    let now = Instant::now();
    let (group, late): (Vec<PublishJob>, Vec<PublishJob>) = group.into_iter().partition(|job| now < job.until);
    answer_all(late, &Error::Unavailable("too many messages wait to be published".into()));
    let (batches, answers): (Vec<_>, Vec<_>) = group.into_iter().map(|job| (job.batch, job.answer)).unzip();
    let result = publish(shared, current, &batches).await;
    if let Err(Error::Unavailable(_)) = &result {
        close_channel(current.take()).await;
    }
    match result {
        Ok(results) => {
            for (answer, result) in answers.into_iter().zip(results) {
                // A caller that no longer waits still has its rows, and the sweep publishes them.
                let _ = answer.send(result);
            }
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
}

fn answer_all(jobs: Vec<PublishJob>, error: &Error) {
    for job in jobs {
        let _ = job.answer.send(Err(error.clone()));
    }
}

/// Publishes all batches and waits for all confirms; an error concerns all of them.
async fn publish(
    shared: &Shared,
    current: &mut Option<ConfirmChannel>,
    batches: &[Vec<Outgoing>],
) -> Result<Vec<Result<Vec<Sent>, Error>>, Error> {
    let current = ensure_channel(shared, current).await?;
    // Messages to a queue that cannot be declared are returned one by one.
    declare::needed(&current.connection, &shared.options.prefix, named_queues(batches)).await;
    let now = shared.clock.now();
    let sending =
        join_all(batches.iter().flatten().map(|message| send(&current.channel, &shared.options.prefix, message, now)));
    let answers = tokio::select! {
        answers = timeout(shared.options.confirm_timeout, sending) => answers,
        () = current.connection.lost.cancelled() => return Err(Error::Unavailable("the connection was lost".into())),
    };
    let answers =
        answers.map_err(|_| Error::Unavailable(format!("no confirm within {:?}", shared.options.confirm_timeout)))?;
    let mut returned = HashMap::new();
    let mut confirms = Vec::with_capacity(answers.len());
    for answer in answers {
        confirms.push(answer.confirm);
        returned.extend(answer.returned);
    }
    if !returned.is_empty() {
        current.connection.forget_declared();
        if batches
            .iter()
            .flatten()
            .any(|message| message.queue().is_some() && returned.contains_key(&message.message_id()))
        {
            shared.missing.send_modify(|times| *times += 1);
        }
    }
    if !current.channel.status().connected() {
        // The broker closed the channel, for instance because an exchange was deleted.
        current.connection.forget_declared();
        let reason = confirms.into_iter().find_map(Result::err);
        return Err(reason.unwrap_or_else(|| Error::Unavailable("the channel was closed".into())));
    }
    let mut confirms = confirms.into_iter();
    Ok(batches.iter().map(|batch| take_results(batch, &mut confirms, &returned)).collect())
}

/// The results of one batch, taken from those of the group.
fn take_results(
    batch: &[Outgoing],
    confirms: &mut impl Iterator<Item = Confirm>,
    returned: &HashMap<String, String>,
) -> Result<Vec<Sent>, Error> {
    // All confirms of the batch have to be taken, also after an error.
    let part: Vec<Confirm> = confirms.take(batch.len()).collect();
    let results = part.into_iter().zip(batch).map(|(result, message)| {
        let returned = returned.get(&message.message_id()).cloned().map(Sent::Returned);
        result.map(|sent| returned.unwrap_or(sent))
    });
    results.collect()
}

/// The queues of steps and of work that the batches are for: they are declared when they are first needed.
fn named_queues(batches: &[Vec<Outgoing>]) -> BTreeSet<Queue> {
    let queues = batches.iter().flatten().filter_map(Outgoing::queue);
    queues.filter(|queue| matches!(queue, Queue::Steps(_) | Queue::Work(_))).collect()
}

/// Publishes one message and waits for its confirm. The first poll takes the delivery tag and queues the frames; one task polls all
/// futures of a channel, so that tags and frames have the same order.
async fn send(channel: &Channel, prefix: &str, message: &Outgoing, now: Timestamp) -> BrokerAnswer {
    let Envelope { exchange, routing_key, properties } = match envelope::seal(prefix, message, now) {
        Ok(envelope) => envelope,
        Err(reason) => return BrokerAnswer::without_return(Ok(Sent::Returned(reason))),
    };
    let options = BasicPublishOptions { mandatory: message.is_mandatory(), ..BasicPublishOptions::default() };
    let confirmed = match channel.basic_publish(exchange, routing_key, options, &message.body, properties).await {
        Ok(confirm) => confirm.await,
        Err(error) => Err(error),
    };
    confirmed.map_or_else(|error| BrokerAnswer::without_return(Err(classify("publish", &error))), BrokerAnswer::read)
}

/// The current channel if it still works, a new one otherwise.
async fn ensure_channel<'a>(
    shared: &Shared,
    current: &'a mut Option<ConfirmChannel>,
) -> Result<&'a ConfirmChannel, Error> {
    let connection = shared.publishing_connection()?;
    let usable = current
        .take()
        .filter(|current| Arc::ptr_eq(&current.connection, &connection) && current.channel.status().connected());
    let usable = match usable {
        Some(usable) => usable,
        None => {
            let channel = connection.channel().await?;
            timeout(shared.options.confirm_timeout, channel.confirm_select(ConfirmSelectOptions::default()))
                .await
                .map_err(|_| Error::Unavailable("no confirm channel in time".into()))?
                .map_err(|error| classify("select confirms", &error))?;
            ConfirmChannel { connection, channel }
        }
    };
    Ok(current.insert(usable))
}

async fn close_channel(current: Option<ConfirmChannel>) {
    let Some(current) = current else { return };
    if current.channel.status().connected() && !current.connection.is_blocked() {
        // The channel may still hold confirms that nothing waits for.
        let _ = timeout(CLOSE_FOR, current.channel.close(200, "bye".into())).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::broker::Exchange;

    fn message(id: u128) -> Outgoing {
        Outgoing {
            id: Uuid::from_u128(id),
            exchange: Exchange::Work,
            routing_key: "nobody".into(),
            kind: "call".into(),
            app_id: None,
            headers: BTreeMap::new(),
            body: Vec::new(),
            due_at: None,
            reply_to: None,
            correlation_id: None,
            priority: None,
            message_id: None,
        }
    }

    fn job(bytes: usize) -> PublishJob {
        let batch = vec![Outgoing { body: vec![0; bytes], ..message(1) }];
        PublishJob { batch, answer: oneshot::channel().0, until: Instant::now() }
    }

    #[test]
    fn a_group_is_bounded_in_bytes_and_has_at_least_one_batch() {
        let (sender, mut jobs) = mpsc::channel(9);
        for bytes in [BATCH_BYTES_MAX - 1, 9, 5 * BATCH_BYTES_MAX, 1, 1] {
            sender.try_send(job(bytes)).unwrap();
        }
        let mut sizes = Vec::new();
        while let Ok(first) = jobs.try_recv() {
            sizes.push(gather(first, &mut jobs).len());
        }
        assert_eq!(sizes, [2, 1, 2]);
    }

    #[test]
    fn a_returned_message_is_matched_by_its_id() {
        let batches = [vec![message(1), message(2)], vec![message(3)]];
        let returned = HashMap::from([(Uuid::from_u128(3).to_string(), "312 NO_ROUTE".to_owned())]);
        let mut confirms =
            vec![Ok(Sent::Confirmed), Ok(Sent::Returned("too long".into())), Ok(Sent::Confirmed)].into_iter();
        let first = take_results(&batches[0], &mut confirms, &returned);
        let second = take_results(&batches[1], &mut confirms, &returned);
        assert_eq!(first, Ok(vec![Sent::Confirmed, Sent::Returned("too long".into())]));
        assert_eq!(second, Ok(vec![Sent::Returned("312 NO_ROUTE".into())]));
    }

    #[test]
    fn a_refused_message_does_not_affect_others() {
        let batch = [message(1), message(2)];
        let mut confirms = vec![Ok(Sent::Refused), Ok(Sent::Confirmed)].into_iter();
        assert_eq!(take_results(&batch, &mut confirms, &HashMap::new()), Ok(vec![Sent::Refused, Sent::Confirmed]));
    }

    #[test]
    fn an_error_fails_only_its_own_batch() {
        let batches = [vec![message(1), message(2)], vec![message(3)]];
        let broken = Error::Unavailable("the channel was closed".into());
        let mut confirms = vec![Err(broken.clone()), Ok(Sent::Confirmed), Ok(Sent::Confirmed)].into_iter();
        assert_eq!(take_results(&batches[0], &mut confirms, &HashMap::new()), Err(broken));
        assert_eq!(take_results(&batches[1], &mut confirms, &HashMap::new()), Ok(vec![Sent::Confirmed]));
    }
}
