//! Consumes commands and drives what they leave ready. A delivery is acknowledged only after the commit that settles it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, Semaphore};

use super::bounce;
use super::calls;
use super::command::{self, Received};
use super::stride::{self, Held};
use super::tasks;
use crate::app::{App, rest};
use crate::broker::{Delivery, Exchange, Outgoing, Queue, SENT_AT, Sent};
use crate::contract::{Command, Fire};
use crate::engine::{BranchId, InstanceId, Refusal};
use crate::step::{self, Answer, Delivered, Error, Letter, Moved, Origin, Started, Steer, Steered};
use crate::store;
use crate::telemetry;

/// Tries of one delivery while the database is busy; then it goes down the ladder.
const TRIES_MAX: u32 = 5;
/// Step commands in hand for each stride at once: hints that are early wait in memory, and must not keep others from coming.
/// Commands from outside get one each: a flood of them must not stand between a timer and its stride.
const PREFETCH_PER_STRIDE: usize = 8;
/// The pause before another try: this times the number of tries, and up to this more.
const BUSY_FOR_MS: u64 = 25;
/// The pause before a delivery goes back that could not be sent down the ladder.
const LATER: Duration = Duration::from_secs(1);
/// A timer hint this early is waited for in memory; one earlier goes down the ladder again.
const EARLY_MAX: Duration = Duration::from_millis(120);
/// The pause between two looks whether the database is back.
const PROBE_EVERY: Duration = Duration::from_millis(500);

/// What all consumers of a process share.
#[derive(Clone)]
struct Gates {
    /// One bound for all queues: strides at once.
    strides: Arc<Semaphore>,
    /// Held while a command is carried out that came again. One of them may have killed its worker: alone, it cannot take
    /// innocent neighbours with it, whose deliveries would then look as guilty as its own.
    suspects: Arc<Mutex<()>>,
}

/// Starts a consumer for the commands and one for each lane.
pub fn start(app: &App) {
    let strides = Arc::new(Semaphore::new(app.config.worker.concurrency));
    let gates = Gates { strides, suspects: Arc::default() };
    let mut queues = vec![Queue::Commands];
    queues.extend(app.config.worker.lanes.iter().cloned().map(Queue::Steps));
    for queue in queues {
        let gates = gates.clone();
        app.supervise("worker", move |app| run(app, queue.clone(), gates.clone()));
    }
}

async fn run(app: App, queue: Queue, gates: Gates) -> Result<(), store::Error> {
    let per_stride = match &queue {
        Queue::Steps(_) => PREFETCH_PER_STRIDE,
        Queue::Commands | Queue::Dead | Queue::Events(_) | Queue::Calls | Queue::Work(_) => 1,
    };
    let prefetch = u16::try_from(app.config.worker.concurrency * per_stride).unwrap_or(u16::MAX);
    let mut deliveries = app.broker.consume(queue, prefetch);
    let begin = |delivery: Delivery| {
        let (app, gates) = (app.clone(), gates.clone());
        app.tasks.clone().spawn(async move { Box::pin(handle(&app, delivery, &gates)).await });
    };
    loop {
        tokio::select! {
            delivery = deliveries.next() => match delivery {
                Some(delivery) => begin(delivery),
                None => break,
            },
            () = app.stop.cancelled() => break,
        }
    }
    // What was delivered is finished here, one step each.
    deliveries.drain().await.into_iter().for_each(begin);
    Ok(())
}

