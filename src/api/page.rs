//! `GET /`: the chat page, served from the binary.

use lmserver_proto::http1::Response;

/// The page. It is one file without outside parts, and it may be framed by nobody.
pub(super) fn page() -> Response {
    Response {
        body: PAGE.as_bytes().to_vec(),
        ..Response::empty(200)
    }
    .with_field("Content-Type", "text/html; charset=utf-8")
    .with_field("Cache-Control", "no-cache")
    .with_field("Content-Security-Policy", "frame-ancestors 'none'")
    .with_field("Referrer-Policy", "no-referrer")
    .with_field("X-Content-Type-Options", "nosniff")
}

const PAGE: &str = include_str!("../../examples/client.html");
