//! Anthropic's Messages: `POST /v1/messages`.
//!
//! ```text
//!   event: message_start          data: {"type":"message_start","message":{"id":"msg_…",…}}
//!   event: content_block_start    data: {…,"index":0,"content_block":{"type":"text","text":""}}
//!   event: content_block_delta    data: {…,"index":0,"delta":{"type":"text_delta","text":"Hel"}}
//!   event: content_block_stop     data: {…,"index":0}
//!   event: message_delta          data: {…,"delta":{"stop_reason":"end_turn",…},"usage":{…}}
//!   event: message_stop           data: {"type":"message_stop"}
//! ```
//!
//! Reasoning is told as blocks of thinking without a signature, a refusal as text with the stop
//! reason `refusal`. A failure behind the first content is `event: error`, and the end.

use std::borrow::Cow;
use std::sync::Arc;

use lmserver_proto::http1::{Request, Response, Version};
use lmserver_runtime::channel::Snapshot;
use lmserver_runtime::event::Failure;
use lmserver_runtime::plugin::transport::Encoding;

mod encoding;
mod reasons;
mod request;
mod whole;

use crate::dialect::{About, Asked, Dialect, Mistake, Telling};
use crate::{fault, names};

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct Messages;

impl Dialect for Messages {
    fn read(&self, _request: &Request, body: &[u8]) -> Result<Asked, Mistake> {
        request::read(body)
    }
}

/// The body of a refusal by this server, in Anthropic's shape.
#[must_use]
pub fn error_body(code: &str, message: &str) -> Vec<u8> {
    let mut body = Vec::new();
    reasons::error(code, message, &mut body);
    body
}

/// How an answer is told.
#[derive(Clone, Copy, Debug)]
struct Told;

impl Told {
    fn shared() -> Arc<dyn Telling> {
        Arc::new(Self)
    }
}

impl Telling for Told {
    fn encoding(&self, version: Version) -> &'static dyn Encoding {
        encoding::for_version(version)
    }

    fn fields(&self, about: &About<'_>, out: &mut Vec<(Cow<'static, str>, String)>) {
        out.push(("request-id".into(), names::id("req_", about.channel)));
    }

    fn heartbeat(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
    }

    fn whole(&self, answers: &[&Snapshot], about: &About<'_>) -> Vec<u8> {
        whole::write(answers, about)
    }

    fn failure(&self, failure: &Failure) -> Response {
        fault::response(failure, error_body(failure.code.as_str(), &failure.message))
    }
}
