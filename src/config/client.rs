//! `[client]`: connections that speak Centrifugo's client protocol.

use std::time::Duration;

use super::keys::Keys;
use super::nearest;
use super::outward::Shared;
use super::report::Report;
use super::section::Section;
use super::server::Auth;
use crate::access::Namespaces;
use crate::access::namespace::personal_channel;
use crate::token::{self, KeyServer};

mod token_keys;

/// `[client]`, `[client.token]` and `[client.subscription_token]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Client {
    /// `insecure`: everybody may do everything, for development. Default false.
    pub insecure: bool,
    /// `allow_anonymous_connect_without_token`: whether a connection needs no token. Default
    /// true: what it may do, its channels say.
    pub allow_anonymous_connect_without_token: bool,
    /// `disallow_anonymous_connection_tokens`: whether a token has to name a user. Default false.
    pub disallow_anonymous_connection_tokens: bool,
    /// `channel_limit`: subscriptions of one connection. Default 128.
    pub channel_limit: usize,
    /// `user_connection_limit`: connections of one user that has a name. Default 0: no limit.
    pub user_connection_limit: usize,
    /// `ping_interval`: time between two pings. Default 25 s.
    pub ping_interval: Duration,
    /// `pong_timeout`: time to answer one, shorter than `ping_interval`. Default 8 s.
    pub pong_timeout: Duration,
    /// `stale_close_delay`: time to connect. Default 10 s.
    pub stale_close_delay: Duration,
    /// `expired_close_delay`: time to refresh an expired connection. Default 25 s.
    pub expired_close_delay: Duration,
    /// `expired_sub_close_delay`: time to refresh an expired subscription. Default 25 s.
    pub expired_sub_close_delay: Duration,
    /// `history_max_publication_limit`: publications in one answer to `history`. Default 300.
    pub history_max_publication_limit: u64,
    /// `commands_per_frame`: commands in one frame; at least as many as a client sends that
    /// connects again with all the subscriptions that it may have. Default 1024.
    pub commands_per_frame: usize,
    /// `command_rate`: commands a second of one connection; twice as many may come at once. 0: no
    /// limit. Default 1000.
    pub command_rate: u32,
    /// `message_size_limit`: bytes of one frame. Default 64 KiB.
    pub message_size_limit: usize,
    /// `subscribe_to_user_personal_channel`: whether a connection of a user with a name is
    /// subscribed to the user's channel. Default false.
    pub subscribe_to_user_personal_channel: bool,
    /// `personal_channel_namespace`: where those channels are. Default empty: in no namespace.
    pub personal_channel_namespace: Box<str>,
    /// `[client.token]`: the keys of connection tokens.
    pub token: token::Settings,
    /// `[client.subscription_token]`: the keys of subscription tokens. Default: the same.
    pub subscription_token: Option<token::Settings>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            insecure: false,
            allow_anonymous_connect_without_token: true,
            disallow_anonymous_connection_tokens: false,
            channel_limit: 128,
            user_connection_limit: 0,
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(8),
            stale_close_delay: Duration::from_secs(10),
            expired_close_delay: Duration::from_secs(25),
            expired_sub_close_delay: Duration::from_secs(25),
            history_max_publication_limit: 300,
            commands_per_frame: 1024,
            command_rate: 1000,
            message_size_limit: 64 << 10,
            subscribe_to_user_personal_channel: false,
            personal_channel_namespace: Box::default(),
            token: token::Settings::default(),
            subscription_token: None,
        }
    }
}

impl Client {
    pub(super) fn read(
        mut section: Section<'_>,
        auth: &Auth,
        namespaces: &Namespaces,
        shared: &Shared,
        keys: &mut Keys,
        report: &mut Report,
    ) -> (Self, Vec<KeyServer>) {
        let mut client = Self::default();
        client.read_switches(&mut section);
        client.read_bounds(&mut section);
        client.read_times(&mut section);
        client.read_personal_channel(&mut section, namespaces);
        let (has_tokens, has_subscription_tokens) =
            (section.has("token"), section.has("subscription_token"));
        let mut key_servers = Vec::new();
        let mut read = |section| {
            let (settings, server) = token_keys::read(section, auth, shared, keys, report);
            key_servers.extend(server);
            settings
        };
        client.token = read(section.section("token"));
        let other = section.section("subscription_token");
        if has_subscription_tokens {
            client.subscription_token = Some(read(other));
        }
        let lacks_key = has_tokens && !client.token.has_keys() && !report.has_mistakes();
        client.warn(&mut section, lacks_key);
        section.finish(keys, report);
        (client, key_servers)
    }

