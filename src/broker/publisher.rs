//! Publishing with confirms: one task owns one channel. What has come in meanwhile goes out as one group, whose
//! confirms are awaited together; so a message that comes back is always found in the group it was sent with.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::Shared;
use super::envelope::{self, Envelope};
use super::error::{Error, sort};
use super::link::Link;
use super::message::{Outgoing, Queue, Sent};

/// Messages in one call of `publish`.
pub const BATCH_MAX: usize = 500;
/// Batches that wait for one publisher.
pub(super) const JOBS_MAX: usize = 64;
/// Bytes of one call of `publish`, unless one message has more: what a slow network carries well within the time for confirms.
pub const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A group is not made longer once it has this many messages.
const GROUP_MAX: usize = 500;
/// Nor once it has this many bytes: all of it is confirmed in time, or all of it is sent again.
const GROUP_BYTES_MAX: usize = BATCH_BYTES_MAX;
/// An abandoned channel is closed within this time, or left to the connection's end.
const CLOSE_FOR: Duration = Duration::from_secs(2);

/// A batch, and who waits for it.
pub(super) struct Job {
    pub(super) batch: Vec<Outgoing>,
    pub(super) answer: oneshot::Sender<Result<Vec<Sent>, Error>>,
    /// Nobody waits any more after this.
    pub(super) until: Instant,
}

impl Job {
    fn bytes(&self) -> usize {
        self.batch.iter().map(|message| message.body.len()).sum()
    }
}

/// What became of a message, unless it came back.
type Settlement = Result<Sent, Error>;

/// What the broker said to one message.
struct Outcome {
    settled: Settlement,
    /// A message that came back, by its id, and why: not always the same message, because the library hangs it on
    /// whatever confirm comes next.
    returned: Option<(String, String)>,
}

impl Outcome {
    fn without_answer(settled: Settlement) -> Self {
        Self { settled, returned: None }
    }

    fn read(confirmation: Confirmation) -> Self {
        let settled = match &confirmation {
            Confirmation::Ack(_) => Ok(Sent::Confirmed),
            // One queue that is full must not hold up what goes to others: only this message was not taken.
            Confirmation::Nack(_) => Ok(Sent::Refused),
            Confirmation::NotRequested => Err(Error::Bug("the channel is not in confirm mode".into())),
        };
        let returned = confirmation.take_message().map(|message| {
            let id = message.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
            (id, format!("{} {}", message.reply_code, message.reply_text))
        });
        Self { settled, returned }
    }
}

/// A confirm channel and the connection it belongs to.
struct Line {
    link: Arc<Link>,
    channel: Channel,
}

/// Serves jobs until there will be no more; those that are queued when `stop` comes are still published.
pub(super) async fn run(shared: Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let mut line = None;
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
        run_once(&shared, &mut line, group).await;
    }
    drop_line(line).await;
}

