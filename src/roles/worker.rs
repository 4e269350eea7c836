//! The role `worker`: consumes commands and takes the steps that follow. A delivery is acknowledged only after the commit that
//! makes it redundant.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tracing::Instrument;

use super::incoming::door::HAS_PLACE;
use super::incoming::{self, Received};
use crate::app::App;
use crate::broker::{Delivery, Queue, SENT_AT};
use crate::command::{self, Error, OverLimit};
use crate::contract::{Command, step_queue};
use crate::engine::{BranchId, InstanceId};
use crate::fault::{Class, Recovery};
use crate::store;
use crate::telemetry::{self, DeliveryCount, spans};

mod answer;
mod backlog;
mod bounce;
mod calls;
mod decide;
mod drive;
mod slots;
mod suspect;
mod tasks;
mod wake_up;

use answer::{
    Begun, Undeliverable, acknowledge, database_is_back, dead_letter, give_back, later, put_last, put_off, put_off_with,
};
use backlog::Backlog;
use bounce::Bounce;
use decide::execute;
use drive::{DeliveryFate, Redelivered};
use slots::{Slots, Urgency};
use suspect::{Examined, GivenUp, Watch, examine};
use wake_up::{Readiness, early, wait_until_due};

/// Tries of one delivery while the database is busy; then it has to wait longer.
const TRIES_MAX: u32 = 5;
/// Step commands prefetched for each slot: early timer wake-ups wait in memory, and must not keep others from being delivered.
/// Commands from outside get one for each slot, and a few more: a flood of them must not delay timers.
const PREFETCH_PER_SLOT: usize = 8;
/// Commands from outside prefetched beyond one for each slot, as a part of them: they show whether others wait in the queue.
const SPARE_PART: usize = 4;
/// The pause before another try: this times the number of tries, and jitter of up to this.
const BUSY_FOR_MS: u64 = 25;

/// The limits shared by all consumers of a process.
#[derive(Clone)]
struct SharedLimits {
    /// One slot for each command that is executed, for all queues together.
    slots: Slots,
    /// Locked while a redelivered command is executed. It may be the command that killed its worker: executed one at a time, such
    /// commands cannot cause each other to be redelivered.
    redelivered: Arc<Mutex<()>>,
    /// Whether commands from outside wait in their queue.
    backlog: Arc<Backlog>,
}

/// Starts a consumer for the commands and two for each queue: for urgent instances, and for all others.
pub fn start(app: &App) {
    let slots = Slots::new(app.config.worker.concurrency);
    let limits = SharedLimits { slots, redelivered: Arc::default(), backlog: Arc::default() };
    let watched = Arc::clone(&limits.backlog);
    app.supervise("worker", move |app| {
        let backlog = Arc::clone(&watched);
        async move {
            backlog::watch(&app, &backlog).await;
            Ok(())
        }
    });
    let mut queues = vec![Queue::Commands, Queue::Urgent];
    queues.extend(app.config.worker.step_queues().into_iter().map(Queue::Steps));
    for queue in queues {
        let limits = limits.clone();
        app.supervise("worker", move |app| run(app, queue.clone(), limits.clone()));
    }
}

