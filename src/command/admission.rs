//! Limits of starts: how many may begin per time, and how many instances live, of a definition and of a sender. Without a limit nothing
//! is asked.
//!
//! A start over HTTP or from the command line that finds no place is refused, and says when to try again. One over the broker takes the
//! next place, waits for it in the outbox, and comes back with it: so they keep their order, and each goes round once.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::once::Origin;
use super::{Error, OverLimit};
use crate::app::{App, Seats};
use crate::definition::StartLimits;
use crate::limits::rate::Rate;
use crate::store::start_limits::{self, Place};
use crate::store::{self};

/// The longest time that a start over the broker waits for its place; one that would wait longer is refused.
const WAIT_MAX: Duration = Duration::from_secs(3_600);
/// How often starts that wait for others to end are asked again: all of one limit together, so that a crowd of them costs little.
const AGAIN: Rate = Rate { count: 50, per: Duration::from_secs(1) };
/// The shortest time until one of them is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How a start takes its turn, where there is a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It begins now, or is refused.
    Now,
    /// It can wait for its place.
    InOrder,
    /// It has waited for its place in the rate, and comes back with it.
    Taken,
}

/// One limit that counts for a start.
struct Limit<'a> {
    /// Its row, and its count in this process.
    scope: String,
    /// What is limited, for messages.
    of: String,
    /// The key of the definition or the settings, for messages.
    key: &'a str,
}

impl<'a> Limit<'a> {
    fn of_definition(name: &str, key: &'a str) -> Self {
        Self { scope: format!("definition:{name}"), of: format!("definition `{name}`"), key }
    }

    fn of_sender(origin: &Origin, key: &'a str) -> Self {
        let sender = &origin.app_id;
        Self { scope: format!("sender:{sender}"), of: format!("sender `{sender}`"), key }
    }
}

/// Lets a start begin, or not.
///
/// # Errors
/// `Limited`, with the time at which it may begin or ask again. The seats are held until the start is committed.
pub(super) async fn admit(app: &App, name: &str, limits: StartLimits, origin: &Origin) -> Result<Option<Seats>, Error> {
    let config = &app.config.limits;
    if limits == StartLimits::default() && config.starts_per_sender == 0 && config.live_per_sender == 0 {
        return Ok(None);
    }
    let mut seats = app.starts.seats();
    match take(app, name, limits, origin, &mut seats).await {
        Ok(()) => Ok(Some(seats)),
        Err(error) => {
            // What was counted as live does not come to be now.
            seats.scopes().for_each(|scope| app.starts.live.take_back(scope));
            Err(error)
        }
    }
}

async fn take(app: &App, name: &str, limits: StartLimits, origin: &Origin, seats: &mut Seats) -> Result<(), Error> {
    if let Some(max) = limits.live {
        let limit = Limit::of_definition(name, "limits.live");
        live(app, &limit, u64::from(max), origin, Count::Definition(name), seats).await?;
    }
    let max = app.config.limits.live_per_sender;
    if max > 0 {
        let limit = Limit::of_sender(origin, "limits.live_per_sender");
        live(app, &limit, max, origin, Count::Sender(&origin.app_id), seats).await?;
    }
    places(app, name, limits, origin).await
}

/// Takes a place in the rate of the definition, and in that of the sender.
async fn places(app: &App, name: &str, limits: StartLimits, origin: &Origin) -> Result<(), Error> {
    let config = &app.config.limits;
    // Both places are taken before it waits: it needs the later one.
    let mut waits = None;
    if let Some(of_definition) = limits.starts {
        waits = rate(app, &Limit::of_definition(name, "limits.starts"), &of_definition, origin).await?;
    }
    if config.starts_per_sender > 0 {
        let of_sender = Rate { count: config.starts_per_sender, per: Duration::from_secs(1) };
        let limit = Limit::of_sender(origin, "limits.starts_per_sender");
        waits = waits.max(rate(app, &limit, &of_sender, origin).await?);
    }
    match waits {
        None => Ok(()),
        Some(at) => {
            let why = format!("the starts of `{name}` are limited: this one begins at {at}");
            Err(limited(app, why, OverLimit::BeginsAt(at)))
        }
    }
}

