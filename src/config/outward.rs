//! What all connections share that this server opens: proxies, and whom TLS trusts.

use lmserver_runtime::tls::Trust;

use super::environment::Environment;
use super::proxy::Proxies;
use super::report::Report;

/// The same for all of a configuration.
pub(super) struct Shared {
    pub(super) proxies: Proxies,
    /// The trust where no certificates are named: one, so that they share its sessions.
    pub(super) public_trust: Trust,
}

impl Shared {
    pub(super) fn of(environment: &Environment, report: &mut Report) -> Self {
        Self {
            proxies: Proxies::of(environment, report),
            public_trust: Trust::public(),
        }
    }
}
