//! `/api/chat`: a question becomes a channel, whose state can be read and whose answer can be
//! stopped.
//!
//! ```text
//! POST ─► key? ─► room? ─► JSON? ─► model? ─► Query::Submit ─► {"channel_id":…}
//!                                                         └──► the stream itself
//! ```
//!
//! An unknown model is 400 `invalid_request`: the resource is there, the request names what it
//! does not have.

use std::borrow::Cow;
use std::sync::Arc;

use lmserver_proto::http1::{Request, Response};
use lmserver_proto::percent;
use lmserver_runtime::event::After;
use lmserver_runtime::plugin::service::{Answer, Idempotency, Query, Reply, ServiceCx, Submission};
use lmserver_runtime::plugin::transport::{Admission, Opening, Transport};
use serde::Serialize;

pub(super) mod accept;
mod fast;
mod object;
mod question;
mod state;

use super::auth::{Auth, Caller, sha256};
use super::connection::cursor;
use super::origin::Origin;
use super::refusal::{Code, Refusal, clip};
use super::{Outcome, ask};

/// What all names of chat channels begin with.
pub(super) const PREFIX: &str = "chat:";

/// `POST /api/chat`.
#[inline(never)]
pub(super) fn post(
    auth: &Arc<Auth>,
    stream: Option<&Arc<dyn Transport>>,
    request: &Request,
    body: &[u8],
    origin: &Origin,
    cx: &mut ServiceCx<'_>,
) -> Outcome {
    let caller = auth.caller(request)?;
    let idempotency = idempotency(request, body, &caller)?;
    refuse_if_busy(cx, idempotency.is_some())?;
    accept::content(request, body)?;
    let question = question::read(body)?;
    let plan = cx
        .routing
        .plan(question.model.as_deref())
        .map_err(|unknown| Refusal::invalid(unknown.to_string()))?;
    let submission = Submission {
        channel: new_channel(cx),
        model: question.model.as_deref().unwrap_or("default").into(),
        request: question.request,
        key: caller.name,
        request_bytes: body.len(),
        plan,
        idempotency,
        is_unattended: false,
        abandon_after: None,
        note: Box::default(),
    };
    let stream = accept::stream(request, stream)?.map(|transport| Stream {
        transport: Arc::clone(transport),
        request: request.clone(),
        fields: origin.fields(),
    });
    let auth = Arc::clone(auth);
    Ok(ask(
        Query::Submit(Box::new(submission)),
        move |answer, cx| submitted(&answer, &auth, stream, cx),
    ))
}

/// `GET /api/chat/{channel_id}`.
#[inline(never)]
pub(super) fn get(auth: &Auth, request: &Request, id: &str, cx: &ServiceCx<'_>) -> Outcome {
    let channel = channel(id)?;
    auth.may_read(request, &channel, cx.unix_time)?;
    let name = channel.clone();
    Ok(ask(
        Query::Snapshot(channel),
        move |answer, _| match answer {
            Answer::Snapshot(snapshot, position) => {
                Ok(json(state::write(&name, snapshot, position)))
            }
            other => Err(lost(&other, &name)),
        },
    ))
}

/// `DELETE /api/chat/{channel_id}`. To end what has ended is fine.
#[inline(never)]
pub(super) fn delete(auth: &Auth, request: &Request, id: &str, cx: &ServiceCx<'_>) -> Outcome {
    #[derive(Serialize)]
    struct Body<'a> {
        channel_id: &'a str,
        cancelled: bool,
        message: &'a str,
    }
    let channel = channel(id)?;
    auth.may_cancel(request, &channel, cx.unix_time)?;
    let name = channel.clone();
    Ok(ask(Query::Cancel(channel), move |answer, _| match answer {
        Answer::Cancelled { running } => {
            let message = if running {
                "Generation cancelled"
            } else {
                "It had ended before"
            };
            let body = Body {
                channel_id: &name,
                cancelled: running,
                message,
            };
            Ok(json(serde_json::to_vec(&body).unwrap_or_default()))
        }
        other => Err(lost(&other, &name)),
    }))
}

/// The form of the answer that is the stream.
struct Stream {
    transport: Arc<dyn Transport>,
    request: Request,
    fields: Vec<(Cow<'static, str>, String)>,
}

/// The channel of a question, and whether it was there already.
pub(super) fn submitted_to<'a>(answer: &Answer<'a>) -> Result<(&'a str, bool), Refusal> {
    match answer {
        Answer::Submitted { channel, repeated } => Ok((channel, *repeated)),
        Answer::Conflict => Err(Refusal::new(
            Code::IdempotencyConflict,
            "this Idempotency-Key was used with another body: a new question needs a new key",
        )),
        Answer::Overloaded => Err(overloaded()),
        Answer::Draining => Err(draining()),
        Answer::TooLarge { limit } => {
            let message = format!(
                "the question, with the conversation that it goes on with, is larger than \
                 max_channel_bytes allows, {limit} bytes"
            );
            Err(Refusal::new(Code::TooLarge, message))
        }
        _ => Err(Refusal::internal()),
    }
}

