//! What tokens say (RFC 7519 §4, and the claims of Centrifugo's tokens).
//!
//! A time is a number of seconds since 1970 that may have a fraction (RFC 7519 §2). Unknown
//! claims are passed over, `meta` among them: it is meant for backends that are asked, and none
//! is.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{TokenError, object};

/// What a connection token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionClaims {
    /// `sub`, or the claim that `user_id_claim` names; empty for an anonymous user.
    pub user: Box<str>,
    /// When the connection ends, in seconds since 1970: `expire_at`, or else `exp`. None: never.
    pub expires_at: Option<u64>,
    /// `b64info`, decoded, or `info`: what others see of the connection.
    pub info: Option<Box<[u8]>>,
    /// Channels to subscribe the connection to.
    pub channels: Vec<Box<str>>,
    /// The same, with options.
    pub subs: BTreeMap<Box<str>, SubscribeOptions>,
}

/// What a connection token says about one channel to subscribe to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// `b64info`, decoded, or `info`: what others see of the subscriber in this channel.
    pub info: Option<Box<[u8]>>,
    /// `b64data`, decoded, or `data`: what the subscriber is told.
    pub data: Option<Box<[u8]>>,
    /// `override`.
    pub overrides: Overrides,
}

/// Options of a channel that a token sets for one subscriber; none leaves the channel's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `presence`.
    pub presence: Option<bool>,
    /// `join_leave`.
    pub join_leave: Option<bool>,
    /// `force_push_join_leave`.
    pub force_push_join_leave: Option<bool>,
    /// `force_recovery`.
    pub force_recovery: Option<bool>,
    /// `force_positioning`.
    pub force_positioning: Option<bool>,
}

/// What a subscription token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionClaims {
    /// As in [`ConnectionClaims::user`]; it has to be the connection's.
    pub user: Box<str>,
    /// The channel that it is for.
    pub channel: Box<str>,
    /// The connection that it is for; none, or empty in the token, for any of the user's.
    pub client: Option<Box<str>>,
    /// As in [`SubscribeOptions::info`].
    pub info: Option<Box<[u8]>>,
    /// As in [`SubscribeOptions::data`].
    pub data: Option<Box<[u8]>>,
    /// When the subscription ends, as in [`ConnectionClaims::expires_at`].
    pub expires_at: Option<u64>,
    /// `override`.
    pub overrides: Overrides,
}

/// From when to when a token is good.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Validity {
    /// `exp`, the first moment at which it is not good any more.
    pub until: Option<f64>,
    /// `nbf`, the first moment at which it is good.
    pub from: Option<f64>,
}

impl Validity {
    /// Checks that it is good at `now`, the time since 1970.
    ///
    /// # Errors
    ///
    /// [`TokenError::Expired`] and [`TokenError::NotYet`].
    pub fn check(self, now: Duration) -> Result<(), TokenError> {
        let now = now.as_secs_f64();
        // RFC 7519 §4.1.4: on or after exp it is not accepted.
        if let Some(until) = self.until.filter(|until| *until <= now) {
            let since = Duration::try_from_secs_f64(now - until);
            return Err(TokenError::Expired(since.unwrap_or_default().as_secs()));
        }
        // RFC 7519 §4.1.5.
        if self.from.is_some_and(|from| from > now) {
            return Err(TokenError::NotYet);
        }
        Ok(())
    }
}

/// The claims that both kinds of token have.
#[derive(Deserialize)]
pub(super) struct Common {
    sub: Option<String>,
    pub(super) iss: Option<String>,
    pub(super) aud: Option<Audience>,
    exp: Option<f64>,
    nbf: Option<f64>,
    expire_at: Option<f64>,
    info: Option<Box<RawValue>>,
    b64info: Option<String>,
}

/// RFC 7519 §4.1.3: one string, or an array of them.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct OfConnection {
    channel: Option<IgnoredAny>,
    channels: Option<Vec<Box<str>>>,
    subs: Option<BTreeMap<Box<str>, Option<OfSubscription>>>,
}

/// The claims of a subscription token, and the options of one channel in a connection token.
#[derive(Default, Deserialize)]
struct OfSubscription {
    channel: Option<Box<str>>,
    client: Option<Box<str>>,
    info: Option<Box<RawValue>>,
    b64info: Option<String>,
    data: Option<Box<RawValue>>,
    b64data: Option<String>,
    #[serde(rename = "override")]
    overrides: Option<WrittenOverrides>,
}

#[derive(Deserialize)]
struct WrittenOverrides {
    presence: Option<Switch>,
    join_leave: Option<Switch>,
    force_push_join_leave: Option<Switch>,
    force_recovery: Option<Switch>,
    force_positioning: Option<Switch>,
}

