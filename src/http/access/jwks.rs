//! The keys of the issuer: read when they are first needed, once an hour, and when a token names a key that is not known.

use std::sync::RwLock;
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use crate::config::{Config, Network, Outgoing};
use crate::contract::json;
use crate::outgoing::{Client, Request, Response, SendError};
use crate::time::clock::Clock;

/// Keys are read again after this, so that one which the issuer has withdrawn does not count for ever.
const READ_EVERY: Duration = Duration::from_secs(3_600);
/// The shortest time between two readings: tokens with invented key ids do not make this process ask the issuer for each.
const READ_AT_MOST_EVERY: Duration = Duration::from_secs(30);
/// The time limit of a reading.
const READ_FOR: Duration = Duration::from_secs(5);
/// Bytes of a JWKS.
const BYTES_MAX: usize = 256 * 1024;
/// Keys of a JWKS; the others are ignored.
const KEYS_MAX: usize = 100;

/// The keys of the issuer.
pub(super) struct Jwks {
    /// A file or a URL.
    place: String,
    outgoing: Outgoing,
    clock: Clock,
    client: OnceCell<Client>,
    loaded: RwLock<Option<Loaded>>,
    /// [`READ_AT_MOST_EVERY`].
    pub(super) at_most_every: Duration,
    /// When the last reading began. One reads, others wait for it.
    reading: Mutex<Option<Instant>>,
}

struct Loaded {
    at: Instant,
    keys: Vec<Jwk>,
}

/// Why there is no key for a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The issuer has none that fits.
    Unknown,
    /// The keys of the issuer could not be read yet.
    Unread,
}

impl Jwks {
    pub(super) fn new(config: &Config, clock: Clock) -> Self {
        Self {
            place: config.oidc.jwks.clone(),
            outgoing: reaching(&config.outgoing, &config.oidc.jwks),
            clock,
            client: OnceCell::new(),
            loaded: RwLock::new(None),
            at_most_every: READ_AT_MOST_EVERY,
            reading: Mutex::new(None),
        }
    }

    /// The key for a token with this header.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, Missing> {
        if let Some(key) = self.known(id, algorithm, READ_EVERY) {
            return Ok(key);
        }
        // An old key counts until it is known that the issuer has withdrawn it: one request asks, the others do not wait for it.
        let mut began = match self.known(id, algorithm, Duration::MAX) {
            None => self.reading.lock().await,
            Some(key) => match self.reading.try_lock() {
                Ok(began) => began,
                Err(_) => return Ok(key),
            },
        };
        // Another request may have read them meanwhile.
        if let Some(key) = self.known(id, algorithm, READ_EVERY) {
            return Ok(key);
        }
        if began.is_none_or(|began| began.elapsed() >= self.at_most_every) {
            *began = Some(Instant::now());
            match self.read().await {
                Ok(keys) => self.keep(keys),
                Err(why) => tracing::warn!(%why, "the keys of `oidc.jwks` could not be read"),
            }
        }
        drop(began);
        // Old keys count longer than none, if the issuer is away.
        let is_read = self.loaded.read().is_ok_and(|loaded| loaded.is_some());
        self.known(id, algorithm, Duration::MAX).ok_or(if is_read { Missing::Unknown } else { Missing::Unread })
    }

    fn known(&self, id: Option<&str>, algorithm: Algorithm, newer_than: Duration) -> Option<DecodingKey> {
        let loaded = self.loaded.read().ok()?;
        let loaded = loaded.as_ref().filter(|loaded| loaded.at.elapsed() < newer_than)?;
        choose(&loaded.keys, id, algorithm)
    }

    fn keep(&self, keys: Vec<Jwk>) {
        if let Ok(mut loaded) = self.loaded.write() {
            *loaded = Some(Loaded { at: Instant::now(), keys });
        }
    }

    async fn read(&self) -> Result<Vec<Jwk>, String> {
        let text = match self.place.contains("://") {
            true => self.fetch().await?,
            false => {
                let read = tokio::fs::read(&self.place).await;
                read.map_err(|error| format!("{} cannot be read: {error}", self.place))?
            }
        };
        parse(&text)
    }

    async fn fetch(&self) -> Result<Vec<u8>, String> {
        let client = self.client.get_or_try_init(async || Client::new(&self.outgoing, self.clock.clone())).await?;
        let request = Request {
            method: "GET".into(),
            url: self.place.clone(),
            headers: vec![("accept".into(), "application/json".into())],
            body: None,
            timeout: Some(READ_FOR),
            response_max: BYTES_MAX,
        };
        match client.send(request).await {
            Ok(Response { status: 200, cut: false, body, .. }) => Ok(body.to_vec()),
            Ok(Response { status: 200, .. }) => Err(format!("the answer has more than {BYTES_MAX} bytes")),
            Ok(Response { status, .. }) => Err(format!("the issuer answers {status}")),
            Err(SendError::NotSent { message, .. } | SendError::Unknown { message, .. }) => Err(message),
        }
    }
}

/// The settings of a client that reaches the host of this URL, and no other: an operator has named it, so that its address may be private.
fn reaching(settings: &Outgoing, url: &str) -> Outgoing {
    let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let everywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|network| network.parse::<Network>().ok());
    Outgoing {
        allow_hosts: host.into_iter().collect(),
        allow_addresses: everywhere.collect(),
        redirects_max: 0,
        ..settings.clone()
    }
}

/// The keys of a JWKS. Keys of kinds that are not known are for others.
fn parse(text: &[u8]) -> Result<Vec<Jwk>, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("it has more than {BYTES_MAX} bytes"));
    }
    let whole = json::read(text).map_err(|refused| format!("it {refused}"))?;
    let listed = whole["keys"].as_array().ok_or("it is not a JWKS: it has no list `keys`")?;
    let keys: Vec<Jwk> =
        listed.iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value(key.clone()).ok()).collect();
    match keys.is_empty() {
        true => Err("it holds no key that is understood".into()),
        false => Ok(keys),
    }
}

/// The key with this id; without an id the only one that fits the algorithm.
fn choose(keys: &[Jwk], id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
    let mut fitting = keys.iter().filter(|key| fits(key, algorithm));
    let key = match id {
        Some(id) => fitting.find(|key| key.common.key_id.as_deref() == Some(id)),
        None => fitting.next().filter(|_| fitting.next().is_none()),
    };
    DecodingKey::from_jwk(key?).ok()
}

/// Whether a key may check signatures of this algorithm. A shared secret fits none.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let signs = key.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let stated = key.common.key_algorithm.as_ref().map(|stated| stated.to_string());
    let is_stated = stated.is_none_or(|stated| stated == format!("{algorithm:?}"));
    let family = DecodingKey::from_jwk(key).ok().map(|key| key.family());
    signs && is_stated && family.is_some_and(|family| family != AlgorithmFamily::Hmac && family == algorithm.family())
}