fn submitted(
    answer: &Answer<'_>,
    auth: &Auth,
    stream: Option<Stream>,
    cx: &mut ServiceCx<'_>,
) -> Outcome {
    let (channel, repeated) = submitted_to(answer)?;
    let token = auth.issue(channel, cx.unix_time);
    match stream {
        Some(stream) => Ok(stream.open(channel, repeated, token, cx)),
        None => Ok(created(channel, token.as_deref())),
    }
}

impl Stream {
    /// Answers with the channel's events. A repetition may say how far the first answer came.
    fn open(
        mut self,
        channel: &str,
        repeated: bool,
        token: Option<String>,
        cx: &mut ServiceCx<'_>,
    ) -> Reply {
        self.fields
            .push(("X-Channel-Id".into(), channel.to_owned()));
        self.fields
            .extend(token.map(|token| ("X-Channel-Token".into(), token)));
        let after = if repeated {
            cursor(&self.request)
        } else {
            After::Beginning
        };
        let opening = Opening {
            request: &self.request,
            channel,
            after,
            admission: Admission::Granted,
            may_cancel: true,
            create: None,
            body: b"",
            fields: self.fields,
        };
        cx.open(&*self.transport, opening)
    }
}

fn created(channel: &str, token: Option<&str>) -> Reply {
    #[derive(Serialize)]
    struct Body<'a> {
        channel_id: &'a str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        token: Option<&'a str>,
    }
    let message = "Channel created, start listening for messages";
    let body = Body {
        channel_id: channel,
        message,
        token,
    };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let response = Response::json(200, body)
        .with_field("Cache-Control", "no-store")
        .with_field("X-Channel-Id", channel);
    Reply::Response(response)
}

/// The name of a new channel, with 122 random bits: to know it is to be allowed to read it.
pub(super) fn new_channel(cx: &mut ServiceCx<'_>) -> Box<str> {
    let mut random = [0; 16];
    cx.random(&mut random);
    let id = uuid::Builder::from_random_bytes(random).into_uuid();
    let mut text = uuid::Uuid::encode_buffer();
    [PREFIX, id.hyphenated().encode_lower(&mut text)]
        .concat()
        .into()
}

/// The channel that a path names.
fn channel(id: &str) -> Result<Box<str>, Refusal> {
    let Some(channel) = percent::decode(id) else {
        return Err(Refusal::invalid(
            "the channel id in the path is not percent-encoded UTF-8",
        ));
    };
    if channel.starts_with(PREFIX) {
        Ok(channel.into())
    } else {
        Err(unknown(&channel))
    }
}

pub(super) fn idempotency(
    request: &Request,
    body: &[u8],
    caller: &Caller,
) -> Result<Option<Idempotency>, Refusal> {
    let mut values = request.fields.get_all("idempotency-key");
    let Some(key) = values.next() else {
        return Ok(None);
    };
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_MAX || values.next().is_some() {
        return Err(Refusal::invalid(format!(
            "Idempotency-Key must stand once and be 1 to {IDEMPOTENCY_KEY_MAX} bytes long"
        )));
    }
    Ok(Some(Idempotency {
        key: sha256(&[&caller.digest, key]),
        body: sha256(&[body]),
    }))
}

/// A repetition is let through: the engine knows whether its channel is here already.
pub(super) fn refuse_if_busy(cx: &ServiceCx<'_>, may_be_repeated: bool) -> Result<(), Refusal> {
    if cx.draining && !may_be_repeated {
        return Err(draining());
    }
    if cx.full { Err(overloaded()) } else { Ok(()) }
}

fn draining() -> Refusal {
    Refusal::new(
        Code::Draining,
        "the server is stopping and takes no new chats; try again soon",
    )
    .with_field("Retry-After", RETRY_AFTER)
}

fn overloaded() -> Refusal {
    Refusal::new(
        Code::Overloaded,
        "the server has no room for another chat; try again soon",
    )
    .with_field("Retry-After", RETRY_AFTER)
}

fn lost(answer: &Answer<'_>, channel: &str) -> Refusal {
    match answer {
        Answer::Unknown => unknown(channel),
        Answer::Expired => Refusal::new(Code::Gone, "the chat has ended and is no longer kept"),
        _ => Refusal::internal(),
    }
}

fn unknown(channel: &str) -> Refusal {
    let message = format!(
        "no chat {:?} is here; POST /api/chat makes one and says its channel_id",
        clip(channel)
    );
    Refusal::new(Code::NotFound, message)
}

fn json(body: Vec<u8>) -> Reply {
    Reply::Response(Response::json(200, body).with_field("Cache-Control", "no-store"))
}

/// Bytes of an `Idempotency-Key`.
const IDEMPOTENCY_KEY_MAX: usize = 255;

/// Seconds after which a refused chat may be tried again.
const RETRY_AFTER: &str = "5";