/// The first job and what waits behind it.
fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>) -> Vec<Job> {
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

/// Publishes a group and answers everybody in it.
async fn run_once(shared: &Shared, line: &mut Option<Line>, group: Vec<Job>) {
    let now = Instant::now();
    let (group, late): (Vec<Job>, Vec<Job>) = group.into_iter().partition(|job| now < job.until);
    answer_all(late, &Error::Unavailable("too much waits to be published".into()));
    let (batches, answers): (Vec<_>, Vec<_>) = group.into_iter().map(|job| (job.batch, job.answer)).unzip();
    let result = publish(shared, line, &batches).await;
    if let Err(Error::Unavailable(_)) = &result {
        drop_line(line.take()).await;
    }
    match result {
        Ok(results) => {
            for (answer, result) in answers.into_iter().zip(results) {
                // Whoever has gone away keeps its rows and finds them again.
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

fn answer_all(jobs: Vec<Job>, error: &Error) {
    for job in jobs {
        let _ = job.answer.send(Err(error.clone()));
    }
}

/// Publishes all batches and waits for all confirms; an error concerns all of them.
async fn publish(
    shared: &Shared,
    line: &mut Option<Line>,
    batches: &[Vec<Outgoing>],
) -> Result<Vec<Result<Vec<Sent>, Error>>, Error> {
    let line = ensure_line(shared, line).await?;
    for queue in named_queues(batches) {
        match line.link.ensure(&shared.options.prefix, &queue).await {
            Err(error @ Error::Unavailable(_)) => return Err(error),
            // The messages to a queue that cannot be come back one by one.
            Ok(()) | Err(Error::Mismatch(_) | Error::Bug(_)) => {}
        }
    }
    let now = shared.clock.now();
    let sending =
        join_all(batches.iter().flatten().map(|message| send(&line.channel, &shared.options.prefix, message, now)));
    let outcomes = tokio::select! {
        outcomes = timeout(shared.options.confirm_timeout, sending) => outcomes,
        () = line.link.lost.cancelled() => return Err(Error::Unavailable("the connection broke".into())),
    };
    let outcomes =
        outcomes.map_err(|_| Error::Unavailable(format!("no confirm within {:?}", shared.options.confirm_timeout)))?;
    let mut returned = HashMap::new();
    let mut settled = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        settled.push(outcome.settled);
        returned.extend(outcome.returned);
    }
    if !returned.is_empty() {
        line.link.forget_declared();
        if batches
            .iter()
            .flatten()
            .any(|message| message.queue().is_some() && returned.contains_key(&message.message_id()))
        {
            shared.missing.send_modify(|times| *times += 1);
        }
    }
    if !line.channel.status().connected() {
        // The broker closed the channel, perhaps because an exchange is gone.
        line.link.forget_declared();
        let reason = settled.into_iter().find_map(Result::err);
        return Err(reason.unwrap_or_else(|| Error::Unavailable("the channel was closed".into())));
    }
    let mut settled = settled.into_iter();
    Ok(batches.iter().map(|batch| share(batch, &mut settled, &returned)).collect())
}

/// The part of one batch in what became of the group.
fn share(
    batch: &[Outgoing],
    settled: &mut impl Iterator<Item = Settlement>,
    returned: &HashMap<String, String>,
) -> Result<Vec<Sent>, Error> {
    // All of the batch's part has to be taken, also behind an error.
    let part: Vec<Settlement> = settled.take(batch.len()).collect();
    let results = part.into_iter().zip(batch).map(|(result, message)| {
        let returned = returned.get(&message.message_id()).cloned().map(Sent::Returned);
        result.map(|sent| returned.unwrap_or(sent))
    });
    results.collect()
}

/// The queues of queues and of workers outside that the batches are for: they are made when they are first needed.
fn named_queues(batches: &[Vec<Outgoing>]) -> BTreeSet<Queue> {
    let queues = batches.iter().flatten().filter_map(Outgoing::queue);
    queues.filter(|queue| matches!(queue, Queue::Steps(_) | Queue::Work(_))).collect()
}

/// Writes one message and waits for its confirm. Its first poll takes the delivery tag and queues the frames; all
/// futures of a channel are polled by one task, so that tags and frames have the same order.
async fn send(channel: &Channel, prefix: &str, message: &Outgoing, now: Timestamp) -> Outcome {
    let Envelope { exchange, routing_key, properties } = match envelope::seal(prefix, message, now) {
        Ok(envelope) => envelope,
        Err(reason) => return Outcome::without_answer(Ok(Sent::Returned(reason))),
    };
    let options = BasicPublishOptions { mandatory: message.is_mandatory(), ..BasicPublishOptions::default() };
    let confirmed = match channel.basic_publish(exchange, routing_key, options, &message.body, properties).await {
        Ok(confirm) => confirm.await,
        Err(error) => Err(error),
    };
    confirmed.map_or_else(|error| Outcome::without_answer(Err(sort("publish", &error))), Outcome::read)
}

/// The channel in hand if it still works, a new one otherwise.
async fn ensure_line<'a>(shared: &Shared, line: &'a mut Option<Line>) -> Result<&'a Line, Error> {
    let link = shared.publishing_link()?;
    let usable = line.take().filter(|line| Arc::ptr_eq(&line.link, &link) && line.channel.status().connected());
    let usable = match usable {
        Some(usable) => usable,
        None => {
            let channel = link.channel().await?;
            timeout(shared.options.confirm_timeout, channel.confirm_select(ConfirmSelectOptions::default()))
                .await
                .map_err(|_| Error::Unavailable("no confirm channel in time".into()))?
                .map_err(|error| sort("ask for confirms", &error))?;
            Line { link, channel }
        }
    };
    Ok(line.insert(usable))
}

async fn drop_line(line: Option<Line>) {
    let Some(line) = line else { return };
    if line.channel.status().connected() && !line.link.is_blocked() {
        // An abandoned channel may still hold confirms nobody waits for.
        let _ = timeout(CLOSE_FOR, line.channel.close(200, "bye".into())).await;
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
            message_id: None,
        }
    }

    fn job(bytes: usize) -> Job {
        let batch = vec![Outgoing { body: vec![0; bytes], ..message(1) }];
        Job { batch, answer: oneshot::channel().0, until: Instant::now() }
    }

    #[test]
    fn a_group_is_bounded_in_bytes_and_has_one_batch_in_any_case() {
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
    fn what_came_back_is_known_by_its_id_wherever_it_hung() {
        let batches = [vec![message(1), message(2)], vec![message(3)]];
        let returned = HashMap::from([(Uuid::from_u128(3).to_string(), "312 NO_ROUTE".to_owned())]);
        let mut settled =
            vec![Ok(Sent::Confirmed), Ok(Sent::Returned("too long".into())), Ok(Sent::Confirmed)].into_iter();
        let first = share(&batches[0], &mut settled, &returned);
        let second = share(&batches[1], &mut settled, &returned);
        assert_eq!(first, Ok(vec![Sent::Confirmed, Sent::Returned("too long".into())]));
        assert_eq!(second, Ok(vec![Sent::Returned("312 NO_ROUTE".into())]));
    }

    #[test]
    fn a_refused_message_holds_up_no_other() {
        let batch = [message(1), message(2)];
        let mut settled = vec![Ok(Sent::Refused), Ok(Sent::Confirmed)].into_iter();
        assert_eq!(share(&batch, &mut settled, &HashMap::new()), Ok(vec![Sent::Refused, Sent::Confirmed]));
    }

    #[test]
    fn an_error_fails_its_own_batch_only() {
        let batches = [vec![message(1), message(2)], vec![message(3)]];
        let broken = Error::Unavailable("the channel was closed".into());
        let mut settled = vec![Err(broken.clone()), Ok(Sent::Confirmed), Ok(Sent::Confirmed)].into_iter();
        assert_eq!(share(&batches[0], &mut settled, &HashMap::new()), Err(broken));
        assert_eq!(share(&batches[1], &mut settled, &HashMap::new()), Ok(vec![Sent::Confirmed]));
    }
}
