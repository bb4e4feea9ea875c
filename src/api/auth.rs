//! Who may do what: API keys for all that spends money or publishes, tokens for listeners.
//!
//! | configured | ask | publish | listen | read state | cancel |
//! | --- | --- | --- | --- | --- | --- |
//! | nothing | anybody | anybody | who knows the channel | who knows it | who knows it |
//! | `api_keys` | key | key | who knows the channel | who knows it | key |
//! | `token_secret` | anybody | nobody | token | token | token |
//! | both | key | key | token | key or token | key or token |
//!
//! Publish stands for the whole server API. Without a key it is closed too where there are keys
//! of client tokens or options of channels, unless `insecure` is on.
//!
//! A key comes as `X-API-Key` or Bearer (of the server API's clients also as `apikey`, or as
//! `api_key` in the query), a token as `token` in the query (browsers cannot set
//! fields on EventSource and WebSocket) or Bearer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use lmserver_proto::http1::Request;
use lmserver_proto::percent;
use lmserver_runtime::plugin::provider::Secret;
use lmserver_runtime::plugin::service::NO_KEY;
use lmserver_runtime::plugin::transport::Admission;
use ring::digest::{SHA256, digest};

use super::refusal::{Code, Refusal};
use super::token::{TokenError, TokenKey};

/// The configured credentials.
pub(super) struct Auth {
    keys: Vec<Key>,
    /// Without keys: may anybody call the server API? Else nobody may.
    is_backend_open: bool,
    tokens: Option<TokenKey>,
    lifetime: Duration,
}

/// An API key, and what it is called where it must not be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKey {
    /// Where it was kept: the name of an environment variable or file, or `literal-1`.
    pub name: Box<str>,
    /// The key.
    pub secret: Secret,
}

/// A configured key.
struct Key {
    secret: Secret,
    digest: Digest,
    name: Arc<str>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// Of the API key; zeros where nobody needs one.
    pub(super) digest: Digest,
    /// What the key is called in the metrics; [`NO_KEY`] where nobody needs one.
    pub(super) name: Arc<str>,
}

/// SHA-256.
pub(super) type Digest = [u8; 32];

impl Auth {
    /// The credentials; `lifetime` is that of the tokens issued here.
    pub(super) fn new(
        keys: &[ApiKey],
        is_backend_open: bool,
        secret: Option<&Secret>,
        lifetime: Duration,
    ) -> Self {
        Self {
            is_backend_open,
            keys: keys
                .iter()
                .map(|key| Key {
                    secret: key.secret.clone(),
                    digest: sha256(&[key.secret.expose().as_bytes()]),
                    name: key.name.as_ref().into(),
                })
                .collect(),
            tokens: secret.map(|secret| TokenKey::new(secret.expose().as_bytes())),
            lifetime,
        }
    }

    /// The caller of something that needs an API key.
    pub(super) fn caller(&self, request: &Request) -> Result<Caller, Refusal> {
        if self.keys.is_empty() {
            return Ok(Caller {
                digest: [0; 32],
                name: NO_KEY.into(),
            });
        }
        self.key_holder(request).ok_or_else(|| {
            let sent = presented_keys(request).next().is_some();
            unauthorized(if sent {
                "the API key is not one of this server's: check [auth] api_keys"
            } else {
                "this needs an API key: send it as Authorization: Bearer KEY or X-API-Key: KEY"
            })
        })
    }

    /// The same for the server API, whose clients may send the key in the query too.
    pub(super) fn backend(&self, request: &Request) -> Result<(), Refusal> {
        if self.keys.is_empty() && !self.is_backend_open {
            return Err(unauthorized(
                "the server API is closed, since it has no key: set [auth] api_keys",
            ));
        }
        let query = request
            .query()
            .and_then(|query| percent::query_value(query, "api_key"));
        match query {
            Some(key) if self.holder(key.as_bytes()).is_some() => Ok(()),
            _ => self.caller(request).map(|_| ()),
        }
    }

