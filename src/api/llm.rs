//! The APIs of others: a question in their words becomes channels, and a session tells the answer
//! in their words.
//!
//! ```text
//! POST ─► key? ─► room? ─► body? ─► model? ─► Query::Submit, once for each answer ─► session
//! ```
//!
//! What a body says and how an answer is told is the dialect's affair. Here it is decided who may
//! ask, where the question goes, and how long the answer goes on with nobody listening: the client
//! that asked is mostly the only one, so that its going ends the answer at once, unless others
//! listen to the channel.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use lmserver_llm_api::{About, Asked, Dialect, Mistake, Teller, names};
use lmserver_proto::http1::{Request, Response};
use lmserver_runtime::event::After;
use lmserver_runtime::plugin::provider::ChatRequest;
use lmserver_runtime::plugin::service::{Answer, Idempotency, Query, Reply, ServiceCx, Submission};
use lmserver_runtime::plugin::transport::{Admission, Opening};
use lmserver_runtime::routing::{Plan, UnknownModel};

use super::auth::{Auth, sha256};
use super::chat;
use super::origin::Origin;
use super::refusal::{Code, Refusal, Shape};
use super::{Outcome, ask_as};

/// What the handlers of all dialects need.
pub(super) struct Asking<'a> {
    pub(super) auth: &'a Arc<Auth>,
    pub(super) origin: &'a Origin,
    pub(super) request: &'a Request,
    /// How long an answer goes on with nobody listening.
    pub(super) patience: Duration,
}

