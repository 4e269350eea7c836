//! Keys of the API: make and revoke them. Each is noted in the audit log.

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::Error;
use super::audit::{Actor, Done, Operation};
use crate::app::App;
use crate::contract::api::ApiKeyView;
use crate::contract::check_name;
use crate::contract::scope::{Scope, Scopes};
use crate::engine::PEOPLE_MAX;
use crate::link::token;
use crate::store::api_keys::{self, KnownKey, NewKey};
use crate::store::{self, Transaction, Undo};

/// How a key begins: programs that look for secrets in texts know it by this.
pub const PREFIX: &str = "lv_";
/// How the cookie of a session begins.
pub const SESSION_PREFIX: &str = "ls_";
/// Sessions of one key: the oldest ends when there is one more.
const SESSIONS_MAX: i64 = 100;
/// The longest name of a caller, in bytes: it becomes part of the sender of its commands.
pub const CALLER_MAX: usize = 200;

/// A key as it is asked for.
#[derive(Debug, Clone)]
pub struct KeyRequest {
    /// Who acts with it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Groups of its user.
    pub groups: Vec<String>,
    /// Whether its commands may name another user who acts.
    pub others: Others,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// For whom a caller may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// For itself only.
    Never,
    /// For other users as well.
    Allowed,
}

/// Makes a key; returns it with its row. It is not stored: nobody can show it again.
///
/// # Errors
/// `Refused` names what is wrong with the request.
pub async fn create(app: &App, request: KeyRequest, actor: &Actor) -> Result<(String, ApiKeyView), Error> {
    check(app, &request)?;
    let key = token::new(PREFIX).map_err(|why| Error::Store(store::Error::Bug(why)))?;
    let new = NewKey {
        id: app.new_id(),
        name: request.name,
        hash: token::hash(&key),
        hint: token::hint(&key, PREFIX),
        scopes: request.scopes,
        groups: request.groups,
        acts_for_others: request.others == Others::Allowed,
        expires_at: request.expires_at,
        created_by: actor.who.clone(),
    };
    let scopes: Vec<&str> = new.scopes.iter().map(Scope::name).collect();
    let details = json!({ "name": &new.name, "scopes": scopes, "acts_for_others": new.acts_for_others });
    let object = new.id.to_string();
    let operation = Operation { actor, action: "key.create", subject: "key", object: &object, reason: None };
    let insert = async |transaction: &mut Transaction| -> Result<_, Undo<_, Error>> {
        api_keys::insert(transaction, &new).await?;
        let view = api_keys::find_view(transaction, new.id).await?;
        Ok(Done::Changed { value: view, outcome: "created", details: Some(details) })
    };
    let view = operation.run(app, insert).await?;
    Ok((key, view.ok_or_else(|| Error::NotFound(format!("there is no key {object}")))?))
}

/// Revokes a key. Processes that know it refuse it within seconds.
///
/// # Errors
/// `NotFound`; `Refused` if it was revoked before.
pub async fn revoke(app: &App, id: Uuid, reason: Option<&str>, actor: &Actor) -> Result<String, Error> {
    let object = id.to_string();
    let operation = Operation { actor, action: "key.revoke", subject: "key", object: &object, reason };
    let change = async |transaction: &mut Transaction| -> Result<_, Undo<Option<String>, Error>> {
        Ok(match api_keys::revoke(transaction, id).await? {
            Some(name) => {
                let details = Some(json!({ "name": &name }));
                Done::Changed { value: Some(name), outcome: "revoked", details }
            }
            None => Done::Unchanged(None),
        })
    };
    if let Some(name) = operation.run(app, change).await? {
        return Ok(name);
    }
    let mut conn = app.store.background().await?;
    Err(match api_keys::find_view(&mut conn, id).await? {
        Some(_) => Error::Refused(format!("the key {id} is revoked already")),
        None => Error::NotFound(format!("there is no key {id}")),
    })
}

/// Opens a session of a browser with a key; returns the value of its cookie.
///
/// # Errors
/// As for any query.
pub async fn open_session(app: &App, key: &KnownKey, actor: &Actor) -> Result<String, Error> {
    let cookie = token::new(SESSION_PREFIX).map_err(|why| Error::Store(store::Error::Bug(why)))?;
    let now = app.clock.now();
    let expires_at = now.checked_add(app.config.access.session_for).unwrap_or(now);
    let object = key.id.to_string();
    let operation = Operation { actor, action: "session.open", subject: "key", object: &object, reason: None };
    let hash = token::hash(&cookie);
    let insert = async |transaction: &mut Transaction| -> Result<_, Undo<(), Error>> {
        api_keys::insert_session(transaction, &hash, key.id, expires_at).await?;
        api_keys::delete_oldest_sessions(transaction, key.id, SESSIONS_MAX).await?;
        Ok(Done::changed((), "opened"))
    };
    operation.run(app, insert).await?;
    Ok(cookie)
}

/// Ends a session.
///
/// # Errors
/// As for any query.
pub async fn close_session(app: &App, cookie: &str) -> Result<(), Error> {
    let hash = token::hash(cookie);
    api_keys::delete_session(&mut *app.store.background().await?, &hash).await?;
    app.forget_key(&hash);
    Ok(())
}

fn check(app: &App, request: &KeyRequest) -> Result<(), Error> {
    let refused = |why: String| Err(Error::Refused(why));
    if let Err(error) = check_name(&request.name) {
        return refused(format!("the name of the key {error}"));
    }
    if request.name.len() > CALLER_MAX {
        return refused(format!("the name of the key has more than {CALLER_MAX} bytes"));
    }
    if request.scopes.is_empty() {
        return refused("the key needs at least one scope or role".into());
    }
    if request.groups.len() > PEOPLE_MAX {
        return refused(format!("the key has more than {PEOPLE_MAX} groups"));
    }
    if let Some(Err(error)) = request.groups.iter().map(|group| check_name(group)).find(Result::is_err) {
        return refused(format!("a group of the key {error}"));
    }
    if request.expires_at.is_some_and(|at| at <= app.clock.now()) {
        return refused("the key would have expired already".into());
    }
    Ok(())
}
