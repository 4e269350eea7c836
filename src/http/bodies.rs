//! The memory that bodies may take at once, from all clients together, and however slowly they send.

use std::sync::Arc;

use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::DOCUMENT_MAX;
use super::problem::{Kind, Problem};

/// Bytes of all bodies that are being received or handled at once: 64 of the largest documents.
pub(super) const BODIES_MAX: usize = 64 * DOCUMENT_MAX;

/// Reserves room for a body before it is read, as much as its head announces, until it is answered.
pub(super) async fn admit(State(bodies): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    // More than the largest body is never read, whatever is announced; without an announcement it may be the largest.
    let announced = request.body().size_hint().upper().unwrap_or(u64::MAX);
    let announced = u32::try_from(announced).unwrap_or(u32::MAX).min(DOCUMENT_MAX as u32);
    match bodies.try_acquire_many(announced) {
        Ok(_reserved) => next.run(request).await,
        Err(_) => {
            let detail = format!("the bodies of other requests take all {BODIES_MAX} bytes: send it again later");
            Problem::new(Kind::Full, detail).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use tower_service::Service as _;

    use super::*;

    async fn status(bodies: &Arc<Semaphore>, body: Body) -> u16 {
        let routes = Router::new().route("/", post(async || "ok"));
        let mut routes = routes.layer(from_fn_with_state(bodies.clone(), admit));
        routes.call(Request::post("/").body(body).unwrap()).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_body_without_room_is_not_read() {
        let bodies = Arc::new(Semaphore::new(10));
        assert_eq!(status(&bodies, Body::from("x".repeat(10))).await, 200);
        assert_eq!(bodies.available_permits(), 10, "its room is free again");
        let other = bodies.clone().try_acquire_owned().unwrap();
        assert_eq!(status(&bodies, Body::from("x".repeat(10))).await, 503);
        assert_eq!(status(&bodies, Body::from("x".repeat(9))).await, 200);
        assert_eq!(status(&bodies, Body::empty()).await, 200);
        // Its length is not announced.
        let endless = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        assert_eq!(status(&bodies, endless).await, 503);
        drop(other);
    }
}
