//! What each provider says when it answers with an error.

use lmserver_proto::http1::{Response, reason_phrase};

use super::{Dialect, fill, quote};
use crate::fake::settings::Settings;

/// A whole answer with this status.
pub(in crate::fake) fn response(dialect: Dialect, status: u16, settings: &Settings) -> Response {
    if (300..400).contains(&status) {
        return Response::empty(status).with_field("Location", "/fake/elsewhere");
    }
    let is_page = settings.is_html || status == 502;
    let mut response = if is_page {
        page(status)
    } else {
        told(dialect, status, &message(status))
    };
    // Who is asked to wait is told how long, unless that was chosen to be left out.
    let wait = settings.retry_after.map(|wait| wait.as_millis());
    let wait = wait.or_else(|| (status == 429).then_some(1000));
    if let Some(wait) = wait.filter(|wait| *wait > 0) {
        ask_to_wait(dialect, wait, is_page, &mut response);
    }
    response
}

/// Gemini says it in the body, all others in the head.
fn ask_to_wait(dialect: Dialect, millis: u128, is_page: bool, response: &mut Response) {
    if dialect == Dialect::Gemini && !is_page {
        let delay = format!("{}.{:03}", millis / 1000, millis % 1000);
        let details = fill(
            r#","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"$s"}]}}"#,
            &[&delay],
        );
        // In front of the ends of the error and of the document.
        response
            .body
            .truncate(response.body.len().saturating_sub(2));
        response.body.extend_from_slice(details.as_bytes());
    } else if millis.is_multiple_of(1000) {
        let seconds = (millis / 1000).to_string();
        response.fields.push(("retry-after".into(), seconds));
    } else {
        let millis = millis.to_string();
        response.fields.push(("retry-after-ms".into(), millis));
    }
}

/// The provider's answer to a request that it does not understand.
pub(in crate::fake) fn bad_request(dialect: Dialect, message: &str) -> Response {
    told(dialect, 400, message)
}

fn told(dialect: Dialect, status: u16, message: &str) -> Response {
    let mut response = Response::json(status, body_with(dialect, status, message));
    if dialect == Dialect::Bedrock {
        let kind = kind(dialect, status).0;
        response
            .fields
            .push(("x-amzn-errortype".into(), kind.to_owned()));
    }
    response
}

/// What a proxy in front of a provider says.
fn page(status: u16) -> Response {
    let title = format!("{status} {}", reason_phrase(status));
    let page = fill(
        "<html>\r\n<head><title>$</title></head>\r\n<body>\r\n<center><h1>$</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
        &[&title, &title],
    );
    Response {
        body: page.into_bytes(),
        ..Response::empty(status)
    }
    .with_field("Content-Type", "text/html")
}

/// The body of an error, as a document or an event.
pub(super) fn body(dialect: Dialect, status: u16) -> String {
    body_with(dialect, status, &message(status))
}

/// The error object that stands in events of Responses.
pub(super) fn inner(dialect: Dialect, status: u16) -> String {
    inner_with(dialect, status, &message(status))
}

fn body_with(dialect: Dialect, status: u16, message: &str) -> String {
    let inner = inner_with(dialect, status, message);
    match dialect {
        Dialect::Chat | Dialect::Azure | Dialect::Responses | Dialect::Gemini => {
            fill(r#"{"error":$}"#, &[&inner])
        }
        Dialect::Messages => fill(
            r#"{"type":"error","error":$,"request_id":"req_fake"}"#,
            &[&inner],
        ),
        Dialect::Ollama => fill(r#"{"error":$}"#, &[&quote(message)]),
        Dialect::Cohere => fill(r#"{"id":"fake","message":$}"#, &[&quote(message)]),
        Dialect::Bedrock => fill(r#"{"message":$}"#, &[&quote(message)]),
    }
}

fn inner_with(dialect: Dialect, status: u16, message: &str) -> String {
    let (kind, code) = kind(dialect, status);
    let message = quote(message);
    match dialect {
        Dialect::Messages => fill(r#"{"type":"$","message":$}"#, &[kind, &message]),
        Dialect::Gemini => fill(
            r#"{"code":$,"message":$,"status":"$"}"#,
            &[&shown(status).to_string(), &message, kind],
        ),
        _ => fill(
            r#"{"message":$,"type":"$","param":null,"code":$}"#,
            &[&message, kind, code],
        ),
    }
}

/// What the message says; it names the status, so that one sees where it came from.
pub(super) fn message(status: u16) -> String {
    let shown = shown(status);
    let phrase = match shown {
        529 => "Overloaded",
        _ => reason_phrase(shown),
    };
    format!("the fake provider was told to answer {status} ({phrase})")
}

/// An error under 200 is told as a failure of the provider.
fn shown(status: u16) -> u16 {
    if status < 400 { 500 } else { status }
}

/// The kind of an error in the provider's own words, and its code as JSON.
pub(super) fn kind(dialect: Dialect, status: u16) -> (&'static str, &'static str) {
    let status = shown(status);
    match dialect {
        Dialect::Messages => (messages(status), "null"),
        Dialect::Gemini => (gemini(status), "null"),
        Dialect::Bedrock => (bedrock(status), "null"),
        _ => openai(status),
    }
}

fn openai(status: u16) -> (&'static str, &'static str) {
    match status {
        401 => ("invalid_request_error", r#""invalid_api_key""#),
        402 => ("insufficient_quota", r#""insufficient_quota""#),
        404 => ("invalid_request_error", r#""model_not_found""#),
        408 | 504 => ("timeout", "null"),
        429 => ("requests", r#""rate_limit_exceeded""#),
        503 | 529 => ("overloaded_error", r#""server_overloaded""#),
        400..=499 => ("invalid_request_error", "null"),
        _ => ("server_error", r#""server_error""#),
    }
}

fn messages(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

fn gemini(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        429 => "RESOURCE_EXHAUSTED",
        503 | 529 => "UNAVAILABLE",
        402 => "FAILED_PRECONDITION",
        400..=499 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}

fn bedrock(status: u16) -> &'static str {
    match status {
        401 | 403 => "AccessDeniedException",
        402 => "ServiceQuotaExceededException",
        404 => "ResourceNotFoundException",
        408 | 504 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 | 529 => "ServiceUnavailableException",
        400..=499 => "ValidationException",
        _ => "InternalServerException",
    }
}
