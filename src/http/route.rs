//! Routes, each registered together with what the OpenAPI document says of it, so that none can be missing there. What a handler reads and
//! answers is taken from its signature.

use std::future::Future;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, on};

use super::ApiState;
use super::answer::Answers;
use super::openapi::inputs::{Inputs, Reads};
use super::openapi::outputs::Outputs;
use super::problem::Kind;

/// What is said of one route, besides what its handler reads and answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// The name of the operation, from which generators make the names of functions.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    /// The statuses of a success; the first is the usual one.
    pub(super) statuses: &'static [u16],
    /// Problems that do not follow from what the handler reads.
    pub(super) problems: &'static [Kind],
    /// The media type of a success, if it is not JSON.
    pub(super) media: Option<&'static str>,
    /// Whether the answer has the revision as `ETag`.
    pub(super) is_tagged: bool,
}

/// A route that answers 200.
pub(super) const fn told(id: &'static str, summary: &'static str) -> Told {
    Told { id, summary, statuses: &[200], problems: &[], media: None, is_tagged: false }
}

impl Told {
    /// With these statuses of a success.
    pub(super) const fn with(self, statuses: &'static [u16]) -> Self {
        Self { statuses, ..self }
    }

    /// With these problems.
    pub(super) const fn or(self, problems: &'static [Kind]) -> Self {
        Self { problems, ..self }
    }

    /// With the revision as `ETag`.
    pub(super) const fn tagged(self) -> Self {
        Self { is_tagged: true, ..self }
    }

    /// With this media type.
    pub(super) const fn as_media(self, media: &'static str) -> Self {
        Self { media: Some(media), ..self }
    }
}

/// One route as the document tells it.
pub(super) struct Operation {
    pub(super) method: Method,
    /// The whole path, with the names of its parts in braces.
    pub(super) path: String,
    /// The noun it belongs to.
    pub(super) tag: &'static str,
    pub(super) told: Told,
    pub(super) reads: fn(&mut Inputs<'_>),
    pub(super) answers: fn(&mut Outputs<'_>),
}

/// Routes with their descriptions.
pub(super) struct Routes {
    router: Router<ApiState>,
    operations: Vec<Operation>,
    tag: &'static str,
}

impl Routes {
    /// Routes about one noun.
    pub(super) fn of(tag: &'static str) -> Self {
        Self { router: Router::new(), operations: Vec::new(), tag }
    }

    pub(super) fn get<A, R, T, H>(self, path: &str, handler: H, told: Told) -> Self
    where
        H: Handler<T, ApiState> + Signature<A, R>,
        A: Reads,
        R: Answers,
        T: 'static,
    {
        self.route(Method::GET, path, handler, told)
    }

    pub(super) fn post<A, R, T, H>(self, path: &str, handler: H, told: Told) -> Self
    where
        H: Handler<T, ApiState> + Signature<A, R>,
        A: Reads,
        R: Answers,
        T: 'static,
    {
        self.route(Method::POST, path, handler, told)
    }

    /// A route of any method.
    pub(super) fn route<A, R, T, H>(mut self, method: Method, path: &str, handler: H, told: Told) -> Self
    where
        H: Handler<T, ApiState> + Signature<A, R>,
        A: Reads,
        R: Answers,
        T: 'static,
    {
        let filter = match method {
            Method::GET => MethodFilter::GET,
            Method::PUT => MethodFilter::PUT,
            Method::PATCH => MethodFilter::PATCH,
            Method::DELETE => MethodFilter::DELETE,
            _ => MethodFilter::POST,
        };
        self.router = self.router.route(path, on(filter, handler));
        let (reads, answers) = (A::read as fn(&mut Inputs<'_>), R::answer as fn(&mut Outputs<'_>));
        self.operations.push(Operation { method, path: path.to_owned(), tag: self.tag, told, reads, answers });
        self
    }

    /// Together with others.
    pub(super) fn merge(mut self, others: Routes) -> Self {
        self.router = self.router.merge(others.router);
        self.operations.extend(others.operations);
        self
    }

    /// With bodies of at most this size.
    pub(super) fn bodies_max(mut self, bytes: usize) -> Self {
        self.router = self.router.layer(DefaultBodyLimit::max(bytes));
        self
    }

    /// The same below a path.
    pub(super) fn below(mut self, prefix: &str) -> Self {
        self.router = Router::new().nest(prefix, self.router);
        self.operations.iter_mut().for_each(|operation| operation.path.insert_str(0, prefix));
        self
    }

    /// The same with a change of the router.
    pub(super) fn map(mut self, change: impl FnOnce(Router<ApiState>) -> Router<ApiState>) -> Self {
        self.router = change(self.router);
        self
    }

    /// The router alone.
    pub(super) fn router(self) -> Router<ApiState> {
        self.router
    }

    /// The descriptions alone.
    pub(super) fn operations(self) -> Vec<Operation> {
        self.operations
    }
}

/// The arguments and the answer of a handler.
pub(super) trait Signature<A, R> {}

macro_rules! signatures {
    ($(($($argument:ident),*))*) => {
        $(
            impl<F, G, R, $($argument),*> Signature<($($argument,)*), R> for F
            where
                F: FnOnce($($argument),*) -> G,
                G: Future<Output = R>,
            {
            }

            impl<$($argument: Reads),*> Reads for ($($argument,)*) {
                fn read(inputs: &mut Inputs<'_>) {
                    let _ = &inputs;
                    $($argument::read(inputs);)*
                }
            }
        )*
    };
}

signatures! { () (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, I) }
