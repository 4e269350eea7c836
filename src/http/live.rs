//! Server-sent events: of one instance, and of lists. A client that comes again says the last event that it has (`Last-Event-ID`) and misses
//! nothing; nothing is read once per client but what it has missed.

mod hub;
mod listener;

use std::convert::Infallible;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;

use self::listener::{ListListener, Listener};
use super::ApiState;
use super::problem::Problem;
use super::request::Id;
use crate::engine::InstanceId;
use crate::store::news;

pub(super) use hub::{Hub, follow};

pub(super) fn routes() -> Router<ApiState> {
    Router::new().route("/instances/{id}/events", get(instance)).route("/events", get(lists))
}

/// The last event that the client has: the number of an entry.
fn last_event(headers: &HeaderMap) -> Result<i64, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(0) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok()).filter(|number| *number >= 0);
    number.ok_or_else(|| Problem::invalid("`Last-Event-ID` must be the id of an earlier event: the number of an entry"))
}

/// The history of one instance as it grows.
async fn instance(State(api): State<ApiState>, Id(id): Id, headers: HeaderMap) -> Result<Response, Problem> {
    let known = last_event(&headers)?;
    let seat = api.live.seat()?;
    let id = InstanceId(id);
    let mut conn = api.app.store.background().await?;
    let progress = news::find_progress(&mut conn, id).await?;
    drop(conn);
    let progress = progress.ok_or_else(|| Problem::not_found(format!("there is no instance {id}")))?;
    if progress.is_ended && known >= progress.entries {
        // A browser that is told so does not come again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let listener = Listener::new(api.app.clone(), api.live.clone(), seat, (id, known));
    Ok(events(listener))
}

/// Which lists have changed.
async fn lists(State(api): State<ApiState>) -> Result<Response, Problem> {
    let seat = api.live.seat()?;
    Ok(events(ListListener::new(api.app.clone(), &api.live, seat)))
}

/// Something that has one event after the other.
trait Feed: Send + 'static {
    /// The next event; none at the end.
    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send;
}

fn events(feed: impl Feed) -> Response {
    let events = stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok::<Event, Infallible>(event), feed))
    });
    // A proxy that collects answers would hold events back.
    ([("x-accel-buffering", "no")], Sse::new(events)).into_response()
}
