//! From a configuration to an engine: `Config` + `Plugins` + `Sys` → `Reactor`.

use std::sync::Arc;

use lmserver_runtime::plugin::access::ClientSettings;
use lmserver_runtime::plugin::provider::Secret;
use lmserver_runtime::reactor::Reactor;
use lmserver_runtime::sys::Sys;

use crate::access::{Connecting, Namespaces, Policy, PolicySettings};
use crate::api::{Api, ApiSettings, TOKEN_LIFETIME};
use crate::config::{Client, Config, Reloader};
use crate::plugins::Plugins;
use crate::token::Fetcher;

/// Builds the engine; it listens nowhere yet. `reloader` is asked at each `SIGHUP`.
pub(crate) fn assemble<S: Sys>(
    config: Config,
    plugins: &Plugins,
    reloader: Reloader,
    mut sys: S,
) -> Reactor<S> {
    let mut random = [0; 16];
    sys.random(&mut random);
    let (node, client_transports) = match plugins.open_client_transports(random) {
        Some(clients) => (clients.node.into(), clients.transports),
        None => (Box::default(), Vec::new()),
    };
    let secret = config.auth.token_secret;
    let api = Api::new(ApiSettings {
        api_keys: config.auth.api_keys,
        is_server_api_open: config.is_server_api_open,
        policy: policy(config.client, config.namespaces, secret.clone()),
        token_secret: secret,
        token_lifetime: TOKEN_LIFETIME + config.channels.ttl,
        allowed_origins: config.server.allowed_origins,
        page: config.server.page,
        transports: plugins.open_transports(),
        client_transports: client_transports
            .into_iter()
            .map(|(name, transport)| (name.into(), transport))
            .collect(),
        node,
        llm_patience: config.llm_patience,
        fetcher: Fetcher::new(config.key_servers),
        reload: Box::new(move || reloader.reload().map(|config| Arc::new(config.routing))),
    });
    let routing = Arc::new(config.routing);
    Reactor::new(sys, Box::new(api), routing, config.limits, config.channels)
}

fn policy(client: Client, namespaces: Namespaces, free_secret: Option<Secret>) -> Policy {
    let history_limit = usize::try_from(client.history_max_publication_limit);
    let personal = client.subscribe_to_user_personal_channel;
    // The first frame has a connect command, and a subscribe command for each channel.
    let reconnecting = client.channel_limit.saturating_add(1);
    Policy::new(PolicySettings {
        client: ClientSettings {
            ping_interval: client.ping_interval,
            pong_timeout: client.pong_timeout,
            stale_close_delay: client.stale_close_delay,
            expired_close_delay: client.expired_close_delay,
            expired_sub_close_delay: client.expired_sub_close_delay,
            channel_limit: client.channel_limit,
            user_connection_limit: client.user_connection_limit,
            history_limit: history_limit.unwrap_or(usize::MAX),
            message_bytes: client.message_size_limit,
            commands_per_message: client.commands_per_frame.max(reconnecting),
            command_rate: client.command_rate,
        },
        connecting: Connecting {
            is_insecure: client.insecure,
            without_token: client.allow_anonymous_connect_without_token,
            needs_user: client.disallow_anonymous_connection_tokens,
            personal_namespace: personal.then_some(client.personal_channel_namespace),
        },
        tokens: client.token,
        subscription_tokens: client.subscription_token,
        free_secret,
        namespaces,
    })
}
