//! The whole answer of Gemini, see [`provider`](crate::provider).

/// Checks one input.
pub fn check(data: &[u8]) {
    crate::provider::check(data, lmserver_gemini::open);
}
