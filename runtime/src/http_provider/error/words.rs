//! What providers call their errors, in lower case: codes and types, and phrases of their texts.

use crate::event::ErrorCode;

/// There is no money left.
pub(super) const BILLING: &[&str] = &[
    "insufficient_quota",
    "insufficient_balance",
    "insufficient_credits",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "payment_required",
    "enforced_spend_limit_reached",
    "exceeded_current_quota_error",
];

/// The same, in a text.
pub(super) const BILLING_PHRASES: &[&str] = &[
    "insufficient balance",
    "credit balance is too low",
    "reached your specified api usage limits",
    "used all available credits",
    "doesn't have any credits",
    "does not have any credits",
];

/// A filter refused it.
pub(super) const CONTENT_FILTER: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "moderation_blocked",
    "prompt_blocked",
    "image_content_policy_violation",
    "misalignment_policy_violation",
    "bio_policy",
    "cyber_policy",
    "data_inspection_failed",
];

/// The same, in a text.
pub(super) const FILTER_PHRASES: &[&str] = &[
    "blocked by content filtering policy",
    "violates usage guidelines",
    "safety_check_type",
    "content exists risk",
];

/// It is too long for the model.
pub(super) const CONTEXT_LENGTH: &[&str] = &[
    "context_length_exceeded",
    "exceed_context_size_error",
    "context_window_exceeded",
    "model_context_window_exceeded",
    "max_tokens_exceeded",
];

/// The same, in a text.
pub(super) const CONTEXT_PHRASES: &[&str] = &[
    "prompt is too long",
    "prompt too long",
    "maximum context length",
    "max context length",
    "context length exceeded",
    "exceeds the context",
    "exceed context limit",
    "exceeds the available context size",
    "exceeds the maximum number of tokens",
    "exceeds the model's maximum context",
    "input is too long",
    "too many tokens",
    "too many input tokens",
    "input tokens exceeded",
    "input tokens exceeds maximum length",
    "maximum prompt length is",
    "longer than the maximum model length",
    "longer than the model's context length",
    "greater than the context length",
    "the model's context length is only",
    "loaded with context length of only",
    "context size has been exceeded",
    "context window exceeds limit",
    "exceeded this model context window limit",
    "exceeded model token limit",
    "the input token count is",
    "range of input length should be",
    "`inputs` must have less than",
    "`inputs` tokens + `max_new_tokens` must be",
];

/// The words of all other classes.
pub(super) const NAMED: &[(&[&str], ErrorCode)] = &[
    (
        &[
            "rate_limit_exceeded",
            "rate_limit_error",
            "rate_limited",
            "ratelimitreached",
            "resource_exhausted",
            "throttlingexception",
            "servicequotaexceededexception",
            "too_many_requests",
            "toomanyrequests",
            "429",
        ],
        ErrorCode::ProviderRateLimited,
    ),
    (
        &[
            "overloaded_error",
            "overloaded",
            "engine_overloaded_error",
            "unavailable",
            "unavailable_error",
            "service_unavailable",
            "service_unavailable_error",
            "serviceunavailable",
            "capacity_exceeded",
            "modelnotreadyexception",
            "serviceunavailableexception",
            "insufficient_system_resource",
            "server_is_overloaded",
            "slow_down",
        ],
        ErrorCode::ProviderOverloaded,
    ),
    (
        &[
            "deadline_exceeded",
            "timeout_error",
            "timeout",
            "request_timeout",
            "modeltimeoutexception",
            "vector_store_timeout",
        ],
        ErrorCode::ProviderTimeout,
    ),
    (
        &[
            "invalid_api_key",
            "api_key_invalid",
            "authentication_error",
            "invalid_authentication_error",
            "permission_error",
            "permission_denied",
            "unauthenticated",
            "unauthorized",
            "forbidden",
            "accessdeniedexception",
            "expiredtokenexception",
            "invalidsignatureexception",
            "unrecognizedclientexception",
        ],
        ErrorCode::ProviderAuth,
    ),
    (
        &[
            "model_not_found",
            "model_decommissioned",
            "model_not_available",
            "deploymentnotfound",
            "not_found",
            "not_found_error",
            "notfounderror",
            "resourcenotfoundexception",
        ],
        ErrorCode::ProviderNotFound,
    ),
    (
        &[
            "server_error",
            "api_error",
            "internal",
            "internal_error",
            "internal_server_error",
        ],
        ErrorCode::ProviderError,
    ),
    (
        &[
            "invalid_request_error",
            "invalid_argument",
            "invalid_prompt",
            "badrequesterror",
            "bad_request",
            "validation_error",
            "unsupported_parameter",
            "tool_use_failed",
            "validationexception",
            "data_residency_mismatch",
            "empty_image_file",
            "failed_to_download_image",
            "image_file_not_found",
            "image_file_too_large",
            "image_parse_error",
            "image_too_large",
            "image_too_small",
            "invalid_base64_image",
            "invalid_image",
            "invalid_image_format",
            "invalid_image_mode",
            "invalid_image_url",
            "unsupported_image_media_type",
        ],
        ErrorCode::ProviderBadRequest,
    ),
];
