//! OpenAI's Chat Completions: `POST /v1/chat/completions`.
//!
//! ```text
//!   data: {"id":"chatcmpl-…","object":"chat.completion.chunk",…,"delta":{"role":"assistant",…}}
//!   data: {…,"delta":{"content":"Hel"},"finish_reason":null}
//!   data: {…,"delta":{},"finish_reason":"stop"}
//!   data: {…,"choices":[],"usage":{…}}                       where `include_usage` asks for it
//!   data: [DONE]
//! ```
//!
//! Several choices are several channels; what their streams have in common, usage and `[DONE]`,
//! is the session's to say. A failure behind the first content is `data: {"error":{…}}`, which the
//! official clients raise, and the end.

use std::borrow::Cow;
use std::sync::Arc;

use lmserver_proto::http1::{Request, Response, Version};
use lmserver_runtime::channel::Snapshot;
use lmserver_runtime::event::Failure;
use lmserver_runtime::plugin::transport::Encoding;

mod encoding;
mod fast;
pub(crate) mod messages;
pub(crate) mod request;
mod whole;

use crate::dialect::{About, Asked, Dialect, Mistake, Telling};
use crate::openai;

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct Chat;

/// How an answer is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// Does the stream end with what it cost?
    pub(crate) usage: bool,
    /// Are calls told as the former `function_call`?
    pub(crate) legacy: bool,
}

impl Dialect for Chat {
    fn read(&self, _request: &Request, body: &[u8]) -> Result<Asked, Mistake> {
        request::read(body)
    }
}

impl Telling for Form {
    fn encoding(&self, version: Version) -> &'static dyn Encoding {
        encoding::of(version == Version::Http11, *self)
    }

    fn fields(&self, about: &About<'_>, out: &mut Vec<(Cow<'static, str>, String)>) {
        openai::fields(about, out);
    }

    fn elapsed_field(&self) -> Option<&'static str> {
        Some(openai::ELAPSED_FIELD)
    }

    fn end(&self, answers: &[&Snapshot], about: &About<'_>, out: &mut Vec<u8>) {
        if self.usage {
            whole::usage_chunk(answers, about, out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn whole(&self, answers: &[&Snapshot], about: &About<'_>) -> Vec<u8> {
        whole::write(*self, answers, about)
    }

    fn failure(&self, failure: &Failure) -> Response {
        openai::failure(failure)
    }
}

impl Form {
    pub(crate) fn shared(self) -> Arc<dyn Telling> {
        Arc::new(self)
    }
}
