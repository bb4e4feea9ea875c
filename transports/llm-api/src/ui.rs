//! The UI message stream of Vercel's AI SDK, which `useChat` reads: `POST /api/ui/chat`.
//!
//! ```text
//!   data: {"type":"start","messageId":"msg_…"}
//!   data: {"type":"text-start","id":"1"}
//!   data: {"type":"text-delta","id":"1","delta":"Hel"}
//!   data: {"type":"text-end","id":"1"}
//!   data: {"type":"finish","finishReason":"stop"}
//!   data: [DONE]
//! ```
//!
//! A page that is loaded anew takes its stream up with the whole of it so far, as the SDK wants it.
//! So the answer goes on for a while in which nobody listens.

use std::borrow::Cow;
use std::sync::Arc;

use lmserver_proto::http1::{Request, Response, Version};
use lmserver_runtime::channel::Snapshot;
use lmserver_runtime::event::Failure;
use lmserver_runtime::plugin::transport::Encoding;

mod encoding;
mod request;

use crate::body::Object;
use crate::dialect::{About, Asked, Dialect, Mistake, Telling};
use crate::{fault, json};

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct UiMessages;

impl Dialect for UiMessages {
    fn read(&self, _request: &Request, body: &[u8]) -> Result<Asked, Mistake> {
        request::read(body)
    }
}

/// The id that a page has given its conversation, if it has.
#[must_use]
pub fn conversation(body: &[u8]) -> Option<String> {
    Object::read(body).ok()?.word("id").ok()?
}

/// How the answer to a message of a page is told.
#[must_use]
pub fn telling() -> Arc<dyn Telling> {
    Arc::new(Told)
}

#[derive(Clone, Copy, Debug)]
struct Told;

impl Telling for Told {
    fn encoding(&self, version: Version) -> &'static dyn Encoding {
        encoding::for_version(version)
    }

    fn fields(&self, _about: &About<'_>, out: &mut Vec<(Cow<'static, str>, String)>) {
        out.push(("x-vercel-ai-ui-message-stream".into(), "v1".to_owned()));
    }

    /// Its answers are always streams.
    fn whole(&self, _answers: &[&Snapshot], _about: &About<'_>) -> Vec<u8> {
        Vec::new()
    }

    /// The error of this server's own API: the SDK shows it as it is.
    fn failure(&self, failure: &Failure) -> Response {
        let mut body = br#"{"error":{"code":""#.to_vec();
        body.extend_from_slice(failure.code.as_str().as_bytes());
        body.extend_from_slice(br#"","message":"#);
        json::text(&failure.message, &mut body);
        body.extend_from_slice(b"}}");
        fault::response(failure, body)
    }
}
