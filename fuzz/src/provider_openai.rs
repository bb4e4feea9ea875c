//! The whole answer of an OpenAI-compatible server, see [`provider`](crate::provider).

/// Checks one input.
pub fn check(data: &[u8]) {
    crate::provider::check(data, lmserver_openai::open);
}