#[derive(Deserialize)]
struct Switch {
    value: bool,
}

impl Common {
    /// Reads the claims; `user_claim` replaces `sub` as the user's name.
    pub(super) fn read(payload: &[u8], user_claim: Option<&str>) -> Result<Self, TokenError> {
        let mut claims: Self = claims(payload)?;
        if let Some(name) = user_claim {
            let mut all: BTreeMap<String, serde_json::Value> = self::claims(payload)?;
            claims.sub = match all.remove(name) {
                Some(serde_json::Value::String(user)) => Some(user),
                None | Some(serde_json::Value::Null) => None,
                Some(_) => return Err(TokenError::claims(format!("`{name}` is no string"))),
            };
        }
        Ok(claims)
    }

    /// Checks the token's own times, then that what it is for has not ended either.
    fn expires_at(&self, now: Duration) -> Result<Option<u64>, TokenError> {
        let token = Validity {
            until: self.exp,
            from: self.nbf,
        };
        token.check(now)?;
        let end = match self.expire_at {
            Some(0.0) => None,
            Some(other) => Some(other),
            None => self.exp,
        };
        let connection = Validity {
            until: end,
            from: None,
        };
        connection.check(now)?;
        Ok(end.map(whole_seconds))
    }

    fn user(&mut self) -> Box<str> {
        self.sub.take().unwrap_or_default().into()
    }
}

impl ConnectionClaims {
    pub(super) fn read(
        mut common: Common,
        payload: &[u8],
        now: Duration,
    ) -> Result<Self, TokenError> {
        let own: OfConnection = claims(payload)?;
        if own.channel.is_some() {
            return Err(TokenError::WrongKind);
        }
        let subs = own.subs.unwrap_or_default().into_iter();
        let subs = subs.map(|(channel, sub)| Ok((channel, sub.unwrap_or_default().options()?)));
        Ok(Self {
            expires_at: common.expires_at(now)?,
            user: common.user(),
            info: bytes("b64info", common.b64info, common.info)?,
            channels: own.channels.unwrap_or_default(),
            subs: subs.collect::<Result<_, TokenError>>()?,
        })
    }
}

impl SubscriptionClaims {
    pub(super) fn read(
        mut common: Common,
        payload: &[u8],
        now: Duration,
    ) -> Result<Self, TokenError> {
        let mut own: OfSubscription = claims(payload)?;
        let (channel, client) = (own.channel.take(), own.client.take());
        let channel = channel
            .filter(|name| !name.is_empty())
            .ok_or(TokenError::NoChannel)?;
        let options = own.options()?;
        Ok(Self {
            expires_at: common.expires_at(now)?,
            user: common.user(),
            channel,
            client: client.filter(|name| !name.is_empty()),
            info: options.info,
            data: options.data,
            overrides: options.overrides,
        })
    }
}

impl OfSubscription {
    fn options(self) -> Result<SubscribeOptions, TokenError> {
        let value = |switch: Option<Switch>| switch.map(|switch| switch.value);
        let overrides = self.overrides.map(|written| Overrides {
            presence: value(written.presence),
            join_leave: value(written.join_leave),
            force_push_join_leave: value(written.force_push_join_leave),
            force_recovery: value(written.force_recovery),
            force_positioning: value(written.force_positioning),
        });
        Ok(SubscribeOptions {
            info: bytes("b64info", self.b64info, self.info)?,
            data: bytes("b64data", self.b64data, self.data)?,
            overrides: overrides.unwrap_or_default(),
        })
    }
}

impl Audience {
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Many(many) => many.iter().any(|one| one == name),
        }
    }
}

/// Reads claims of an object whose signature was good.
///
/// # Errors
///
/// [`TokenError::Claims`].
pub(crate) fn claims<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, TokenError> {
    object(payload).map_err(TokenError::claims)
}

/// The binary form where it is given, else the JSON as it stands.
fn bytes(
    name: &str,
    binary: Option<String>,
    json: Option<Box<RawValue>>,
) -> Result<Option<Box<[u8]>>, TokenError> {
    if let Some(text) = binary.filter(|text| !text.is_empty()) {
        let bytes = STANDARD
            .decode(text)
            .map_err(|_| TokenError::claims(format!("`{name}` is not base64")))?;
        return Ok(Some(bytes.into()));
    }
    Ok(json.map(|json| Box::from(json.get().as_bytes())))
}

/// The first whole second at or after a time, so that what is still good has a second left. What
/// lies beyond all time counts as the end of it.
fn whole_seconds(time: f64) -> u64 {
    Duration::try_from_secs_f64(time.ceil()).map_or(u64::MAX, |time| time.as_secs())
}
