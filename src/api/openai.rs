//! `/v1/…`: the paths of OpenAI's API, for its clients.

use std::borrow::Cow;
use std::sync::Arc;

use lmserver_llm_api::chat_completions::Chat;
use lmserver_llm_api::responses::{self, Form, Responses};
use lmserver_llm_api::{Teller, names};
use lmserver_proto::http1::{Method, Request, Response};
use lmserver_proto::percent;
use lmserver_runtime::channel::Snapshot;
use lmserver_runtime::plugin::service::{Answer, Query, Reply, ServiceCx};
use lmserver_runtime::routing::Routing;
use serde_json::{Value, json};

use super::llm::{self, Asking};
use super::refusal::{Code, Refusal, Shape, clip};
use super::{Outcome, ask_as};

/// A path of OpenAI's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path<'a> {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/models`
    Models,
    /// `/v1/models/{model}`, percent-encoded as it came; a model's name may have slashes.
    Model(&'a str),
    /// `/v1/responses`
    Responses,
    /// `/v1/responses/{id}`
    Response(&'a str),
    /// `/v1/responses/{id}/cancel`
    Cancel(&'a str),
}

impl<'a> Path<'a> {
    /// What a request's path is here.
    pub(super) fn find(path: &'a str) -> Option<Self> {
        match path.strip_prefix("/v1/")? {
            "chat/completions" => Some(Self::Chat),
            "models" => Some(Self::Models),
            "responses" => Some(Self::Responses),
            path => {
                if let Some(model) = path.strip_prefix("models/") {
                    return (!model.is_empty()).then_some(Self::Model(model));
                }
                let response = path.strip_prefix("responses/")?;
                match response.split_once('/') {
                    Some((id, "cancel")) => Some(Self::Cancel(id)),
                    Some(_) => None,
                    // Calls of OpenAI's, and nobody's ids.
                    None if ["compact", "input_tokens"].contains(&response) => None,
                    None => (!response.is_empty()).then_some(Self::Response(response)),
                }
            }
        }
    }

    /// The value of `Allow`.
    pub(super) fn allow(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses | Self::Cancel(_) => "POST, OPTIONS",
            Self::Response(_) => "GET, HEAD, DELETE, OPTIONS",
            Self::Models | Self::Model(_) => "GET, HEAD, OPTIONS",
        }
    }
}

/// Answers a request to one of these paths.
#[inline(never)]
pub(super) fn answer(
    path: Path<'_>,
    asking: &Asking<'_>,
    body: &[u8],
    cx: &mut ServiceCx<'_>,
) -> Outcome {
    match path {
        Path::Chat => llm::ask(&Chat, asking, body, cx),
        Path::Models => {
            asking.auth.caller(asking.request)?;
            let list = json!({"object": "list", "data": models(cx.routing)});
            Ok(reply(&list))
        }
        Path::Model(id) => {
            asking.auth.caller(asking.request)?;
            model(id, cx.routing)
        }
        Path::Responses => llm::ask(&Responses, asking, body, cx),
        Path::Response(id) if asking.request.method == Method::Delete => delete(asking, id, cx),
        Path::Response(id) => get(asking, id, cx),
        Path::Cancel(id) => cancel(asking, id, cx),
    }
}

/// The models: the names of the configuration, then the targets behind them.
#[inline(never)]
fn models(routing: &Routing) -> Vec<Value> {
    let named = routing.models.keys().map(|name| entry(name, "lmserver"));
    let mut all: Vec<Value> = named.collect();
    for planned in routing.models.values().flat_map(|plan| plan.targets()) {
        let target = &planned.target;
        let target = entry(&target.to_string(), &target.instance.name);
        if !all.contains(&target) {
            all.push(target);
        }
    }
    all
}

#[inline(never)]
fn model(id: &str, routing: &Routing) -> Outcome {
    let name = percent::decode(id).unwrap_or_default();
    if routing.models.contains_key(&*name) {
        return Ok(reply(&entry(&name, "lmserver")));
    }
    match routing.plan(Some(&name)) {
        Ok(_) => {
            let (owner, _) = name.split_once('/').unwrap_or((&name, ""));
            Ok(reply(&entry(&name, owner)))
        }
        Err(unknown) => Err(llm::unknown_model(&unknown)),
    }
}

/// `GET /v1/responses/{id}`: the response as it stands, or its stream from anywhere.
#[inline(never)]
fn get(asking: &Asking<'_>, id: &str, cx: &ServiceCx<'_>) -> Outcome {
    let channel = channel(id)?;
    let auth = asking.auth;
    auth.may_read(asking.request, &channel, cx.unix_time)?;
    let is_stream = parameter(asking.request, "stream").is_some_and(|it| it == "true");
    let after = parameter(asking.request, "starting_after");
    let after = after.map(|after| after.parse()).transpose().map_err(|_| {
        let message = "starting_after must be the sequence_number of an event";
        Refusal::invalid(message).with_param("starting_after")
    })?;
    let request = asking.request.clone();
    let mut fields = asking.origin.fields();
    fields.push(("X-Channel-Id".into(), channel.to_string()));
    Ok(about(channel, move |channel, snapshot, cx| {
        if !is_stream {
            return written(&channel, snapshot, fields);
        }
        let teller = Teller {
            telling: Arc::new(Form { is_again: true }),
            model: snapshot.model.clone(),
            channels: vec![channel],
            is_stream: true,
            after,
        };
        llm::open(&teller, &request, fields, cx)
    }))
}

/// `POST /v1/responses/{id}/cancel`. To cancel what has ended is fine.
#[inline(never)]
fn cancel(asking: &Asking<'_>, id: &str, cx: &ServiceCx<'_>) -> Outcome {
    let channel = channel(id)?;
    let auth = asking.auth;
    auth.may_cancel(asking.request, &channel, cx.unix_time)?;
    let query = Query::Cancel(channel.clone());
    Ok(ask_as(
        Shape::OpenAi,
        query,
        move |answer, _| match answer {
            Answer::Cancelled { .. } => Ok(about(channel, |channel, snapshot, _| {
                written(&channel, snapshot, Vec::new())
            })),
            other => Err(lost(&other)),
        },
    ))
}

/// `DELETE /v1/responses/{id}`.
#[inline(never)]
fn delete(asking: &Asking<'_>, id: &str, cx: &ServiceCx<'_>) -> Outcome {
    let channel = channel(id)?;
    let auth = asking.auth;
    auth.may_cancel(asking.request, &channel, cx.unix_time)?;
    let gone = json!({"id": id, "object": "response", "deleted": true});
    let query = Query::Forget(channel);
    Ok(ask_as(
        Shape::OpenAi,
        query,
        move |answer, _| match answer {
            Answer::Cancelled { .. } => Ok(reply(&gone)),
            other => Err(lost(&other)),
        },
    ))
}

/// Asks how a response stands.
fn about(
    channel: Box<str>,
    then: impl FnOnce(Box<str>, &Snapshot, &mut ServiceCx<'_>) -> Reply + 'static,
) -> Reply {
    let query = Query::Snapshot(channel.clone());
    ask_as(Shape::OpenAi, query, move |answer, cx| match answer {
        Answer::Snapshot(snapshot, _) => Ok(then(channel, snapshot, cx)),
        other => Err(lost(&other)),
    })
}

fn written(channel: &str, snapshot: &Snapshot, fields: Vec<(Cow<'static, str>, String)>) -> Reply {
    let response = Response::json(200, responses::write(channel, snapshot));
    let mut response = response.with_field("Cache-Control", "no-store");
    response.fields.extend(fields);
    Reply::Response(response)
}

/// A response that is forgotten is to these clients one that is not there.
fn lost(answer: &Answer<'_>) -> Refusal {
    match answer {
        Answer::Unknown | Answer::Expired => {
            let message = "the response is not (or no longer) kept here";
            Refusal::new(Code::NotFound, message).with_param("response_id")
        }
        _ => Refusal::internal(),
    }
}

/// The channel of a response.
fn channel(id: &str) -> Result<Box<str>, Refusal> {
    let channel = names::channel(responses::ID, id).map(Into::into);
    channel.ok_or_else(|| {
        let message = format!("no response {:?} is here", clip(id));
        Refusal::new(Code::NotFound, message).with_param("response_id")
    })
}

fn parameter<'a>(request: &'a Request, name: &str) -> Option<Cow<'a, str>> {
    request
        .query()
        .and_then(|query| percent::query_value(query, name))
}

fn entry(id: &str, owner: &str) -> Value {
    json!({"id": id, "object": "model", "created": 0, "owned_by": owner})
}

fn reply(value: &Value) -> Reply {
    let response = Response::json(200, value.to_string());
    Reply::Response(response.with_field("Cache-Control", "no-store"))
}
