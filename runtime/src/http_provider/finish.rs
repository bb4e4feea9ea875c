//! Finish reasons: what servers say, and what lmserver calls it.

use crate::event::{ErrorCode, FinishReason};

/// What a raw finish reason means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// A proper end.
    Reason(FinishReason),
    /// The server gave up.
    Failure(ErrorCode),
}

impl Finish {
    /// Reads a finish reason, in whatever case. Servers hand on the words of the model behind
    /// them; an unknown word is a plain stop.
    #[must_use]
    pub fn read(raw: &str) -> Self {
        let word = raw.to_ascii_lowercase();
        match word.as_str() {
            "length"
            | "max_tokens"
            | "max_output_tokens"
            | "model_length"
            | "model_context_window_exceeded" => Self::Reason(FinishReason::Length),
            "tool_calls" | "function_call" | "tool_use" | "tool_call" => {
                Self::Reason(FinishReason::ToolCalls)
            }
            "content_filter"
            | "content_filtered"
            | "refusal"
            | "safety"
            | "recitation"
            | "language"
            | "blocklist"
            | "prohibited_content"
            | "spii"
            | "image_safety"
            | "image_prohibited_content"
            | "image_recitation"
            | "model_armor"
            | "guardrail_intervened"
            | "error_toxic" => Self::Reason(FinishReason::ContentFilter),
            "error"
            | "error_limit"
            | "malformed_function_call"
            | "unexpected_tool_call"
            | "too_many_tool_calls"
            | "missing_thought_signature"
            | "malformed_response" => Self::Failure(ErrorCode::ProviderError),
            "timeout" => Self::Failure(ErrorCode::ProviderTimeout),
            "insufficient_system_resource" => Self::Failure(ErrorCode::ProviderOverloaded),
            _ => Self::Reason(FinishReason::Stop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_its_meaning() {
        for (raw, want) in [
            ("stop", Finish::Reason(FinishReason::Stop)),
            ("eos", Finish::Reason(FinishReason::Stop)),
            ("STOP", Finish::Reason(FinishReason::Stop)),
            ("something new", Finish::Reason(FinishReason::Stop)),
            ("length", Finish::Reason(FinishReason::Length)),
            ("MAX_TOKENS", Finish::Reason(FinishReason::Length)),
            ("model_length", Finish::Reason(FinishReason::Length)),
            ("function_call", Finish::Reason(FinishReason::ToolCalls)),
            (
                "content_filter",
                Finish::Reason(FinishReason::ContentFilter),
            ),
            ("SAFETY", Finish::Reason(FinishReason::ContentFilter)),
            (
                "IMAGE_RECITATION",
                Finish::Reason(FinishReason::ContentFilter),
            ),
            ("error", Finish::Failure(ErrorCode::ProviderError)),
            (
                "insufficient_system_resource",
                Finish::Failure(ErrorCode::ProviderOverloaded),
            ),
        ] {
            assert_eq!(Finish::read(raw), want, "{raw}");
        }
    }
}
