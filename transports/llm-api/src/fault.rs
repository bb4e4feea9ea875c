//! Failures as HTTP knows them: which status says what happened, and whether to come back.

use lmserver_proto::http1::Response;
use lmserver_runtime::event::{ErrorCode, Failure};

/// The status of a failure before any content.
pub(crate) fn status(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::ProviderContextLength
        | ErrorCode::ProviderBadRequest
        | ErrorCode::ProviderContentFilter => 400,
        ErrorCode::ProviderNotFound => 404,
        ErrorCode::Gone => 410,
        ErrorCode::ProviderRateLimited | ErrorCode::ProviderBilling => 429,
        ErrorCode::TooLarge | ErrorCode::Interrupted | ErrorCode::Internal => 500,
        // The key that the provider refused is this server's, not the client's.
        ErrorCode::ProviderAuth
        | ErrorCode::ProviderUnreachable
        | ErrorCode::ProviderError
        | ErrorCode::ProviderTruncated => 502,
        ErrorCode::ProviderOverloaded | ErrorCode::Shutdown => 503,
        ErrorCode::ProviderTimeout => 504,
    }
}

/// The response to a failure, with a body in the dialect's shape.
pub(crate) fn response(failure: &Failure, body: Vec<u8>) -> Response {
    let again = if failure.retryable { "true" } else { "false" };
    let response = Response::json(status(failure.code), body)
        .with_field("Cache-Control", "no-store")
        // Heeded by the official clients of OpenAI and Anthropic.
        .with_field("x-should-retry", again);
    let waits = matches!(
        failure.code,
        ErrorCode::ProviderRateLimited | ErrorCode::ProviderOverloaded | ErrorCode::Shutdown
    );
    let known = failure
        .retry_after
        .map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    match known.or_else(|| (failure.retryable && waits).then_some(RETRY_AFTER)) {
        Some(seconds) => response.with_field("Retry-After", seconds.to_string()),
        None => response,
    }
}

/// Seconds after which it may be tried again, where nobody said.
const RETRY_AFTER: u64 = 5;
