//! Ends of attempts that may end the process that executes what follows them. Each is counted before it is begun, as a redelivered command
//! is, and forgotten when it is done; one that was begun too often becomes an incident.

use super::super::suspect::{acquit, fingerprint, suspect, verdict};
use super::Attempt;
use crate::app::App;
use crate::engine::CallId;
use crate::store;
use crate::store::suspects::Suspect;

/// Held while what follows the end of an attempt is executed.
pub struct Watch {
    counted: Suspect,
    /// How often it was begun before, and did not end.
    crashes: u32,
}

impl Watch {
    /// Counts that an overdue attempt is ended. An attempt is ended once, so the first time it has not crashed yet.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn over_expiry(app: &App, attempt: Attempt) -> Result<Self, store::Error> {
        let Attempt { id, dispatch, .. } = attempt;
        let parts: [&[u8]; 3] = [b"expiry", id.0.as_bytes(), &dispatch.to_be_bytes()];
        Self::over(app, fingerprint(&parts), "the end of this overdue call").await
    }

    /// Counts that the response to an attempt is recorded. A process that dies of it leaves an attempt that expires, and a further one
    /// gets the same response: so the count is that of the call, whatever its attempt.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn over_response(app: &App, call: CallId) -> Result<Self, store::Error> {
        Self::over(app, fingerprint(&[b"response", call.0.as_bytes()]), "what follows the response to this call").await
    }

    async fn over(app: &App, id: [u8; 32], what: &str) -> Result<Self, store::Error> {
        // Other branches move its instance: the revision says nothing about the call.
        let counted = Suspect { id, what: what.to_owned(), instance: None, known_as: None };
        let crashes = suspect(app, &counted).await?.unwrap_or_default().saturating_sub(1);
        Ok(Self { counted, crashes })
    }

    /// Why it is given up, if it was begun too often.
    pub fn verdict(&self, app: &App) -> Option<String> {
        (self.crashes > app.config.worker.crash_max).then(|| verdict(&self.counted.what, self.crashes))
    }

    /// It was done in order, whatever came of it.
    pub async fn ended(&self, app: &App) {
        acquit(app, &self.counted.id).await;
    }
}
