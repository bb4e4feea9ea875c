//! Which providers there are, which targets a model's name stands for, and whom of them to ask.
//!
//! ```text
//!   Routing ── a model's name ──► Plan: a/m, [b/m c/m], d/m
//!                                   │ tried so far, how each target stands, a random number
//!   Ledger ── a target stands ──────┤
//!     breaker: closed, open, probing▼
//!     queue:   free, busy, full   Choice: ask it, wait for it, nobody
//! ```
//!
//! A routing is immutable. A reload makes a new one; a run keeps what it began with. What is known
//! of targets at run time is the ledger's, goes by their names, and outlives a reload.
//!
//! Nothing in here has a clock, a socket or randomness: times and random numbers are arguments.

use std::collections::BTreeMap;
use std::sync::Arc;

mod backoff;
mod breaker;
mod draw;
mod ledger;
mod plan;
mod queue;
mod resilience;
mod target;
#[cfg(test)]
mod testing;

pub(crate) use backoff::{LONGEST_DEMAND, backoff};
pub(crate) use breaker::{Change, Verdict};
pub(crate) use ledger::{Ledger, Slot, Standing};
pub(crate) use plan::{Choice, Tried};
pub use plan::{MOST_TARGETS, Plan, Planned};
pub use resilience::Resilience;
pub use target::{Instance, MOST_WARM_CONNECTIONS, ProviderTimers, Proxy, Target};

/// All configured providers and models.
#[derive(Default)]
pub struct Routing {
    /// Providers by the name of their instance.
    pub providers: BTreeMap<Box<str>, Arc<Instance>>,
    /// Models by the name that clients use.
    pub models: BTreeMap<Box<str>, Plan>,
}

/// Why a model's name leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownModel {
    /// No model and no provider of that name.
    #[error("no model named {name:?}; known: {known}")]
    Name {
        /// What was asked for.
        name: String,
        /// What could have been.
        known: String,
    },
    /// No model was named, and there is no default.
    #[error("no model was named and no [model.default] is configured; known: {known}")]
    NoDefault {
        /// What could have been.
        known: String,
    },
}

impl Routing {
    /// Finds the targets for a name: one of `[model.*]`, or `provider/model`. Without a name,
    /// `default`.
    ///
    /// # Errors
    ///
    /// [`UnknownModel`], which lists the names that there are.
    pub fn plan(&self, name: Option<&str>) -> Result<Plan, UnknownModel> {
        let wanted = name.unwrap_or("default");
        if let Some(plan) = self.models.get(wanted).filter(|plan| !plan.is_empty()) {
            return Ok(plan.clone());
        }
        if let Some((instance, model)) = wanted.split_once('/')
            && let Some(instance) = self.providers.get(instance)
            && !model.is_empty()
        {
            let target = Target {
                instance: Arc::clone(instance),
                model: model.into(),
            };
            return Ok(Plan::of_one(target));
        }
        Err(match name {
            Some(name) => UnknownModel::Name {
                name: name.into(),
                known: self.known(),
            },
            None => UnknownModel::NoDefault {
                known: self.known(),
            },
        })
    }

    /// The rules for a target as they are now. A run of before a reload keeps its targets, not
    /// their rules, unless the provider is gone.
    pub(crate) fn rules<'a>(&'a self, target: &'a Target) -> &'a Resilience {
        let now = self.providers.get(&target.instance.name);
        &now.unwrap_or(&target.instance).resilience
    }

    /// Is a target asked in another way than by a former routing, or elsewhere?
    pub(crate) fn has_changed(&self, former: &Self, provider: &str, model: &str) -> bool {
        let instances = (self.providers.get(provider), former.providers.get(provider));
        match instances {
            (Some(now), Some(then)) => now.asks_otherwise(then, model),
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        }
    }

    fn known(&self) -> String {
        let models = self.models.keys().map(|name| name.to_string());
        let providers = self.providers.keys().map(|name| format!("{name}/<model>"));
        models.chain(providers).collect::<Vec<_>>().join(", ")
    }
}
