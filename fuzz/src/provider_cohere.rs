//! The whole answer of Cohere, see [`provider`](crate::provider).

/// Checks one input.
pub fn check(data: &[u8]) {
    crate::provider::check(data, lmserver_cohere::open);
}
