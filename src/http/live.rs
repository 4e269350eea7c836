//! Server-sent events: of one instance, and of lists. A client that comes again says the last event that it has (`Last-Event-ID`) and misses
//! nothing; nothing is read once per client but what it has missed.

mod hub;
mod listener;

use std::convert::Infallible;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::json;

use self::listener::{ListListener, Listener};
use super::ApiState;
use super::openapi::inputs::{Inputs, Reads};
use super::problem::Problem;
use super::request::Id;
use crate::engine::InstanceId;
use crate::store::news;

pub(super) use hub::{Hub, follow};

/// The media type of the streams.
pub(super) const MEDIA: &str = "text/event-stream";

/// The last event that the client has: the number of an entry.
pub(super) struct LastEvent(i64);

impl<S: Send + Sync> FromRequestParts<S> for LastEvent {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("last-event-id") else { return Ok(LastEvent(0)) };
        let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|text| text.parse().ok()).map(LastEvent).ok_or_else(|| {
            Problem::invalid("`Last-Event-ID` must be the id of an earlier event: the number of an entry")
        })
    }
}

impl Reads for LastEvent {
    fn read(inputs: &mut Inputs<'_>) {
        let text = "The id of the last event that the client has: the stream continues after it.";
        inputs.header("Last-Event-ID", text, json!({ "pattern": "^[0-9]{1,18}$" }));
    }
}

/// The history of one instance as it grows.
pub(super) async fn instance(
    State(api): State<ApiState>,
    Id(id): Id,
    LastEvent(known): LastEvent,
) -> Result<Response, Problem> {
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
    let listener = Listener::new(api.app.clone(), api.live.clone(), seat, id, known);
    Ok(events(listener))
}

/// Which lists have changed.
pub(super) async fn lists(State(api): State<ApiState>) -> Result<Response, Problem> {
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
