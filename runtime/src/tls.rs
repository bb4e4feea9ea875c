//! placeholder
use std::sync::Arc;
/// Whom a TLS client trusts.
#[derive(Clone)]
pub struct Trust(pub(crate) Arc<rustls::ClientConfig>);
