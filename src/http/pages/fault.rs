//! A problem as a page: what went wrong, where, and what to do next.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::html;
use serde_json::Value;

use super::shell::{self, Page, Place};
use super::visitor::Visitor;
use crate::http::problem::{self, Problem};

/// A problem on its way to a page.
pub(super) struct Fault(Problem);

impl<E: Into<Problem>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// What is known of a problem, until the page is written.
#[derive(Clone)]
struct Told(Value);

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let told = Told(serde_json::to_value(&self.0).unwrap_or_default());
        let mut response = self.0.into_response();
        response.extensions_mut().insert(told);
        response
    }
}

/// The response, or if it is a problem, the page of it with the same status.
pub(super) fn shown(visitor: &Visitor, response: Response) -> Response {
    match response.extensions().get::<Told>() {
        Some(Told(told)) => {
            let retry_after = response.headers().get(header::RETRY_AFTER).cloned();
            let mut page = page(visitor, response.status(), told);
            if let Some(after) = retry_after {
                page.headers_mut().insert(header::RETRY_AFTER, after);
            }
            page
        }
        None => response,
    }
}

fn page(visitor: &Visitor, status: StatusCode, told: &Value) -> Response {
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let errors = told["errors"].as_array().cloned().unwrap_or_default();
    let body = html! {
        section.card.fault {
            p.fault-code { (status.as_u16()) }
            p { (text("detail")) }
            @if !errors.is_empty() {
                ul {
                    @for error in &errors {
                        li { code { (error["pointer"].as_str().unwrap_or("/")) } " " (error["detail"].as_str().unwrap_or_default()) }
                    }
                }
            }
            @if let Some(next) = next(status) { p.quiet { (next) } }
            p { a.button href="/" { "Go to the overview" } }
        }
    };
    (status, shell::render(visitor, Page { title: &text("title"), place: Place::None, live: None, body }))
        .into_response()
}

/// What helps with most problems of this status.
fn next(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::NOT_FOUND => {
            Some("It may have been deleted when its retention was over, or the address is mistyped.")
        }
        StatusCode::CONFLICT => {
            Some("Somebody else was faster. Go back, load the page again, and look at what has changed.")
        }
        StatusCode::SERVICE_UNAVAILABLE => Some("Nothing was changed. Load the page again in a moment."),
        _ => None,
    }
}

/// A problem that was found before a page was asked for, as a page for a browser that asks for one; anything else as it is.
pub(in crate::http) async fn as_page(headers: &HeaderMap, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let is_problem = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if !is_problem {
        return Response::from_parts(parts, body);
    }
    let bytes = to_bytes(body, PROBLEM_MAX).await.unwrap_or_default();
    let told: Value = crate::contract::json::read(&bytes).unwrap_or_default();
    let shown = page(&Visitor::of(headers), parts.status, &told);
    let (page, body) = shown.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(page.headers);
    Response::from_parts(parts, body)
}

/// The largest problem, in bytes.
const PROBLEM_MAX: usize = 1024 * 1024;

/// What no route matches: for a browser a page, for everything else a problem.
pub(in crate::http) async fn no_route(request: Request) -> Response {
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_page = accepts.contains("text/html") && !request.uri().path().starts_with("/api/");
    let problem = problem::no_route(request.uri().clone()).await;
    match is_page {
        true => super::head::dressed_fault(&Visitor::of(request.headers()), Fault(problem)).await,
        false => problem.into_response(),
    }
}
