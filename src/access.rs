//! Who may do what: tokens and namespaces in, verdicts out.
//!
//! ```text
//! connect    token ─► claims ─► user, expiry, channels of the token, the user's own, those named
//! subscribe  name ─► options ─► token, or permission without one ─► what the subscription may do
//! act        name ─► options ─► is it on? (108) ─► is it permitted? (103)
//! ```
//!
//! By default nobody may anything: a connection needs a token, a channel its permission. Where
//! `[client] insecure` is on everybody may everything, but a token that is sent is verified all
//! the same. Nothing here has a state beside the configuration, asks a clock, or knows whether a
//! channel exists.
//!
//! Chats and open channels are different: who knows the name may listen, unless `[auth]
//! token_secret` is set. Then a subscription token for the channel is needed, such as the answer
//! to `POST /api/chat` holds; it may name no user, and is good for any then.

use std::time::Duration;

use lmserver_runtime::limits::Retention;
use lmserver_runtime::plugin::access::{
    self as plugin, ActAsk, ActGrant, ClientSettings, ConnectAsk, ConnectGrant, Denial, Expiry,
    RefreshGrant, SubscribeAsk, SubscribeGrant,
};
use lmserver_runtime::plugin::provider::Secret;

use crate::token::{KeySource, Settings, Verifier};

mod act;
mod connect;
mod grant;
pub mod namespace;
mod subscribe;
mod verdict;

pub(crate) use act::is_acceptable;
pub(crate) use grant::Extras;
pub use namespace::{
    Access, ChannelOptions, DataFormat, History, Namespaces, RecoveryMode, UnknownNamespace,
    allowed_users,
};
pub use verdict::code;

use namespace::CHAT;
use verdict::error;

/// What verdicts are given by.
#[derive(Clone, Debug)]
pub struct PolicySettings {
    /// How connections are treated: `[client]`.
    pub client: ClientSettings,
    /// Who may connect: `[client]` too.
    pub connecting: Connecting,
    /// The keys of connection tokens: `[client.token]`.
    pub tokens: Settings,
    /// The keys of subscription tokens, if they are others: `[client.subscription_token]`.
    pub subscription_tokens: Option<Settings>,
    /// The secret of the tokens of chats and open channels: `[auth] token_secret`.
    pub free_secret: Option<Secret>,
    /// What channels there are.
    pub namespaces: Namespaces,
}

impl PolicySettings {
    /// What holds where nothing but channels is configured: no token is good, and a connection
    /// needs one.
    #[must_use]
    pub fn new(namespaces: Namespaces) -> Self {
        Self {
            client: ClientSettings::default(),
            connecting: Connecting::default(),
            tokens: Settings::default(),
            subscription_tokens: None,
            free_secret: None,
            namespaces,
        }
    }
}

/// Who may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connecting {
    /// `insecure`: everybody may everything.
    pub is_insecure: bool,
    /// `allow_anonymous_connect_without_token`.
    pub without_token: bool,
    /// `disallow_anonymous_connection_tokens`: a token has to name a user.
    pub needs_user: bool,
    /// `subscribe_to_user_personal_channel`, with its namespace, which may be empty.
    pub personal_namespace: Option<Box<str>>,
}

/// The verdicts of this server.
#[derive(Debug)]
pub struct Policy {
    client: ClientSettings,
    connecting: Connecting,
    tokens: Verifier,
    subscription_tokens: Verifier,
    /// Checks the tokens of chats and open channels, if those need any.
    free_tokens: Option<Verifier>,
    namespaces: Namespaces,
}

/// A channel with the rules that it falls under.
#[derive(Clone, Copy)]
struct Ruled<'a> {
    name: &'a str,
    options: &'a ChannelOptions,
    is_chat: bool,
    /// Is it a chat or an open channel, which no namespace rules?
    is_free: bool,
}

impl Policy {
    /// Verdicts by these settings.
    #[must_use]
    pub fn new(settings: PolicySettings) -> Self {
        let free_tokens = settings.free_secret.map(|secret| {
            Verifier::new(&Settings {
                hmac_secret_key: Some(secret),
                ..Settings::default()
            })
        });
        let mut namespaces = settings.namespaces;
        if settings.connecting.is_insecure && namespaces.open.is_none() {
            // Everything includes channels for which nothing is configured.
            namespaces.without.get_or_insert_default();
        }
        let tokens = &settings.tokens;
        let of_subscriptions = settings.subscription_tokens.as_ref().unwrap_or(tokens);
        Self {
            client: settings.client,
            connecting: settings.connecting,
            tokens: Verifier::new(tokens),
            subscription_tokens: Verifier::new(of_subscriptions),
            free_tokens,
            namespaces,
        }
    }

