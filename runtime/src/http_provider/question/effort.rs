//! How hard a model is to think, by the words of Claude: a level, or a budget of tokens.
//!
//! | `reasoning_effort` | level | budget |
//! | --- | --- | --- |
//! | `minimal` | `low` | 1024 |
//! | `low` | `low` | 2048 |
//! | `medium` | `medium` | 8192 |
//! | `high` | `high` | 16384 |
//! | `xhigh` | `xhigh` | 32768 |
//! | `max` | `max` | 32768 |

use super::Question;
use crate::plugin::provider::ProviderError;

/// What `reasoning_effort` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// The level of effort.
    pub level: &'static str,
    /// Tokens for thinking, those of the answer apart.
    budget: u64,
}

impl Question<'_> {
    /// What `reasoning_effort` asks for; nothing if it is `none`.
    ///
    /// # Errors
    ///
    /// A word that is none of these.
    pub fn effort(&self) -> Result<Option<Effort>, ProviderError> {
        let word = self.request.reasoning_effort.as_deref().unwrap_or("none");
        let level = LEVELS.iter().find(|(name, ..)| *name == word);
        match level {
            Some(&(_, level, budget)) => Ok(Some(Effort { level, budget })),
            None if word == "none" => Ok(None),
            None => {
                let want = "none, minimal, low, medium, high, xhigh or max";
                Err(self.wrong("reasoning_effort", want))
            }
        }
    }
}

impl Effort {
    /// The limit of all tokens, and the budget within it. A limit that was asked for holds for
    /// both; else thinking takes nothing from the `answer`.
    #[must_use]
    pub fn limits(self, max_tokens: Option<u64>, answer: u64) -> (u64, u64) {
        match max_tokens {
            None => (answer.saturating_add(self.budget), self.budget),
            Some(limit) => (limit, self.budget.min((limit / 2).max(LEAST_BUDGET))),
        }
    }
}

/// The least budget that the models take.
const LEAST_BUDGET: u64 = 1024;

/// Word, level, budget.
const LEVELS: [(&str, &str, u64); 6] = [
    ("minimal", "low", LEAST_BUDGET),
    ("low", "low", 2048),
    ("medium", "medium", 8192),
    ("high", "high", 16_384),
    ("xhigh", "xhigh", 32_768),
    ("max", "max", 32_768),
];