    /// May this client listen to the channel?
    pub(super) fn admit(&self, request: &Request, channel: &str, now: Duration) -> Admission {
        let Some(tokens) = &self.tokens else {
            return Admission::Granted;
        };
        let Some(token) = presented_token(request) else {
            return Admission::Unauthorized(
                "this channel needs a token: send it as ?token=… or Authorization: Bearer …"
                    .to_owned(),
            );
        };
        match tokens.check(&token, channel, now) {
            Ok(()) => Admission::Granted,
            Err(error @ TokenError::OtherChannel) => Admission::Forbidden(error.to_string()),
            Err(error) => Admission::Unauthorized(error.to_string()),
        }
    }

    /// May this client read the state of the channel?
    pub(super) fn may_read(
        &self,
        request: &Request,
        channel: &str,
        now: Duration,
    ) -> Result<(), Refusal> {
        if self.tokens.is_none() || self.key_holder(request).is_some() {
            return Ok(());
        }
        match self.admit(request, channel, now) {
            Admission::Granted => Ok(()),
            Admission::Unauthorized(message) => Err(unauthorized(message)),
            Admission::Forbidden(message) => Err(Refusal::new(Code::Forbidden, message)),
        }
    }

    /// May this client end the generation in the channel?
    pub(super) fn may_cancel(
        &self,
        request: &Request,
        channel: &str,
        now: Duration,
    ) -> Result<(), Refusal> {
        if self.tokens.is_some() {
            self.may_read(request, channel, now)
        } else {
            self.caller(request).map(|_| ())
        }
    }

    /// A token for the channel, where tokens are in use.
    pub(super) fn issue(&self, channel: &str, now: Duration) -> Option<String> {
        self.tokens
            .as_ref()
            .map(|tokens| tokens.issue(channel, now, self.lifetime))
    }

    /// The holder of a configured key, if the request is from one.
    fn key_holder(&self, request: &Request) -> Option<Caller> {
        presented_keys(request).find_map(|key| self.holder(key))
    }

    /// Compares with every key and every byte, found or not.
    fn holder(&self, sent: &[u8]) -> Option<Caller> {
        let mut found = None;
        for key in &self.keys {
            if is_equal(key.secret.expose().as_bytes(), sent) {
                found = Some(key);
            }
        }
        found.map(|key| Caller {
            digest: key.digest,
            name: Arc::clone(&key.name),
        })
    }
}

/// SHA-256 of the parts in a row.
pub(super) fn sha256(parts: &[&[u8]]) -> Digest {
    let hashed = match parts {
        [part] => digest(&SHA256, part),
        parts => digest(&SHA256, &parts.concat()),
    };
    hashed.as_ref().try_into().unwrap_or_default()
}

/// 401 with the challenge that it needs (RFC 9110 §15.5.2).
pub(super) fn unauthorized(message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(Code::Unauthorized, message)
        .with_field("WWW-Authenticate", "Bearer realm=\"lmserver\"")
}

/// The token that a listener sends.
pub(super) fn presented_token(request: &Request) -> Option<Cow<'_, str>> {
    let query = request
        .query()
        .and_then(|query| percent::query_value(query, "token"));
    query.or_else(|| authorization(request, "Bearer").map(Cow::Borrowed))
}

fn presented_keys(request: &Request) -> impl Iterator<Item = &[u8]> {
    let field = request.fields.get_bytes("x-api-key");
    let bearer = || authorization(request, "Bearer").or_else(|| authorization(request, "apikey"));
    let bearer = std::iter::once_with(bearer).flatten();
    field.into_iter().chain(bearer.map(str::as_bytes))
}

/// The credentials of a scheme (RFC 9110 §11.4); nothing if the field stands there twice.
fn authorization<'a>(request: &'a Request, scheme: &str) -> Option<&'a str> {
    let mut values = request.fields.get_all("authorization");
    let value = std::str::from_utf8(values.next()?).ok()?;
    let (name, credentials) = value.split_once(' ')?;
    let is_alone = values.next().is_none();
    (is_alone && name.eq_ignore_ascii_case(scheme)).then(|| credentials.trim_matches(' '))
}

/// Looks at each byte of the key, whatever was sent: the time tells nothing of where they differ.
fn is_equal(key: &[u8], sent: &[u8]) -> bool {
    let mut difference = key.len() ^ sent.len();
    for (at, byte) in key.iter().enumerate() {
        let other = sent.get(at).copied().unwrap_or_default();
        difference |= usize::from(byte ^ other);
    }
    std::hint::black_box(difference) == 0
}