/// Takes a place in a rate. Returns when it begins, if not now.
async fn rate(app: &App, limit: &Limit<'_>, rate: &Rate, origin: &Origin) -> Result<Option<Timestamp>, Error> {
    let wait_max = match origin.turn {
        Turn::Taken => return Ok(None),
        Turn::Now => Duration::ZERO,
        Turn::InOrder => WAIT_MAX,
    };
    let refused = |free_at| {
        let why = format!(
            "{} may start {} instances in {:?}, and has (`{}`); try again at {free_at}",
            limit.of, rate.count, rate.per, limit.key
        );
        limited(app, why, OverLimit::Refused { free_at })
    };
    // A flood of starts that are refused asks once for each place.
    if let (Turn::Now, Some(free_at)) = (origin.turn, app.starts.full_until(&limit.scope, app.clock.now())) {
        return Err(refused(free_at));
    }
    let mut conn = app.store.steps().await?;
    match start_limits::take(&mut conn, &limit.scope, rate, wait_max).await? {
        Place::Now => Ok(None),
        Place::At(at) => Ok(Some(at)),
        Place::Full(free_at) => {
            app.starts.note_full(&limit.scope, free_at);
            Err(refused(free_at))
        }
    }
}

/// What is counted.
enum Count<'a> {
    Definition(&'a str),
    Sender(&'a str),
}

/// Whether one more may live. A process counts in the database ten times a second at most for each limit, and what it starts itself in
/// between; so several processes together may exceed it by what they start between two counts.
async fn live(
    app: &App,
    limit: &Limit<'_>,
    max: u64,
    origin: &Origin,
    what: Count<'_>,
    seats: &mut Seats,
) -> Result<(), Error> {
    let known = &app.starts.live;
    let now = || Instant::now().into_std();
    let counting = app.starts.counting.lock().await;
    if known.has_room(&limit.scope, max, now()) {
        seats.take(limit.scope.clone());
        return Ok(());
    }
    if !known.is_full(&limit.scope, max, now()) {
        // Before the count: one that is committed meanwhile is counted twice, and none is missed.
        let pending = app.starts.pending(&limit.scope);
        let mut conn = app.store.steps().await?;
        let counted = match what {
            Count::Definition(name) => start_limits::live_of_definition(&mut conn, name, max).await?,
            Count::Sender(app_id) => start_limits::live_of_sender(&mut conn, app_id, max).await?,
        };
        known.note(&limit.scope, counted.saturating_add(pending), now());
        if known.has_room(&limit.scope, max, now()) {
            seats.take(limit.scope.clone());
            return Ok(());
        }
    }
    drop(counting);
    let why = format!("{max} instances of {} are live, which is the limit (`{}`)", limit.of, limit.key);
    Err(limited(app, why, again(app, limit, origin).await?))
}

fn limited(app: &App, why: String, over: OverLimit) -> Error {
    let (OverLimit::BeginsAt(at) | OverLimit::AsksAt(at) | OverLimit::Refused { free_at: at }) = over;
    let wait = Duration::try_from(at.duration_since(app.clock.now())).unwrap_or_default();
    Error::Limited { why, over, wait }
}

/// When a start asks again that waits for others to end.
async fn again(app: &App, limit: &Limit<'_>, origin: &Origin) -> Result<OverLimit, store::Error> {
    let soon = app.clock.now().checked_add(AGAIN_AFTER).unwrap_or(Timestamp::MAX);
    match origin.turn {
        Turn::Now => return Ok(OverLimit::Refused { free_at: soon }),
        Turn::InOrder | Turn::Taken => {}
    }
    let mut conn = app.store.steps().await?;
    Ok(match start_limits::take(&mut conn, &format!("again:{}", limit.scope), &AGAIN, WAIT_MAX).await? {
        Place::Now => OverLimit::AsksAt(soon),
        Place::At(at) => OverLimit::AsksAt(at.max(soon)),
        Place::Full(free_at) => OverLimit::Refused { free_at },
    })
}
