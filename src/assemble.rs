//! From a configuration to an engine: `Config` + `Plugins` + `Sys` → `Reactor`.

use std::sync::Arc;

use lmserver_runtime::reactor::Reactor;
use lmserver_runtime::sys::Sys;

use crate::api::{Api, ApiSettings, TOKEN_LIFETIME};
use crate::config::{Config, Reloader};
use crate::plugins::Plugins;

/// Builds the engine; it listens nowhere yet. `reloader` is asked at each `SIGHUP`.
pub(crate) fn assemble<S: Sys>(
    config: Config,
    plugins: &Plugins,
    reloader: Reloader,
    sys: S,
) -> Reactor<S> {
    let api = Api::new(ApiSettings {
        api_keys: config.auth.api_keys,
        token_secret: config.auth.token_secret,
        token_lifetime: TOKEN_LIFETIME + config.channels.ttl,
        allowed_origins: config.server.allowed_origins,
        page: config.server.page,
        open_channels: config.open_channels.then(|| config.channels.retention()),
        transports: plugins.open_transports(),
        reload: Box::new(move || reloader.reload().map(|config| Arc::new(config.routing))),
    });
    let routing = Arc::new(config.routing);
    Reactor::new(sys, Box::new(api), routing, config.limits, config.channels)
}
