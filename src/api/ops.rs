//! What an operator's tools ask: does the process serve, and does it take new work?

use lmserver_proto::http1::Response;

use super::refusal::{Code, Refusal};

/// `GET /health`.
pub(super) fn health() -> Response {
    Response::text(200, "OK\n").with_field("Cache-Control", "no-store")
}

/// `GET /ready`.
pub(super) fn ready(draining: bool) -> Result<Response, Refusal> {
    if draining {
        let message = "the server is stopping and takes no new chats";
        return Err(Refusal::new(Code::Draining, message));
    }
    Ok(Response::text(200, "ready\n").with_field("Cache-Control", "no-store"))
}