    /// Where the key sets of tokens come from, at most one for each kind of token: what is
    /// fetched from their URLs goes there.
    pub fn key_sources(&mut self) -> impl Iterator<Item = &mut KeySource> {
        let verifiers = [&mut self.tokens, &mut self.subscription_tokens];
        verifiers.into_iter().filter_map(Verifier::key_source)
    }

    /// The options of all channels.
    #[must_use]
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Is there nothing about the channel in the configuration, so that who knows the name of a
    /// chat, or of an open channel, may listen?
    #[must_use]
    pub fn is_ruled_by_name(&self, channel: &str) -> bool {
        let options = self.namespaces.resolve(channel);
        options.map_or(true, |options| self.is_free(channel, options))
    }

    /// May a client without a connection of its own, such as an EventSource, listen to the
    /// channel? The token is good whichever user it names: it is all that the client has.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn listen(
        &self,
        channel: &str,
        token: &str,
        unix_time: Duration,
    ) -> Result<SubscribeGrant, Denial> {
        let channel = self.rule(channel)?;
        subscribe::listen(self, channel, token, unix_time)
    }

    /// The subscription that a backend gives to a client; none where clients cannot subscribe
    /// to a channel of that name.
    pub(crate) fn give(&self, channel: &str, extras: Extras) -> Option<SubscribeGrant> {
        let channel = self.rule(channel).ok()?;
        Some(grant::grant(channel, extras))
    }

    fn is_free(&self, name: &str, options: &ChannelOptions) -> bool {
        let open = self.namespaces.open.as_ref();
        is_chat(name) || open.is_some_and(|open| std::ptr::eq(open, options))
    }

    /// The rules of a channel.
    fn rule<'a>(&'a self, name: &'a str) -> Result<Ruled<'a>, Denial> {
        if check_name(name).is_err() || !name.is_ascii() {
            return Err(error(code::BAD_REQUEST));
        }
        let options = self
            .namespaces
            .resolve(name)
            .map_err(|_| error(code::UNKNOWN_CHANNEL))?;
        Ok(Ruled {
            name,
            options,
            is_chat: is_chat(name),
            is_free: self.is_free(name, options),
        })
    }
}

impl plugin::Access for Policy {
    fn settings(&self) -> &ClientSettings {
        &self.client
    }

    fn connect(&mut self, ask: &ConnectAsk<'_>) -> Result<ConnectGrant, Denial> {
        connect::connect(self, ask)
    }

    fn refresh(&mut self, user: &str, token: &str, unix_time: Duration) -> Result<Expiry, Denial> {
        connect::refresh(self, user, token, unix_time)
    }

    fn subscribe(&mut self, ask: &SubscribeAsk<'_>) -> Result<SubscribeGrant, Denial> {
        subscribe::subscribe(self, ask)
    }

    fn refresh_subscription(&mut self, ask: &SubscribeAsk<'_>) -> Result<RefreshGrant, Denial> {
        subscribe::refresh(self, ask)
    }

    fn act(&mut self, ask: &ActAsk<'_>) -> Result<ActGrant, Denial> {
        act::act(self, ask)
    }
}

/// Whether the channel carries the answer of a model.
#[must_use]
pub fn is_chat(channel: &str) -> bool {
    channel
        .strip_prefix(CHAT)
        .is_some_and(|rest| rest.starts_with(':'))
}

/// Checks the name of a channel, whoever says it. Clients that name their channels themselves
/// write them in ASCII.
///
/// # Errors
///
/// What a name must be.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_MAX {
        let length = name.len();
        return Err(format!(
            "a channel's name has 1 to {NAME_MAX} bytes, not {length}"
        ));
    }
    if name.chars().any(char::is_control) {
        return Err("a channel's name has no control characters".to_owned());
    }
    Ok(())
}

/// What a channel with these options keeps.
#[must_use]
pub fn retention(options: &ChannelOptions) -> Retention {
    options
        .history
        .map_or(Retention::NONE, |history| Retention {
            size: history.size,
            ttl: history.ttl,
            position_ttl: history.meta_ttl,
        })
}

/// Bytes of a channel's name.
pub const NAME_MAX: usize = 255;

#[cfg(test)]
mod tests;
