//! The whole answer of a server with Anthropic's Messages API, see [`provider`](crate::provider).

/// Checks one input.
pub fn check(data: &[u8]) {
    crate::provider::check(data, lmserver_anthropic::open);
}
