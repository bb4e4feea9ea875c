//! The whole answer of a server with the Responses API, see [`provider`](crate::provider).

/// Checks one input.
pub fn check(data: &[u8]) {
    crate::provider::check(data, lmserver_openai_responses::open);
}
