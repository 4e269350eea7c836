//! The time in which a request is answered, whatever it waits for.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::problem::{Kind, Problem};
use crate::app::App;

/// A request is answered within this time. Longer than its parts together: half a minute for its body, a minute of `?wait=`, and a few
/// statements, each of which the database bounds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);

/// How long requests may take, and who ends those that take longer.
#[derive(Clone)]
pub(super) struct Patience {
    within: Duration,
    tasks: TaskTracker,
}

impl Patience {
    pub(super) fn of(app: &App) -> Self {
        Self { within: ANSWERED_WITHIN, tasks: app.tasks.clone() }
    }
}

/// Answers in time. What takes longer is not dropped, as it may be in the middle of a transaction: it ends without its client.
pub(super) async fn bounded(State(patience): State<Patience>, request: Request, next: Next) -> Response {
    let mut answered = Box::pin(next.run(request));
    match timeout(patience.within, &mut answered).await {
        Ok(response) => response,
        Err(_) => {
            patience.tasks.spawn(async move {
                drop(answered.await);
            });
            let within = crate::time::duration::format(patience.within);
            let detail = format!(
                "the request was not handled within {within} and may still take effect; send it again with the same `Idempotency-Key`"
            );
            Problem::new(Kind::Unfinished, detail).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tokio::sync::Notify;
    use tower_service::Service as _;

    use super::*;

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_answered_and_still_ends() {
        let (release, ended) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let handler = {
            let (release, ended) = (release.clone(), ended.clone());
            async move || {
                release.notified().await;
                ended.store(true, Ordering::SeqCst);
                "late"
            }
        };
        let patience = Patience { within: Duration::from_millis(50), tasks: TaskTracker::new() };
        let routes = Router::new().route("/", get(handler)).route("/fast", get(async || "fast"));
        let mut routes = routes.layer(from_fn_with_state(patience.clone(), bounded));
        let mut status = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            routes.call(request).await.unwrap().status().as_u16()
        };
        assert_eq!((status("/fast").await, status("/").await), (200, 503));
        assert!(!ended.load(Ordering::SeqCst));
        release.notify_one();
        patience.tasks.close();
        timeout(Duration::from_secs(20), patience.tasks.wait()).await.expect("it ends");
        assert!(ended.load(Ordering::SeqCst));
    }
}