    fn read_switches(&mut self, section: &mut Section<'_>) {
        for (key, switch) in [
            ("insecure", &mut self.insecure),
            (
                "allow_anonymous_connect_without_token",
                &mut self.allow_anonymous_connect_without_token,
            ),
            (
                "disallow_anonymous_connection_tokens",
                &mut self.disallow_anonymous_connection_tokens,
            ),
        ] {
            *switch = section.bool(key).unwrap_or(*switch);
        }
    }

    fn read_bounds(&mut self, section: &mut Section<'_>) {
        for (key, least, most, bound) in [
            ("channel_limit", 1, 65_535, &mut self.channel_limit),
            (
                "user_connection_limit",
                0,
                10_000_000,
                &mut self.user_connection_limit,
            ),
            (
                "commands_per_frame",
                1,
                65_535,
                &mut self.commands_per_frame,
            ),
        ] {
            let read = section.integer(key, least, most);
            *bound = read.and_then(|n| usize::try_from(n).ok()).unwrap_or(*bound);
        }
        let rate = section.integer("command_rate", 0, 1_000_000);
        let rate = rate.and_then(|rate| u32::try_from(rate).ok());
        self.command_rate = rate.unwrap_or(self.command_rate);
        let limit = section.integer("history_max_publication_limit", 1, 1 << 20);
        self.history_max_publication_limit = limit.unwrap_or(self.history_max_publication_limit);
        let size = section.size("message_size_limit", 1 << 10, 1 << 30);
        let size = size.and_then(|size| usize::try_from(size).ok());
        self.message_size_limit = size.unwrap_or(self.message_size_limit);
    }

    fn read_times(&mut self, section: &mut Section<'_>) {
        for (key, time) in [
            ("ping_interval", &mut self.ping_interval),
            ("pong_timeout", &mut self.pong_timeout),
            ("stale_close_delay", &mut self.stale_close_delay),
            ("expired_close_delay", &mut self.expired_close_delay),
            ("expired_sub_close_delay", &mut self.expired_sub_close_delay),
        ] {
            *time = section.duration(key).unwrap_or(*time);
        }
        if self.ping_interval < Duration::from_secs(1) {
            section.mistake_at(
                "ping_interval",
                "`ping_interval` is under a second, and clients are told whole seconds",
                "write ping_interval = \"1s\", or more",
            );
        } else if self.pong_timeout >= self.ping_interval {
            let key = if section.has("pong_timeout") {
                "pong_timeout"
            } else {
                "ping_interval"
            };
            section.mistake_at(
                key,
                format!(
                    "a pong may take {:?}, the next ping comes after {:?}",
                    self.pong_timeout, self.ping_interval
                ),
                "make `pong_timeout` shorter than `ping_interval`",
            );
        }
    }

    fn read_personal_channel(&mut self, section: &mut Section<'_>, namespaces: &Namespaces) {
        let is_on = section.bool("subscribe_to_user_personal_channel");
        self.subscribe_to_user_personal_channel = is_on.unwrap_or(false);
        let namespace = section.string("personal_channel_namespace");
        self.personal_channel_namespace = namespace.unwrap_or_default().into();
        let name = &*self.personal_channel_namespace;
        let is_named = name.is_empty() || namespaces.named.contains_key(name);
        let is_there = namespaces.resolve(&personal_channel(name, "42")).is_ok();
        if !self.subscribe_to_user_personal_channel || is_named && is_there || !section.is_whole() {
            return;
        }
        if name.is_empty() {
            section.mistake_at(
                "subscribe_to_user_personal_channel",
                "personal channels, like #42, are in no namespace, and no options say how they are",
                "add [without_namespace], or name a namespace in `personal_channel_namespace`",
            );
        } else {
            let near = nearest(name, namespaces.named.keys().map(AsRef::as_ref));
            section.mistake_at(
                "personal_channel_namespace",
                format!("there is no namespace {name:?}"),
                near.map_or_else(
                    || "name one that has a section [namespace.NAME]".to_owned(),
                    |near| format!("did you mean {near:?}?"),
                ),
            );
        }
    }

    fn warn(&self, section: &mut Section<'_>, lacks_key: bool) {
        if self.insecure {
            section.warning_at(
                "insecure",
                "`insecure` is on: every client may subscribe, publish and look everywhere",
                "remove it where others can reach the server",
            );
        }
        if lacks_key {
            section.warning_at(
                "token",
                "[client.token] has no key: no token is good",
                "set `hmac_secret_key`, `rsa_public_key`, `ecdsa_public_key` or `jwks_file`",
            );
        } else if !self.allow_anonymous_connect_without_token
            && !self.insecure
            && !self.token.has_keys()
        {
            section.warning_at(
                "allow_anonymous_connect_without_token",
                "a connection needs a token, and no token is good: there is no key",
                "set `hmac_secret_key` in [client.token]",
            );
        }
    }
}