/// Carries one delivery to its acknowledgement.
async fn handle(app: &App, delivery: Delivery, gates: &Gates) {
    telemetry::count_delivery(&delivery.queue.name(), delivery.redelivered);
    let received = match command::read(&delivery, app.config.limits.message_max) {
        Ok(received) => received,
        Err(reason) => return bury(app, delivery, &reason, (None, None)).await,
    };
    if let Command::Continue(_) = &received.command {
        telemetry::observe_queue_wait(delivery.headers.get(SENT_AT), app.clock.now());
    }
    if let Command::Fire(fire) = &received.command {
        match wait_until_due(app, fire).await {
            Due::Now => {}
            Due::Later => return later(app, delivery, fire.due_at).await,
        }
    }
    let _alone = match delivery.redelivered {
        true => Some(gates.suspects.lock().await),
        false => None,
    };
    // Closed never; were it, one stride too many would be the lesser evil.
    let _stride = gates.strides.acquire().await;
    for attempt in 1..=TRIES_MAX {
        match carry_out(app, &received, &delivery).await {
            Ok(Held::Done) => return acknowledge(delivery).await,
            Ok(Held::Elsewhere) => return bounce(app, delivery, &received.command).await,
            // The database has just said so: its clock may have been set back, and the hint must not run in circles meanwhile.
            Ok(Held::Early(due_at)) => return later(app, delivery, due_at.max(app.clock.now() + EARLY_MAX)).await,
            Err(error) => match verdict(error) {
                Verdict::Away(error) => {
                    tracing::warn!(%error, "the database is away; holding what was delivered until it answers");
                    database_is_back(app).await;
                }
                Verdict::Again => {
                    let pause = BUSY_FOR_MS * u64::from(attempt) + fastrand::u64(0..BUSY_FOR_MS);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                Verdict::Never(reason) => {
                    give_up(app, &received.command).await;
                    let concerned = command::instance(&received.command);
                    return bury(app, delivery, &reason, (received.origin.as_ref(), concerned)).await;
                }
            },
        }
    }
    bounce(app, delivery, &received.command).await;
}

/// Sends a command down the ladder that nobody could carry out here, for longer each time.
async fn bounce(app: &App, mut delivery: Delivery, command: &Command) {
    let times = delivery.headers.get(bounce::HEADER).and_then(|times| times.parse().ok()).unwrap_or(0);
    match bounce::pause(command, times) {
        Some(pause) => {
            delivery.headers.insert(bounce::HEADER.into(), (times + 1).to_string());
            later(app, delivery, app.clock.now() + pause).await;
        }
        None => {
            tracing::warn!(queue = %delivery.queue.name(), "nobody could carry out this command; the timekeeper will ask again");
            acknowledge(delivery).await;
        }
    }
}

/// A step command that can never be carried out becomes an incident: the timekeeper would revive it again and again.
async fn give_up(app: &App, command: &Command) {
    if let Command::Continue(at) = command
        && let Err(error) = step::give_up(app, InstanceId(at.instance), BranchId(at.branch), at.sequence).await
    {
        tracing::error!(%error, instance = %at.instance, "the incident could not be opened; the timekeeper will try again");
    }
}

/// What an error means for the delivery.
enum Verdict {
    /// Hold it until the database is back.
    Away(String),
    /// Try it again in a moment.
    Again,
    /// File it with this reason.
    Never(String),
}

fn verdict(error: Error) -> Verdict {
    match error {
        Error::Store(store::Error::Unavailable(error)) => Verdict::Away(error),
        Error::Store(store::Error::Busy(_) | store::Error::Conflict | store::Error::Rejected { .. }) => Verdict::Again,
        Error::Store(error @ (store::Error::NotFound(_) | store::Error::Duplicate(_) | store::Error::Bug(_))) => {
            tracing::error!(%error, "a command cannot be handled");
            Verdict::Never(error.to_string())
        }
        error @ (Error::Refused(_) | Error::Invalid(_) | Error::NotFound(_) | Error::Reused(_) | Error::Task(_)) => {
            Verdict::Never(error.to_string())
        }
    }
}

/// Decides a command and drives what it leaves ready.
async fn carry_out(app: &App, received: &Received, delivery: &Delivery) -> Result<Held, Error> {
    let none = || Error::Refused("the command has no sender".into());
    let origin = || received.origin.as_ref().ok_or_else(none);
    let again = delivery.redelivered;
    match &received.command {
        Command::Start(command) => match step::start(app, command.clone(), origin()?).await? {
            Started::New(position) => stride::drive(app, *position).await,
            // Nothing was moved, so nothing waits for us: whoever moved it last drives it.
            Started::Existing(_) => Ok(Held::Done),
            Started::Known(answer) => repeated(app, origin()?, answer, again).await,
        },
        Command::Message(command) => match step::message(app, command.clone(), origin()?).await? {
            Delivered::To(position) => stride::drive(app, *position).await,
            Delivered::Kept | Delivered::Spread(_) => Ok(Held::Done),
            Delivered::Known(answer) => repeated(app, origin()?, answer, again).await,
        },
        Command::Cancel(target) => steer(app, Steer::Cancel, target, origin()?, again).await,
        Command::Retry(target) => steer(app, Steer::Retry, target, origin()?, again).await,
        Command::Suspend(target) => steer(app, Steer::Suspend, target, origin()?, again).await,
        Command::Resume(target) => steer(app, Steer::Resume, target, origin()?, again).await,
        Command::Reschedule(command) => {
            steered(app, step::reschedule(app, command, origin()?).await?, origin()?, again).await
        }
        Command::Deliver(copy) => match step::deliver(app, copy).await? {
            Moved::To(position) => stride::drive(app, *position).await,
            Moved::Elsewhere => Ok(Held::Elsewhere),
            Moved::Refused(_) => known(app, Some(InstanceId(copy.instance)), again).await,
        },
        Command::Continue(at) => {
            stride::take_up(app, InstanceId(at.instance), Some((BranchId(at.branch), at.sequence)), again).await
        }
        Command::Fire(fire) => match step::fire(app, *fire).await? {
            Moved::To(position) => stride::drive(app, *position).await,
            Moved::Elsewhere => Ok(Held::Elsewhere),
            Moved::Refused(Refusal::Early(due_at)) => Ok(Held::Early(due_at)),
            // Fired before, perhaps by a worker that died right after: if its branch is ready, we drive it.
            Moved::Refused(_) => known(app, Some(InstanceId(fire.instance)), again).await,
        },
        Command::TaskComplete(_) | Command::TaskClaim(_) | Command::TaskRelease(_) => {
            tasks::carry_out(app, &received.command, origin()?, again).await
        }
        Command::CallComplete(_) | Command::CallHeartbeat(_) | Command::CallProgress(_) => {
            calls::carry_out(app, &received.command, origin()?, again).await
        }
    }
}

async fn steer(
    app: &App,
    what: Steer,
    target: &crate::contract::Target,
    origin: &Origin,
    again: bool,
) -> Result<Held, Error> {
    steered(app, step::steer(app, what, target, origin).await?, origin, again).await
}

async fn steered(app: &App, steered: Steered, origin: &Origin, again: bool) -> Result<Held, Error> {
    match steered {
        Steered::To(position) => stride::drive(app, *position).await,
        Steered::Known(answer) => repeated(app, origin, answer, again).await,
    }
}

/// A command that was handled before: its sender is told the same again, and may have missed it the first time.
pub(super) async fn repeated(app: &App, origin: &Origin, answer: Answer, again: bool) -> Result<Held, Error> {
    step::answer_again(app, origin, &answer).await?;
    known(app, answer.instance, again).await
}

/// A repetition: never acknowledged for being one, but because its instance does not wait for us.
async fn known(app: &App, instance: Option<InstanceId>, again: bool) -> Result<Held, Error> {
    metrics::counter!(telemetry::DUPLICATES).increment(1);
    match instance {
        Some(id) => stride::take_up(app, id, None, again).await,
        None => Ok(Held::Done),
    }
}

enum Due {
    Now,
    Later,
}

/// Waits out the last moments before a timer in memory, without a query and without holding a connection.
async fn wait_until_due(app: &App, fire: &Fire) -> Due {
    let early = fire.due_at.duration_since(app.clock.now());
    match Duration::try_from(early) {
        Ok(early) if early > EARLY_MAX => Due::Later,
        Ok(early) => {
            rest(app, early).await;
            if app.stop.is_cancelled() { Due::Later } else { Due::Now }
        }
        // Negative: it is due.
        Err(_) => Due::Now,
    }
}

async fn acknowledge(delivery: Delivery) {
    step::fail_point("worker::before_ack");
    if let Err(error) = delivery.ack().await {
        tracing::debug!(%error, "an acknowledgement was lost; the delivery comes again and finds its work done");
    }
    step::fail_point("worker::after_ack");
}

/// Sends a command down the ladder, confirmed, and acknowledges it.
async fn later(app: &App, delivery: Delivery, due_at: Timestamp) {
    let (exchange, routing_key) = match &delivery.queue {
        Queue::Commands => (Exchange::Commands, delivery.routing_key.clone()),
        Queue::Steps(lane) => (Exchange::Steps, lane.clone()),
        Queue::Dead | Queue::Events(_) | Queue::Calls | Queue::Work(_) => (Exchange::Dead, String::new()),
    };
    let outgoing = Outgoing {
        id: app.new_id(),
        exchange,
        routing_key,
        kind: delivery.kind.clone().unwrap_or_default(),
        app_id: delivery.app_id.clone(),
        message_id: delivery.message_id.clone(),
        headers: delivery.headers.clone().into_iter().filter(|(name, _)| !is_brokers_own(name)).collect(),
        body: delivery.body.clone(),
        due_at: Some(due_at),
        reply_to: delivery.reply_to.clone(),
        correlation_id: delivery.correlation_id.clone(),
    };
    let failure = match app.broker.publish(vec![outgoing]).await.map(|sent| sent.into_iter().next()) {
        Ok(Some(Sent::Confirmed)) => return acknowledge(delivery).await,
        Ok(Some(Sent::Returned(reason))) => reason,
        Ok(Some(Sent::Refused)) => "a queue refused it".into(),
        Ok(None) => "no answer".into(),
        Err(error) => error.to_string(),
    };
    // Not confirmed: the delivery is kept, and goes back once the broker is there again, but not in a hot loop.
    tracing::debug!(failure, "a command could not be sent down the ladder; the delivery will come again");
    rest(app, LATER).await;
    tokio::select! {
        () = app.broker.connected() => {}
        () = app.stop.cancelled() => {}
    }
    requeue(delivery).await;
}

/// Headers that tell of a message's last journey: sent along, they would be taken for those of the next.
fn is_brokers_own(header: &str) -> bool {
    ["x-first-death-", "x-last-death-", "x-delivery-count"].iter().any(|own| header.starts_with(own))
}

async fn requeue(delivery: Delivery) {
    if let Err(error) = delivery.requeue().await {
        tracing::debug!(%error, "the delivery went with its connection");
    }
}

/// Files a delivery with its reason, however long the database is away, and acknowledges it.
async fn bury(
    app: &App,
    delivery: Delivery,
    reason: &str,
    (mut origin, instance): (Option<&Origin>, Option<InstanceId>),
) {
    tracing::warn!(reason, queue = %delivery.queue.name(), kind = delivery.kind.as_deref(), "a message is a dead letter");
    loop {
        let letter = Letter { instance, ..command::letter(&delivery) };
        match step::bury(app, letter, reason, origin).await {
            Ok(()) => return acknowledge(delivery).await,
            // Not even its answer can be written: without it the letter can.
            Err(Error::Store(store::Error::Bug(error))) if origin.is_some() => {
                tracing::error!(error, "the sender of a dead letter cannot be answered");
                origin = None;
            }
            Err(error) => {
                tracing::warn!(%error, "a dead letter could not be filed yet");
                if app.stop.is_cancelled() {
                    return requeue(delivery).await;
                }
                database_is_back(app).await;
            }
        }
    }
}

/// Returns when a query succeeds, or when the process is asked to stop.
async fn database_is_back(app: &App) {
    while !app.stop.is_cancelled() {
        rest(app, PROBE_EVERY).await;
        if app.store.probe().await.is_ok() {
            return;
        }
    }
}
