//! Who may call the server API without a key, and what is said where nobody or everybody may.

use super::Client;
use super::report::{Finding, Place};
use super::server::{Auth, Server};
use crate::access::Namespaces;

/// Whether the server API takes calls of anybody: no key is set, and nothing says that access
/// matters, neither keys of tokens nor options of channels, or `insecure` says that it does not.
pub(super) fn is_server_api_open(auth: &Auth, client: &Client, namespaces: &Namespaces) -> bool {
    let other = client.subscription_token.as_ref();
    let has_token_keys = client.token.has_keys() || other.is_some_and(|it| it.has_keys());
    let is_guarded =
        has_token_keys || auth.token_secret.is_some() || namespaces.has_configured_options();
    auth.api_keys.is_empty() && (client.insecure || !is_guarded)
}

/// The warnings of a server without API keys. `place` is where those would stand.
pub(super) fn warnings(server: &Server, is_server_api_open: bool, place: &Place) -> Vec<Finding> {
    let mut warnings = Vec::from_iter(server.exposed(is_server_api_open));
    if !is_server_api_open {
        let problem = "no [auth] api_keys: the server API, POST /api/publish and its like, is \
                       closed";
        let fix = "set [auth] api_keys if a backend is to publish, or to look and direct";
        warnings.push(Finding::warning(place.clone(), problem, fix));
    }
    warnings
}
