//! What a dialect is: how its requests are read, and how one answer is told.

use std::borrow::Cow;
use std::sync::Arc;

use lmserver_proto::http1::{Request, Response, Version};
use lmserver_runtime::channel::Snapshot;
use lmserver_runtime::event::Failure;
use lmserver_runtime::plugin::provider::ChatRequest;
use lmserver_runtime::plugin::transport::{Encoder, Encoding};

/// One API of others.
pub trait Dialect: Sync {
    /// Reads a request's body.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    fn read(&self, request: &Request, body: &[u8]) -> Result<Asked, Mistake>;

    /// Puts what was said in a channel, one of [`Asked::referred`], where it is only named.
    fn refer(&self, _asked: &mut Asked, _channel: &str, _said: &Snapshot) {}

    /// Puts what was said before, in the channel [`Asked::previous`], in front of a question.
    ///
    /// # Errors
    ///
    /// Why one cannot go on from there.
    fn go_on(&self, _asked: &mut Asked, _previous: &Snapshot) -> Result<(), Mistake> {
        Ok(())
    }
}

/// What a request asks for.
pub struct Asked {
    /// The model's name, if one was given.
    pub model: Option<String>,
    /// The question.
    pub request: Box<ChatRequest>,
    /// How many answers are wanted, each in a channel of its own; from 1.
    pub count: usize,
    /// Is the answer told while it comes?
    pub is_stream: bool,
    /// Is the request answered before the answer is there, so that going away does not end it?
    pub is_background: bool,
    /// What is kept with the channel.
    pub note: Box<[u8]>,
    /// The channel whose conversation this one goes on with.
    pub previous: Option<Box<str>>,
    /// The channels of answers that items of the conversation are only named of.
    pub referred: Vec<Box<str>>,
    /// How it is told.
    pub telling: Arc<dyn Telling>,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, and what would be right.
    pub message: String,
    /// The key concerned: `messages[0].role`.
    pub param: Option<String>,
}

/// How one answer is told. Chosen when its request is read, and shared by all who need it.
pub trait Telling: Send + Sync {
    /// How events are put on the wire of a client of this version.
    fn encoding(&self, version: Version) -> &'static dyn Encoding;

    /// An encoder that leaves out what stands before and at a sequence number, for dialects whose
    /// streams can be resumed by one.
    fn resumed(&self, _version: Version, _after: u64) -> Option<Box<dyn Encoder>> {
        None
    }

    /// The stream's type.
    fn content_type(&self) -> &'static str {
        "text/event-stream"
    }

    /// Further fields of the response's head.
    fn fields(&self, _about: &About<'_>, _out: &mut Vec<(Cow<'static, str>, String)>) {}

    /// The field that says how many milliseconds it took until the head.
    fn elapsed_field(&self) -> Option<&'static str> {
        None
    }

    /// A sign of life while nothing comes.
    fn heartbeat(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": hb\n\n");
    }

    /// What stands behind the last event of a stream that did not fail.
    fn end(&self, _answers: &[&Snapshot], _about: &About<'_>, _out: &mut Vec<u8>) {}

    /// The JSON of the whole answer; of a failed one where [`tells_failures`](Self::tells_failures).
    fn whole(&self, answers: &[&Snapshot], about: &About<'_>) -> Vec<u8>;

    /// Is an answer that failed a whole answer too, and not an HTTP error?
    fn tells_failures(&self) -> bool {
        false
    }

    /// The response where there is a failure and nothing else.
    fn failure(&self, failure: &Failure) -> Response;
}

/// What is known of an answer besides what its snapshot says.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The channel; the first, where there are several.
    pub channel: &'a str,
    /// The model as it was asked for.
    pub model: &'a str,
}

impl Mistake {
    /// A mistake in the request as a whole.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            param: None,
        }
    }

    /// A mistake in the value of a key.
    #[must_use]
    pub fn at(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            param: Some(param.into()),
        }
    }
}
