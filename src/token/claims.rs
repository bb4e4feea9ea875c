//! What tokens say (RFC 7519 §4, and the claims of Centrifugo's tokens).
//!
//! A time is a number of seconds since 1970 that may have a fraction (RFC 7519 §2). Unknown
//! claims are passed over, `meta` among them: it is meant for backends that are asked, and none
//! is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lmserver_proto::json::{Error, Object, entries, string};

use super::{LONGEST_TOKEN, TokenError};

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
pub(super) struct Common<'a> {
    sub: Option<Cow<'a, str>>,
    pub(super) iss: Option<Cow<'a, str>>,
    /// RFC 7519 §4.1.3: one string, or an array of them.
    aud: Vec<Cow<'a, str>>,
    exp: Option<f64>,
    nbf: Option<f64>,
    expire_at: Option<f64>,
    info: Option<Box<[u8]>>,
}

impl<'a> Common<'a> {
    /// Reads the claims; `user_claim` replaces `sub` as the user's name.
    pub(super) fn read(payload: &'a [u8], user_claim: Option<&str>) -> Result<Self, TokenError> {
        let claims = claims(payload, COMMON)?;
        let sub = claims.text("sub")?;
        let audience = claims.value("aud").and_then(string);
        Ok(Self {
            sub: match user_claim {
                None => sub,
                Some(name) => user(payload, name)?,
            },
            iss: claims.text("iss")?,
            aud: match audience {
                Some(one) => vec![one],
                None => claims.texts("aud", LONGEST_TOKEN)?,
            },
            exp: claims.decimal("exp")?,
            nbf: claims.decimal("nbf")?,
            expire_at: claims.decimal("expire_at")?,
            info: bytes(&claims, "b64info", "info")?,
        })
    }

    /// Whether the token is for this audience.
    pub(super) fn is_for(&self, audience: &str) -> bool {
        self.aud.iter().any(|one| one == audience)
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
        mut common: Common<'_>,
        payload: &[u8],
        now: Duration,
    ) -> Result<Self, TokenError> {
        let own = claims(payload, &["channel", "channels", "subs"])?;
        if own.value("channel").is_some() {
            return Err(TokenError::WrongKind);
        }
        let channels = own.texts("channels", LONGEST_TOKEN)?;
        let mut subs = BTreeMap::new();
        for (channel, options) in own.entries("subs", LONGEST_TOKEN)? {
            let options = match options {
                b"null" => SubscribeOptions::default(),
                options => SubscribeOptions::read(&claims(options, OPTIONS)?)?,
            };
            subs.insert(channel.into(), options);
        }
        Ok(Self {
            expires_at: common.expires_at(now)?,
            user: common.user(),
            info: common.info,
            channels: channels.into_iter().map(Into::into).collect(),
            subs,
        })
    }
}

impl SubscriptionClaims {
    pub(super) fn read(
        mut common: Common<'_>,
        payload: &[u8],
        now: Duration,
    ) -> Result<Self, TokenError> {
        let own = claims(payload, OPTIONS)?;
        let name = |key| -> Result<Option<Box<str>>, TokenError> {
            let name = own.text(key)?.filter(|name| !name.is_empty());
            Ok(name.map(Into::into))
        };
        let client = name("client")?;
        let channel = name("channel")?.ok_or(TokenError::NoChannel)?;
        let options = SubscribeOptions::read(&own)?;
        Ok(Self {
            expires_at: common.expires_at(now)?,
            user: common.user(),
            channel,
            client,
            info: options.info,
            data: options.data,
            overrides: options.overrides,
        })
    }
}

impl SubscribeOptions {
    fn read(claims: &Object<'_>) -> Result<Self, TokenError> {
        let overrides = claims.object("override", Overrides::KEYS)?;
        let overrides = overrides.map(|written| Overrides::read(&written, None));
        Ok(Self {
            info: bytes(claims, "b64info", "info")?,
            data: bytes(claims, "b64data", "data")?,
            overrides: overrides.transpose()?.unwrap_or_default(),
        })
    }
}

impl Overrides {
    /// What is known of the written form.
    pub(crate) const KEYS: &'static [&'static str] = &[
        "presence",
        "join_leave",
        "force_push_join_leave",
        "force_recovery",
        "force_positioning",
    ];

    /// Reads the written form: each option is an object with its `value`, or the `default` where
    /// it has none.
    ///
    /// # Errors
    ///
    /// Another type, and no value where there is no default.
    pub(crate) fn read(written: &Object<'_>, default: Option<bool>) -> Result<Self, Error> {
        let option = |key| match written.object(key, &["value"])? {
            None => Ok(None),
            Some(option) => match option.flag("value")?.or(default) {
                None => Err(Error::Missing("value")),
                value => Ok(value),
            },
        };
        Ok(Self {
            presence: option("presence")?,
            join_leave: option("join_leave")?,
            force_push_join_leave: option("force_push_join_leave")?,
            force_recovery: option("force_recovery")?,
            force_positioning: option("force_positioning")?,
        })
    }
}

/// Reads claims of an object whose signature was good.
///
/// # Errors
///
/// [`TokenError::Claims`].
pub(crate) fn claims<'a>(
    payload: &'a [u8],
    known: &'static [&'static str],
) -> Result<Object<'a>, TokenError> {
    Ok(Object::read(payload, known)?)
}

/// What stands under the claim that names the user.
fn user<'a>(payload: &'a [u8], name: &str) -> Result<Option<Cow<'a, str>>, TokenError> {
    let mut claims = entries(payload, LONGEST_TOKEN)?.into_iter();
    let wrong = || TokenError::claims(format!("`{name}` is no string"));
    match claims.rfind(|(key, _)| key == name) {
        None | Some((_, b"null")) => Ok(None),
        Some((_, value)) => string(value).map(Some).ok_or_else(wrong),
    }
}

/// The binary form where it is given, else the JSON as it stands.
fn bytes(claims: &Object<'_>, binary: &str, json: &str) -> Result<Option<Box<[u8]>>, TokenError> {
    let Some(text) = claims.text(binary)?.filter(|text| !text.is_empty()) else {
        return Ok(claims.value(json).map(Into::into));
    };
    let bytes = STANDARD
        .decode(&*text)
        .map_err(|_| TokenError::claims(format!("`{binary}` is not base64")))?;
    Ok(Some(bytes.into()))
}

/// The first whole second at or after a time, so that what is still good has a second left. What
/// lies beyond all time counts as the end of it.
fn whole_seconds(time: f64) -> u64 {
    Duration::try_from_secs_f64(time.ceil()).map_or(u64::MAX, |time| time.as_secs())
}

/// What is known of both kinds of token.
const COMMON: &[&str] = &[
    "sub",
    "iss",
    "aud",
    "exp",
    "nbf",
    "expire_at",
    "info",
    "b64info",
];

/// What is known of a subscription token, and of one channel in a connection token.
const OPTIONS: &[&str] = &[
    "channel", "client", "info", "b64info", "data", "b64data", "override",
];