/// A question on its way into its channels.
struct Order {
    auth: Arc<Auth>,
    /// What the key of whoever asks is called.
    key: Arc<str>,
    shape: Shape,
    request: Request,
    fields: Vec<(Cow<'static, str>, String)>,
    asked: Asked,
    /// Bytes of the body, and of what was said before that it goes on from.
    request_bytes: usize,
    plan: Plan,
    idempotency: Option<Idempotency>,
    patience: Duration,
    /// The name of the first channel, from which the others have theirs.
    name: Box<str>,
    /// The channels that stand.
    channels: Vec<Box<str>>,
}

/// Answers a question in a dialect.
pub(super) fn ask(
    dialect: &'static dyn Dialect,
    asking: &Asking<'_>,
    body: &[u8],
    cx: &mut ServiceCx<'_>,
) -> Outcome {
    let channel = chat::new_channel(cx);
    ask_in(channel, dialect, asking, body, cx)
}

/// The same in a new channel of this name.
pub(super) fn ask_in(
    channel: Box<str>,
    dialect: &'static dyn Dialect,
    asking: &Asking<'_>,
    body: &[u8],
    cx: &ServiceCx<'_>,
) -> Outcome {
    let shape = Shape::of(asking.request.path());
    let caller = asking.auth.caller(asking.request)?;
    let idempotency = chat::idempotency(asking.request, body, &caller)?;
    chat::refuse_if_busy(cx, idempotency.is_some())?;
    chat::accept::content(asking.request, body)?;
    let asked = dialect.read(asking.request, body).map_err(refusal)?;
    let plan = cx.routing.plan(asked.model.as_deref());
    let plan = plan.map_err(|unknown| unknown_model(&unknown))?;
    let order = Box::new(Order {
        auth: Arc::clone(asking.auth),
        key: caller.name,
        shape,
        request: asking.request.clone(),
        fields: asking.origin.fields(),
        request_bytes: body.len(),
        plan,
        idempotency,
        patience: if asked.is_background {
            Duration::MAX
        } else {
            asking.patience
        },
        name: channel,
        channels: Vec::new(),
        asked,
    });
    look_up(dialect, order, cx)
}

/// Looks up what a question only names, one channel after the other.
fn look_up(dialect: &'static dyn Dialect, mut order: Box<Order>, cx: &ServiceCx<'_>) -> Outcome {
    let Some(channel) = order.asked.referred.pop() else {
        return match order.asked.previous.clone() {
            Some(previous) => go_on(dialect, order, previous, cx),
            // It named nothing but calls that those answers do not have.
            None if order.asked.request.messages.is_empty() => Err(not_kept()),
            None => Ok(submit(order)),
        };
    };
    let may_read = order.auth.may_read(&order.request, &channel, cx.unix_time);
    may_read?;
    let query = Query::Snapshot(channel.clone());
    Ok(ask_as(order.shape, query, move |answer, cx| match answer {
        Answer::Snapshot(said, _) => {
            dialect.refer(&mut order.asked, &channel, said);
            order.request_bytes = order.request_bytes.saturating_add(said.bytes());
            look_up(dialect, order, cx)
        }
        _ => Err(not_kept()),
    }))
}

fn not_kept() -> Refusal {
    let message = "an item that \"input\" refers to is not (or no longer) kept here: send the item \
                   itself";
    Refusal::new(Code::NotFound, message).with_param("input")
}

/// Puts what was said before in front of a question.
fn go_on(
    dialect: &'static dyn Dialect,
    mut order: Box<Order>,
    previous: Box<str>,
    cx: &ServiceCx<'_>,
) -> Outcome {
    let may_read = order.auth.may_read(&order.request, &previous, cx.unix_time);
    may_read?;
    let shape = order.shape;
    Ok(ask_as(
        shape,
        Query::Snapshot(previous),
        move |answer, _| match answer {
            Answer::Snapshot(said, _) => {
                dialect.go_on(&mut order.asked, said).map_err(refusal)?;
                let more = said.note.len().saturating_add(said.bytes());
                order.request_bytes = order.request_bytes.saturating_add(more);
                Ok(submit(order))
            }
            _ => {
                let message = "what \"previous_response_id\" names is not (or no longer) kept here: \
                               send the whole conversation as input";
                let refusal = Refusal::new(Code::NotFound, message);
                Err(refusal.with_param("previous_response_id"))
            }
        },
    ))
}

/// Submits the next of an order's questions.
fn submit(mut order: Box<Order>) -> Reply {
    let index = order.channels.len();
    let request = if index + 1 < order.asked.count {
        copied(&order.asked.request)
    } else {
        std::mem::take(&mut order.asked.request)
    };
    let submission = Submission {
        channel: names::sibling(&order.name, index).into(),
        model: order.asked.model.as_deref().unwrap_or("default").into(),
        request,
        request_bytes: order.request_bytes,
        plan: order.plan.clone(),
        idempotency: order.idempotency.map(|it| it_is_the(index, it)),
        key: Arc::clone(&order.key),
        is_unattended: false,
        abandon_after: Some(order.patience),
        note: order.asked.note.clone(),
    };
    let query = Query::Submit(Box::new(submission));
    ask_as(order.shape, query, move |answer, cx| {
        submitted(&answer, order, cx)
    })
}

/// A question of which more than one answer is wanted.
#[inline(never)]
fn copied(request: &ChatRequest) -> Box<ChatRequest> {
    Box::new(request.clone())
}

/// Each of several answers to one question has a key of its own.
fn it_is_the(index: usize, asked: Idempotency) -> Idempotency {
    if index == 0 {
        return asked;
    }
    Idempotency {
        key: sha256(&[&asked.key, &index.to_be_bytes()]),
        ..asked
    }
}

fn submitted(answer: &Answer<'_>, mut order: Box<Order>, cx: &mut ServiceCx<'_>) -> Outcome {
    match chat::submitted_to(answer) {
        Ok((channel, _)) => order.channels.push(channel.into()),
        Err(refusal) => return Ok(take_back(order, refusal)),
    }
    if order.channels.len() < order.asked.count {
        return Ok(submit(order));
    }
    if order.asked.is_background && !order.asked.is_stream {
        return Ok(accepted(order));
    }
    Ok(order.open(cx))
}

/// Ends the answers that have begun, since not all could.
fn take_back(mut order: Box<Order>, refusal: Refusal) -> Reply {
    let Some(channel) = order.channels.pop() else {
        return Reply::Response(refusal.response(order.shape));
    };
    let shape = order.shape;
    ask_as(shape, Query::Cancel(channel), move |_, _| {
        Ok(take_back(order, refusal))
    })
}

/// Answers with what there is of an answer that goes on by itself.
fn accepted(order: Box<Order>) -> Reply {
    let channel = order.channels.first().cloned().unwrap_or_default();
    let query = Query::Snapshot(channel.clone());
    ask_as(order.shape, query, move |answer, cx| match answer {
        Answer::Snapshot(snapshot, _) => {
            let model = order.asked.model.as_deref().unwrap_or("default");
            let about = About {
                channel: &channel,
                model,
            };
            let body = order.asked.telling.whole(&[snapshot], &about);
            let mut fields = order.head_fields(cx);
            order.asked.telling.fields(&about, &mut fields);
            let elapsed = order.asked.telling.elapsed_field();
            fields.extend(elapsed.map(|name| (name.into(), "0".to_owned())));
            let mut response = Response::json(200, body).with_field("Cache-Control", "no-store");
            response.fields.extend(fields);
            Ok(Reply::Response(response))
        }
        _ => Err(Refusal::internal()),
    })
}

impl Order {
    fn head_fields(&self, cx: &ServiceCx<'_>) -> Vec<(Cow<'static, str>, String)> {
        let mut fields = self.fields.clone();
        if let Some(channel) = self.channels.first() {
            let token = self.auth.issue(channel, cx.unix_time);
            fields.push(("X-Channel-Id".into(), channel.to_string()));
            fields.extend(token.map(|token| ("X-Channel-Token".into(), token)));
        }
        fields
    }

    /// Makes the connection a session that tells the answers.
    fn open(self, cx: &mut ServiceCx<'_>) -> Reply {
        let fields = self.head_fields(cx);
        let teller = Teller {
            telling: self.asked.telling,
            model: self.asked.model.as_deref().unwrap_or("default").into(),
            channels: self.channels,
            is_stream: self.asked.is_stream,
            after: None,
        };
        open(&teller, &self.request, fields, cx)
    }
}

/// Opens a session of a teller.
pub(super) fn open(
    teller: &Teller,
    request: &Request,
    fields: Vec<(Cow<'static, str>, String)>,
    cx: &mut ServiceCx<'_>,
) -> Reply {
    let opening = Opening {
        request,
        channel: teller.channels.first().map_or("", |it| it),
        after: After::Beginning,
        admission: Admission::Granted,
        may_cancel: true,
        create: None,
        body: b"",
        fields,
    };
    cx.open(teller, opening)
}

fn refusal(mistake: Mistake) -> Refusal {
    let refusal = Refusal::invalid(mistake.message);
    match mistake.param {
        Some(param) => refusal.with_param(param),
        None => refusal,
    }
}

/// To a client of these APIs an unknown model is a thing that is not there.
pub(super) fn unknown_model(unknown: &UnknownModel) -> Refusal {
    Refusal::new(Code::ModelNotFound, unknown.to_string()).with_param("model")
}
