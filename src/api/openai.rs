//! `/v1/…`: the paths of OpenAI's API, for its clients.

use lmserver_llm_api::chat::Chat;
use lmserver_proto::http1::{Request, Response};
use lmserver_proto::percent;
use lmserver_runtime::plugin::service::{Reply, ServiceCx};
use lmserver_runtime::routing::Routing;
use serde_json::{Value, json};

use super::Outcome;
use super::llm::{self, Asking};
use super::refusal::{Code, Refusal, clip};

/// A path of OpenAI's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/models`
    Models,
    /// `/v1/models/{model}`, percent-encoded as it came; a model's name may have slashes.
    Model(&'a str),
}

impl<'a> Place<'a> {
    /// The place at a path.
    pub(super) fn find(path: &'a str) -> Option<Self> {
        match path.strip_prefix("/v1/")? {
            "chat/completions" => Some(Self::Chat),
            "models" => Some(Self::Models),
            path => {
                let model = path.strip_prefix("models/")?;
                (!model.is_empty()).then_some(Self::Model(model))
            }
        }
    }

    /// The value of `Allow`.
    pub(super) fn allow(self) -> &'static str {
        match self {
            Self::Chat => "POST, OPTIONS",
            Self::Models | Self::Model(_) => "GET, HEAD, OPTIONS",
        }
    }
}

/// Answers a request to one of these places.
pub(super) fn answer(
    place: Place<'_>,
    asking: &Asking<'_>,
    body: &[u8],
    cx: &mut ServiceCx<'_>,
) -> Outcome {
    match place {
        Place::Chat => llm::ask(&Chat, asking, body, cx),
        Place::Models => {
            asking.auth.caller(asking.request)?;
            let list = json!({"object": "list", "data": models(cx.routing)});
            Ok(reply(&list))
        }
        Place::Model(id) => {
            asking.auth.caller(asking.request)?;
            model(asking.request, id, cx.routing)
        }
    }
}

/// The models: the names of the configuration, then the targets behind them.
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

fn model(_request: &Request, id: &str, routing: &Routing) -> Outcome {
    let name = percent::decode(id).unwrap_or_default();
    if routing.models.contains_key(&*name) {
        return Ok(reply(&entry(&name, "lmserver")));
    }
    match routing.plan(Some(&name)) {
        Ok(_) => {
            let (owner, _) = name.split_once('/').unwrap_or((&name, ""));
            Ok(reply(&entry(&name, owner)))
        }
        Err(unknown) => {
            let message = unknown.to_string();
            Err(Refusal::new(Code::NotFound, clip(&message)).with_param("model"))
        }
    }
}

fn entry(id: &str, owner: &str) -> Value {
    json!({"id": id, "object": "model", "created": 0, "owned_by": owner})
}

fn reply(value: &Value) -> Reply {
    let response = Response::json(200, value.to_string());
    Reply::Response(response.with_field("Cache-Control", "no-store"))
}