async fn run(app: App, queue: Queue, limits: SharedLimits) -> Result<(), store::Error> {
    let slots = app.config.worker.concurrency;
    let prefetch = match &queue {
        Queue::Steps(_) => slots * PREFETCH_PER_SLOT,
        Queue::Commands | Queue::Urgent => slots + slots.div_ceil(SPARE_PART),
        Queue::Dead | Queue::Events(_) | Queue::Calls | Queue::Work(_) => slots,
    };
    let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
    let mut deliveries = app.broker.consume(queue, prefetch);
    let begin = |delivery: Delivery| {
        let (app, limits) = (app.clone(), limits.clone());
        app.tasks.clone().spawn(async move {
            #[cfg(feature = "seeded-bugs")]
            let delivery = delivery.ack_early().await;
            let span = spans::delivery(&delivery.queue.name(), delivery.kind.as_deref());
            Box::pin(handle(&app, delivery, &limits)).instrument(span).await;
        });
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
    // Prefetched deliveries are finished here, one step each.
    deliveries.drain().await.into_iter().for_each(begin);
    Ok(())
}

/// Handles one delivery up to its acknowledgement.
async fn handle(app: &App, mut delivery: Delivery, limits: &SharedLimits) {
    let count = if delivery.redelivered { DeliveryCount::Redelivered } else { DeliveryCount::First };
    telemetry::count_delivery(&delivery.queue.name(), count);
    let redelivered = Redelivered::of(&delivery);
    let mut watch = None;
    // Before it is parsed: nothing is known of what a sender has written.
    if redelivered == Redelivered::Yes && matches!(delivery.queue, Queue::Commands | Queue::Urgent) {
        match examine(app, limits, &delivery, None).await {
            Examined::Execute(watched) => watch = Some(watched),
            Examined::GiveUp(given_up) => {
                let GivenUp { reason, origin, watch } = given_up;
                let because = Undeliverable::because(&reason);
                let undeliverable = Undeliverable { origin: origin.as_deref(), suspect: watch.counted, ..because };
                return dead_letter(app, delivery, undeliverable).await;
            }
            Examined::Stopped => return give_back(delivery, Begun::No).await,
        }
    }
    let received = match incoming::read(&delivery, &app.config) {
        Ok(received) => received,
        Err(reason) => {
            ended(app, watch.as_ref()).await;
            return dead_letter(app, delivery, Undeliverable::because(&reason)).await;
        }
    };
    if let Command::Continue(_) = &received.command {
        telemetry::observe_queue_wait(delivery.headers.get(SENT_AT), app.clock.now());
    }
    if let Command::Fire(fire) = &received.command
        && let Readiness::Early = wait_until_due(app, fire).await
    {
        return later(app, delivery, fire.due_at, Begun::No).await;
    }
    if redelivered == Redelivered::Yes && watch.is_none() {
        let instance = incoming::instance(&received.command);
        match examine(app, limits, &delivery, instance).await {
            Examined::Execute(watched) => watch = Some(watched),
            Examined::GiveUp(given_up) => {
                let GivenUp { reason, watch, origin: _ } = given_up;
                return give_up(app, delivery, &received, &reason, watch.counted).await;
            }
            Examined::Stopped => return give_back(delivery, Begun::No).await,
        }
    }
    if limits.backlog.puts_off(&delivery) {
        let Some(kept) = put_last(app, delivery).await else { return };
        delivery = kept;
    }
    let _slot = match &watch {
        Some(watch) if watch.is_quiet() => None,
        Some(_) | None => limits.slots.take(urgency(app, &delivery.queue, &received.command).await).await,
    };
    let end = execute_until_it_ends(app, &received, redelivered, &delivery.routing_key).await;
    ended(app, watch.as_ref()).await;
    finish(app, delivery, &received, end).await;
}

/// What becomes of a delivery when its command was executed.
async fn finish(app: &App, delivery: Delivery, received: &Received, end: End) {
    match end {
        End::Done => acknowledge(delivery).await,
        End::Elsewhere => bounce(app, delivery, &received.command).await,
        End::Early(due_at) => early(app, delivery, &received.command, due_at).await,
        End::Waits(over) => wait_for_place(app, delivery, over).await,
        End::DeadLetter(reason) => give_up(app, delivery, received, &reason, None).await,
    }
}

/// Puts a start off that is over a limit, until it has its place or asks again.
async fn wait_for_place(app: &App, delivery: Delivery, over: OverLimit) {
    let (at, mark) = match over {
        OverLimit::BeginsAt(at) => (at, Some(HAS_PLACE)),
        OverLimit::AsksAt(at) | OverLimit::Refused { free_at: at } => (at, None),
    };
    let pause = Duration::try_from(at.duration_since(app.clock.now())).unwrap_or_default();
    metrics::counter!(telemetry::STARTS_PUT_OFF).increment(1);
    put_off_with(app, delivery, pause, mark).await;
}

/// Whether a command goes before others. A command from outside does if its sender has published it as urgent, or it is a start of an
/// urgent instance; the others do not name the priority of their instance.
async fn urgency(app: &App, queue: &Queue, command: &Command) -> Urgency {
    let is_urgent = if let Queue::Steps(name) = queue {
        step_queue::is_urgent_queue(name)
    } else if queue == &Queue::Urgent {
        true
    } else if let Command::Start(start) = command {
        step_queue::is_urgent(command::priority(app, start).await)
    } else {
        false
    };
    if is_urgent { Urgency::Urgent } else { Urgency::Ordinary }
}

/// How the execution of a command ended.
enum End {
    Done,
    Elsewhere,
    Early(Timestamp),
    Waits(OverLimit),
    DeadLetter(String),
}

/// Executes a command, again while the database is busy or away, within the tries of one delivery.
async fn execute_until_it_ends(app: &App, received: &Received, redelivered: Redelivered, routing_key: &str) -> End {
    for attempt in 1..=TRIES_MAX {
        command::fail_point_at("worker::executes", received.command.kind());
        command::fail_point_at("worker::executes", routing_key);
        match execute(app, received, redelivered).await {
            Ok(DeliveryFate::Done) => return End::Done,
            Ok(DeliveryFate::Elsewhere) => return End::Elsewhere,
            Ok(DeliveryFate::Early(due_at)) => return End::Early(due_at),
            Err(error) => match on_error(error) {
                OnError::WaitForDatabase(error) => {
                    tracing::warn!(%error, "the database is not available; keeping deliveries until it is");
                    database_is_back(app).await;
                }
                OnError::Retry => {
                    let pause = BUSY_FOR_MS * u64::from(attempt) + fastrand::u64(0..BUSY_FOR_MS);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                OnError::Wait(over) => return End::Waits(over),
                OnError::DeadLetter(reason) => return End::DeadLetter(reason),
            },
        }
    }
    End::Elsewhere
}

/// A redelivered command has ended in order: its crashes count no longer. Before the acknowledgement, or a crash in between would leave
/// the count behind.
async fn ended(app: &App, watch: Option<&Watch>) {
    if let Some(watch) = watch {
        watch.ended(app).await;
    }
}

/// Stores a command as a dead letter; one of Leveret to itself becomes an incident of its instance as well.
async fn give_up(app: &App, delivery: Delivery, received: &Received, reason: &str, suspect: Option<[u8; 32]>) {
    open_incident(app, &received.command, reason).await;
    let instance = incoming::instance(&received.command);
    let undeliverable = Undeliverable { reason, origin: received.origin.as_ref(), instance, suspect };
    dead_letter(app, delivery, undeliverable).await;
}

/// Lets a command wait that cannot be executed here, longer each time.
async fn bounce(app: &App, mut delivery: Delivery, command: &Command) {
    let times: usize = delivery.headers.get(bounce::HEADER).and_then(|times| times.parse().ok()).unwrap_or(0);
    delivery.headers.insert(bounce::HEADER.into(), times.saturating_add(1).to_string());
    match Bounce::of(command, times) {
        Bounce::Delay(pause) => later(app, delivery, app.clock.now() + pause, Begun::Yes).await,
        Bounce::PutOff(pause) => put_off(app, delivery, pause).await,
        Bounce::Drop => {
            tracing::warn!(queue = %delivery.queue.name(), "no worker could execute this command; the role timers will write it again");
            acknowledge(delivery).await;
        }
    }
}

/// Opens an incident for a step command or a wake-up that can never be executed: otherwise the role `timers` would write it again and
/// again.
async fn open_incident(app: &App, command: &Command, reason: &str) {
    let (instance, opened) = match command {
        Command::Continue(at) => {
            let (id, branch) = (InstanceId(at.instance), BranchId(at.branch));
            (at.instance, command::fail_undeliverable(app, id, branch, at.sequence, reason.to_owned()).await)
        }
        Command::Fire(fire) => {
            let id = InstanceId(fire.instance);
            (fire.instance, command::fail_unfireable(app, id, fire.bookmark, reason.to_owned()).await)
        }
        Command::Start(_) | Command::Message(_) | Command::Cancel(_) | Command::Retry(_) => return,
        Command::TaskComplete(_) | Command::TaskClaim(_) | Command::TaskRelease(_) => return,
        Command::Suspend(_) | Command::Resume(_) | Command::Reschedule(_) | Command::Deliver(_) => return,
        Command::Operate(_) => return,
        Command::CallComplete(_) | Command::CallHeartbeat(_) | Command::CallProgress(_) => return,
    };
    if let Err(error) = opened {
        tracing::error!(%error, %instance, "the incident could not be opened; the role timers will write the command again");
    }
}

/// What to do with a delivery after an error.
enum OnError {
    /// Keep it until the database answers.
    WaitForDatabase(String),
    /// Try it again after a pause.
    Retry,
    /// Put it off: it is over a limit of starts.
    Wait(OverLimit),
    /// Store it as a dead letter with this reason.
    DeadLetter(String),
}

/// As the class of the error says. A database that is away is waited for, instead of asked again after a pause.
fn on_error(error: Error) -> OnError {
    let class = error.class();
    match (class.of_command(), error) {
        (Recovery::InProcess, Error::Limited { over, .. }) => OnError::Wait(over),
        (Recovery::InProcess, Error::Store(store::Error::Unavailable(why))) => OnError::WaitForDatabase(why),
        (Recovery::InProcess, _) => OnError::Retry,
        (Recovery::DeadLetter | Recovery::Timer | Recovery::Route | Recovery::Incident, error) => {
            if class == Class::Bug {
                tracing::error!(%error, "a command cannot be handled");
            }
            OnError::DeadLetter(error.to_string())
        }
    }
}
