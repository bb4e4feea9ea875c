//! OpenAI's Responses: `POST /v1/responses` and what becomes of a response.
//!
//! ```text
//!   response.created, response.in_progress            0, 1
//!     response.output_item.added                      reasoning, a message, a call
//!       response.content_part.added
//!         response.output_text.delta …                one for each event of the channel
//!       response.output_text.done, response.content_part.done
//!     response.output_item.done
//!   response.completed | .incomplete | .failed
//! ```
//!
//! Every event has a `sequence_number`, dense from 0. It is a matter of the channel's log alone, so
//! that the stream can be taken up behind any number, as long as the channel is kept. A call stays
//! open to the end, since fragments of several may come in turn.
//!
//! What a response tells of its question, and the conversation that another may go on with, is the
//! channel's [note](lmserver_runtime::plugin::service::Submission::note). So no table is kept.

use std::borrow::Cow;

use lmserver_proto::http1::{Request, Response, Version};
use lmserver_runtime::channel::Snapshot;
use lmserver_runtime::event::Failure;
use lmserver_runtime::plugin::transport::{Encoder, Encoding};

mod encoding;
mod input;
mod item;
mod note;
mod object;
mod pen;
mod request;

use crate::dialect::{About, Asked, Dialect, Mistake, Telling};
use crate::openai;

/// What the ids of responses begin with.
pub const ID: &str = "resp_";

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct Responses;

/// How a response is told.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// To somebody who asks for one that is there already, be it a failed one?
    pub is_again: bool,
}

/// The JSON of a response as it stands.
#[must_use]
pub fn write(channel: &str, snapshot: &Snapshot) -> Vec<u8> {
    object::of_snapshot(channel, snapshot)
}

impl Dialect for Responses {
    fn read(&self, _request: &Request, body: &[u8]) -> Result<Asked, Mistake> {
        request::read(body)
    }

    fn refer(&self, asked: &mut Asked, channel: &str, said: &Snapshot) {
        input::refer(&mut asked.request.messages, channel, said);
        note::renew(asked);
    }

    fn go_on(&self, asked: &mut Asked, previous: &Snapshot) -> Result<(), Mistake> {
        note::go_on(asked, previous)
    }
}

impl Telling for Form {
    fn encoding(&self, version: Version) -> &'static dyn Encoding {
        encoding::of(version == Version::Http11)
    }

    fn resumed(&self, version: Version, after: u64) -> Option<Box<dyn Encoder>> {
        Some(encoding::behind(version == Version::Http11, after))
    }

    fn fields(&self, about: &About<'_>, out: &mut Vec<(Cow<'static, str>, String)>) {
        openai::fields(about, out);
    }

    fn elapsed_field(&self) -> Option<&'static str> {
        Some(openai::ELAPSED_FIELD)
    }

    fn whole(&self, answers: &[&Snapshot], about: &About<'_>) -> Vec<u8> {
        answers.first().map_or_else(Vec::new, |answer| {
            object::of_snapshot(about.channel, answer)
        })
    }

    fn tells_failures(&self) -> bool {
        self.is_again
    }

    fn failure(&self, failure: &Failure) -> Response {
        openai::failure(failure)
    }
}
