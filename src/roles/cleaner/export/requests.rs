//! Requests to a bucket, sent by the same client as those of definitions: one TLS, one proxy, one guard of addresses.

use std::fmt;
use std::pin::Pin;

use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use crate::config::Outgoing;
use crate::outgoing::{Client, Request, Response, SendError};
use crate::time::clock::Clock;

/// The largest part of a file that is sent at once, and some room.
const REQUEST_MAX: usize = 16 * 1024 * 1024;
/// The largest part that is read at once, and some room.
const RESPONSE_MAX: usize = 8 * 1024 * 1024;
/// Headers that the client writes itself.
const OWN: [&str; 2] = ["host", "content-length"];

/// The client.
#[derive(Clone)]
pub(super) struct Requests(Client);

impl Requests {
    pub(super) fn new(settings: &Outgoing, clock: Clock) -> Result<Self, String> {
        let settings = Outgoing { request_max: REQUEST_MAX, response_max: RESPONSE_MAX, ..settings.clone() };
        Client::new(&settings, clock).map(Requests)
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Requests")
    }
}

impl HttpConnector for Requests {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Requests {
    // As `async fn` of a trait object is written out.
    fn call<'a, 'f>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'f>>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let request = read(request).await?;
            let response = self.0.send(request).await.map_err(failed)?;
            answer(response)
        })
    }
}

async fn read(request: HttpRequest) -> Result<Request, HttpError> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut headers: Vec<(String, String)> = head
        .headers
        .iter()
        .filter(|(name, _)| !OWN.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect();
    // A file is stored compressed, and must come back as it is.
    headers.push(("accept-encoding".into(), "identity".into()));
    Ok(Request {
        method: head.method.as_str().to_owned(),
        url: head.uri.to_string(),
        headers,
        body: Some(body.to_vec()),
        timeout: None,
        response_max: RESPONSE_MAX,
    })
}

fn answer(response: Response) -> Result<HttpResponse, HttpError> {
    let mut answer = http::Response::builder().status(response.status);
    for (name, value) in &response.headers {
        answer = answer.header(name, value);
    }
    answer.body(response.body.into()).map_err(|error| HttpError::new(HttpErrorKind::Decode, error))
}

fn failed(error: SendError) -> HttpError {
    let (kind, message) = match error {
        SendError::NotSent { message, .. } => (HttpErrorKind::Connect, message),
        SendError::Unknown { message, .. } => (HttpErrorKind::Interrupted, message),
    };
    HttpError::new(kind, std::io::Error::other(message))
}
