//! Faults, one after the other: workers are killed, frozen and stopped; servers are killed, frozen and wiped.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use nix::sys::signal::Signal;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::arena::Arena;
use super::crew::{Crew, Settings, Worker};
use crate::app::App;
use crate::sandbox::{Postgres, RabbitMq};
use crate::store::bench::soak;

/// Something has ended again within this time after a fault.
const RECOVERS_WITHIN: Duration = Duration::from_secs(120);
/// What is frozen is frozen for so long.
const FROZEN_FOR: Duration = Duration::from_secs(4);
/// The pause between two faults, at most.
const PAUSE_MAX: Duration = Duration::from_secs(12);

/// What can happen. Each is as likely as the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    WorkerKilled,
    WorkerKilledAndTheOther,
    WorkerStopped,
    WorkerFrozen,
    ConnectionsEnded,
    DatabaseKilled,
    DatabaseFrozen,
    BrokerKilled,
    BrokerFrozen,
    BrokerWiped,
}

/// All of them, and their names.
const FAULTS: [(Fault, &str); 10] = [
    (Fault::WorkerKilled, "a worker killed (SIGKILL)"),
    (Fault::WorkerKilledAndTheOther, "two workers killed (SIGKILL)"),
    (Fault::WorkerStopped, "a worker stopped in order (SIGTERM)"),
    (Fault::WorkerFrozen, "a worker frozen for 4 s (SIGSTOP)"),
    (Fault::ConnectionsEnded, "all connections to PostgreSQL ended"),
    (Fault::DatabaseKilled, "PostgreSQL stopped at once, and started"),
    (Fault::DatabaseFrozen, "PostgreSQL frozen for 4 s"),
    (Fault::BrokerKilled, "RabbitMQ killed, and started"),
    (Fault::BrokerFrozen, "RabbitMQ frozen for 4 s"),
    (Fault::BrokerWiped, "RabbitMQ killed, all its data deleted, and started"),
];

/// What fell.
pub(super) struct Fallen {
    /// How often each fault.
    pub(super) counts: Vec<(&'static str, usize)>,
    /// From the end of each fault to the next end of an instance.
    pub(super) recovered: Vec<Duration>,
    /// What went wrong beyond the faults.
    pub(super) problems: Vec<String>,
    pub(super) crew: Crew,
}

/// The one that lets them fall.
pub(super) struct Rain {
    postgres: Postgres,
    rabbitmq: RabbitMq,
    mortals: Vec<Worker>,
    settings: Settings,
    chance: fastrand::Rng,
}

impl Rain {
    pub(super) fn new(arena: &Arena, mortals: Vec<Worker>, settings: Settings, chance: fastrand::Rng) -> Result<Self> {
        let (postgres, rabbitmq) = (arena.sandbox.postgres()?, arena.sandbox.rabbitmq()?);
        Ok(Self { postgres, rabbitmq, mortals, settings, chance })
    }

    /// Lets faults fall until it is over. Afterwards everything runs.
    pub(super) async fn fall(mut self, app: App, mut seen: watch::Receiver<u64>, over: CancellationToken) -> Fallen {
        let mut counts: Vec<(&'static str, usize)> = FAULTS.iter().map(|(_, name)| (*name, 0)).collect();
        let (mut recovered, mut problems) = (Vec::new(), Vec::new());
        while !over.is_cancelled() {
            let pause = PAUSE_MAX.mul_f64(self.chance.f64());
            tokio::select! {
                () = over.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            let which = self.chance.usize(..FAULTS.len());
            let (fault, name) = FAULTS[which];
            counts[which].1 += 1;
            tracing::debug!(fault = name, "a fault falls");
            if let Err(error) = self.strike(&app, fault).await {
                problems.push(format!("{name}: {error:#}"));
            }
            let began = Instant::now();
            seen.mark_unchanged();
            let before = *seen.borrow();
            let goes_on = tokio::time::timeout(RECOVERS_WITHIN, seen.wait_for(|ended| *ended > before));
            let goes_on = tokio::select! {
                goes_on = goes_on => goes_on,
                // Without further starts nothing has to end.
                () = over.cancelled() => break,
            };
            match goes_on {
                Ok(Ok(_)) => recovered.push(began.elapsed()),
                Ok(Err(_)) => break,
                Err(_) => problems.push(format!("nothing ended within {} s after: {name}", RECOVERS_WITHIN.as_secs())),
            }
        }
        Fallen { counts, recovered, problems, crew: Crew(self.mortals) }
    }

    async fn strike(&mut self, app: &App, fault: Fault) -> Result<()> {
        let which = self.chance.usize(..self.mortals.len());
        match fault {
            Fault::WorkerKilled => self.mortals[which].die(&self.settings).await,
            Fault::WorkerKilledAndTheOther => {
                for mortal in &mut self.mortals {
                    mortal.die(&self.settings).await?;
                }
                Ok(())
            }
            Fault::WorkerStopped => self.mortals[which].retire(&self.settings).await,
            Fault::WorkerFrozen => {
                self.mortals[which].signal(Signal::SIGSTOP)?;
                tokio::time::sleep(FROZEN_FOR).await;
                self.mortals[which].signal(Signal::SIGCONT)
            }
            Fault::ConnectionsEnded => {
                let mut conn = app.store.background().await?;
                Ok(soak::end_connections(&mut conn).await?)
            }
            Fault::DatabaseKilled | Fault::DatabaseFrozen => {
                let postgres = self.postgres.clone();
                blocking(move || database(&postgres, fault)).await
            }
            Fault::BrokerKilled | Fault::BrokerFrozen | Fault::BrokerWiped => {
                let rabbitmq = self.rabbitmq.clone();
                blocking(move || broker(&rabbitmq, fault)).await
            }
        }
    }
}

fn database(postgres: &Postgres, fault: Fault) -> Result<()> {
    if fault == Fault::DatabaseFrozen {
        postgres.freeze()?;
        std::thread::sleep(FROZEN_FOR);
        return postgres.thaw();
    }
    postgres.stop_immediate()?;
    postgres.start()
}

fn broker(rabbitmq: &RabbitMq, fault: Fault) -> Result<()> {
    if fault == Fault::BrokerFrozen {
        rabbitmq.freeze()?;
        std::thread::sleep(FROZEN_FOR);
        return rabbitmq.thaw();
    }
    rabbitmq.stop_immediate()?;
    if fault == Fault::BrokerWiped {
        rabbitmq.wipe()?;
    }
    rabbitmq.start()
}

/// What starts and stops servers waits for them.
async fn blocking(change: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    tokio::task::spawn_blocking(change).await.map_err(|error| anyhow!("{error}"))?
}
