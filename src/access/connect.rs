//! Verdicts on connections.

use std::time::Duration;

use lmserver_runtime::plugin::access::{ConnectAsk, ConnectGrant, Denial, Expiry, SubscribeGrant};

use super::grant::{Extras, carried, grant};
use super::namespace::personal_channel;
use super::verdict::{code, disconnect, error, of_token};
use super::{Policy, subscribe};
use crate::token::{ConnectionClaims, Reaction};

/// May this client connect?
pub(super) fn connect(policy: &Policy, ask: &ConnectAsk<'_>) -> Result<ConnectGrant, Denial> {
    let claims = identify(policy, ask)?;
    let invalid = disconnect(code::INVALID_TOKEN);
    let mut chosen = Chosen {
        policy,
        list: Vec::new(),
    };
    for channel in claims.channels {
        chosen.add_granted(channel, Extras::default())?;
    }
    for (channel, options) in claims.subs {
        let (info, data) = (carried(options.info), carried(options.data));
        let extras = Extras {
            info: info.ok_or(invalid)?,
            data: data.ok_or(invalid)?,
            overrides: options.overrides,
            ..Extras::default()
        };
        chosen.add_granted(channel, extras)?;
    }
    if let Some(namespace) = &policy.connecting.personal_namespace
        && !claims.user.is_empty()
    {
        let channel = personal_channel(namespace, &claims.user);
        chosen.add_granted(channel.into(), Extras::default())?;
    }
    for channel in ask.channels {
        chosen.add_named(channel, &claims.user)?;
    }
    Ok(ConnectGrant {
        user: claims.user,
        info: carried(claims.info).ok_or(invalid)?,
        expiry: Expiry(claims.expires_at),
        subscriptions: chosen.list,
    })
}

/// Is this a good new token for the user's connection?
pub(super) fn refresh(
    policy: &Policy,
    user: &str,
    token: &str,
    unix_time: Duration,
) -> Result<Expiry, Denial> {
    let invalid = disconnect(code::INVALID_TOKEN);
    let claims = policy.tokens.connection(token, unix_time);
    match claims {
        Ok(claims) if *claims.user == *user => Ok(Expiry(claims.expires_at)),
        Ok(_) => Err(invalid),
        Err(problem) if problem.reaction() == Reaction::Renew => Err(disconnect(code::EXPIRED)),
        Err(problem) => Err(of_token(&problem, invalid)),
    }
}

/// Who the client is, as its token says.
fn identify(policy: &Policy, ask: &ConnectAsk<'_>) -> Result<ConnectionClaims, Denial> {
    let rules = &policy.connecting;
    if ask.token.is_empty() {
        return if rules.is_insecure || rules.without_token {
            Ok(ConnectionClaims::default())
        } else {
            Err(disconnect(code::BAD_CONNECTION))
        };
    }
    let claims = policy
        .tokens
        .connection(ask.token, ask.unix_time)
        .map_err(|problem| of_token(&problem, disconnect(code::INVALID_TOKEN)))?;
    if claims.user.is_empty() && rules.needs_user {
        return Err(disconnect(code::CONNECTION_DENIED));
    }
    Ok(claims)
}

/// The channels that a connection is subscribed to from its beginning.
struct Chosen<'a> {
    policy: &'a Policy,
    /// At most [`ClientSettings::channel_limit`](super::ClientSettings::channel_limit).
    list: Vec<(Box<str>, SubscribeGrant)>,
}

impl Chosen<'_> {
    /// Adds one that needs no permission: the token, or the server itself, gives it.
    fn add_granted(&mut self, channel: Box<str>, extras: Extras) -> Result<(), Denial> {
        let granted = match self.policy.rule(&channel) {
            Ok(ruled) => grant(ruled, extras),
            // The backend, or the configuration, names what is not there.
            Err(_) => return Err(disconnect(code::BAD_CONNECTION)),
        };
        self.add(channel, granted)
    }

    /// Adds one that the client names, if it may have it without a token.
    fn add_named(&mut self, channel: &str, user: &str) -> Result<(), Denial> {
        match self.policy.rule(channel) {
            Ok(ruled) if subscribe::is_permitted(self.policy, ruled, user) => {
                self.add(channel.into(), grant(ruled, Extras::default()))
            }
            Err(denial) if denial == error(code::UNKNOWN_CHANNEL) => {
                Err(disconnect(code::BAD_CONNECTION))
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, channel: Box<str>, granted: SubscribeGrant) -> Result<(), Denial> {
        if self.list.iter().any(|(name, _)| *name == channel) {
            return Ok(());
        }
        if self.list.len() >= self.policy.client.channel_limit {
            return Err(disconnect(code::CHANNEL_LIMIT));
        }
        self.list.push((channel, granted));
        Ok(())
    }
}
