//! Verdicts on subscriptions.
//!
//! | who comes | gets in |
//! | --- | --- |
//! | with a good token for channel, user and client | yes |
//! | with another token | no: 103, 109 where it is expired, 3500 where it is not for this |
//! | without one, to `$…` | no |
//! | without one, to `…#42`, where users are limited | the user 42 |
//! | without one, to a chat or an open channel | yes, unless those need tokens |
//! | without one, to another channel | whom the channel's options permit |

use std::time::Duration;

use lmserver_runtime::plugin::access::{
    Denial, Expiry, RefreshGrant, SubscribeAsk, SubscribeGrant,
};

use super::grant::{Extras, grant};
use super::namespace::{allowed_users, is_private};
use super::verdict::{code, disconnect, error, of_token};
use super::{Policy, Ruled};
use crate::token::{SubscriptionClaims, TokenError};

/// May this client subscribe?
pub(super) fn subscribe(policy: &Policy, ask: &SubscribeAsk<'_>) -> Result<SubscribeGrant, Denial> {
    let channel = policy.rule(ask.channel)?;
    let mut extras = if ask.token.is_empty() {
        if !is_permitted(policy, channel, ask.user) {
            return Err(error(code::PERMISSION_DENIED));
        }
        Extras::default()
    } else {
        let claims = verify(policy, ask)
            .map_err(|problem| of_token(&problem, error(code::PERMISSION_DENIED)))?;
        check_holder(&claims, channel, ask)?;
        Extras::of_token(claims).ok_or_else(|| error(code::PERMISSION_DENIED))?
    };
    // Who may see who is there may hear who comes and goes.
    extras.may_hear =
        policy.connecting.is_insecure || channel.options.ask_presence.permits(ask.user, true);
    Ok(grant(channel, extras))
}

/// Is this a good new token for the client's subscription?
pub(super) fn refresh(policy: &Policy, ask: &SubscribeAsk<'_>) -> Result<RefreshGrant, Denial> {
    let claims = verify(policy, ask)
        .map_err(|problem| of_token(&problem, disconnect(code::INVALID_TOKEN)))?;
    let name = if ask.channel.is_empty() {
        &claims.channel
    } else {
        ask.channel
    };
    check_holder(&claims, policy.rule(name)?, ask)?;
    Ok(RefreshGrant {
        channel: claims.channel,
        expiry: Expiry(claims.expires_at),
    })
}

/// May somebody listen who has no connection, only perhaps a token?
pub(super) fn listen(
    policy: &Policy,
    channel: Ruled<'_>,
    token: &str,
    unix_time: Duration,
) -> Result<SubscribeGrant, Denial> {
    if token.is_empty() {
        return if is_permitted(policy, channel, "") {
            Ok(grant(channel, Extras::default()))
        } else {
            Err(error(code::PERMISSION_DENIED))
        };
    }
    let ask = SubscribeAsk {
        user: "",
        client: "",
        channel: channel.name,
        token,
        unix_time,
    };
    let claims = verify(policy, &ask)
        .map_err(|problem| of_token(&problem, error(code::PERMISSION_DENIED)))?;
    if *claims.channel != *channel.name || claims.client.is_some() {
        return Err(error(code::PERMISSION_DENIED));
    }
    let extras = Extras::of_token(claims).ok_or_else(|| error(code::PERMISSION_DENIED))?;
    Ok(grant(channel, extras))
}

/// May this user subscribe without a token?
pub(super) fn is_permitted(policy: &Policy, channel: Ruled<'_>, user: &str) -> bool {
    if policy.connecting.is_insecure {
        return true;
    }
    if is_private(channel.name) {
        return false;
    }
    if channel.is_free && policy.free_tokens.is_some() {
        return false;
    }
    let options = channel.options;
    match allowed_users(channel.name).filter(|_| options.allow_user_limited_channels) {
        Some(mut users) => users.any(|listed| listed == user && !user.is_empty()),
        None => options.subscribe.permits(user, false),
    }
}

/// The claims of a subscription token. That of a chat or an open channel may be signed with the
/// secret of those.
fn verify(policy: &Policy, ask: &SubscribeAsk<'_>) -> Result<SubscriptionClaims, TokenError> {
    let usual = policy
        .subscription_tokens
        .subscription(ask.token, ask.unix_time);
    let Some(free) = &policy.free_tokens else {
        return usual;
    };
    match free.subscription(ask.token, ask.unix_time) {
        Ok(claims) if policy.is_ruled_by_name(&claims.channel) => Ok(claims),
        // It is signed with that secret, and says why it is not good.
        Err(problem @ TokenError::Expired(_)) if usual.is_err() => Err(problem),
        _ => usual,
    }
}

/// The token has to be for this channel, user and client.
fn check_holder(
    claims: &SubscriptionClaims,
    channel: Ruled<'_>,
    ask: &SubscribeAsk<'_>,
) -> Result<(), Denial> {
    let is_anybodys = channel.is_free && claims.user.is_empty();
    let is_users = is_anybodys || *claims.user == *ask.user;
    let is_clients = claims.client.as_deref().is_none_or(|it| it == ask.client);
    if *claims.channel == *channel.name && is_users && is_clients {
        Ok(())
    } else {
        Err(disconnect(code::INVALID_TOKEN))
    }
}
