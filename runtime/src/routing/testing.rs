//! Targets for the tests of routing.

use std::sync::{Arc, LazyLock};

use crate::event::ErrorCode;
use crate::plugin::provider::{ChatRequest, Provider, ProviderError, Start, StartCx};
use crate::routing::resilience::Resilience;
use crate::routing::target::{Instance, ProviderTimers, Target};
use crate::tls::Trust;

static TRUST: LazyLock<Trust> = LazyLock::new(Trust::public);

struct Nobody;

impl Provider for Nobody {
    fn start(&self, _: &ChatRequest, _: &str, _: StartCx) -> Result<Start, ProviderError> {
        Err(ProviderError::new(ErrorCode::Internal, "never asked"))
    }
}

/// A model at a provider that is never asked.
pub(crate) fn target(model: &str) -> Target {
    Target {
        instance: Arc::new(Instance {
            name: "p".into(),
            provider: Box::new(Nobody),
            timers: ProviderTimers::default(),
            trust: TRUST.clone(),
            proxy: None,
            resilience: Resilience::default(),
            warm_connections: 0,
        }),
        model: model.into(),
    }
}
